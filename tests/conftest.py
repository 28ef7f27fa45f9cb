"""Every test starts from a clean, offline, single-threaded environment."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ``LOCKSTEP_`` setting of the developer's shell reaches a test."""
    for name in list(os.environ):
        if name.startswith("LOCKSTEP_") and name != "LOCKSTEP_TEST_DATA":
            monkeypatch.delenv(name)
