"""Where is the real exchange data that some tests need?"""

import os
from pathlib import Path

import pytest


def real_data_dir() -> Path:
    """The folder of real candles, from ``LOCKSTEP_TEST_DATA`` or ``../shared/data``; skips where there is none."""
    root = Path(__file__).resolve().parents[1]
    found = Path(os.environ.get("LOCKSTEP_TEST_DATA", root.parent / "shared" / "data"))
    if not (found / "marketlab_um").is_dir():
        pytest.skip(f"no real data at {found}: set LOCKSTEP_TEST_DATA")
    return found
