"""Freed memory goes back to the machine."""

from pathlib import Path

import numpy as np
import pytest

from infra import memory


def resident_mb() -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024.0


@pytest.mark.skipif(memory._trim() is None, reason="this C library cannot")
def test_what_was_freed_between_kept_pieces_is_given_back():
    """Small arrays lie in one heap; freeing every other one leaves holes that only a trim returns."""
    pieces = [np.ones(8_000) for _ in range(4_000)]  # 64 kB each, below what is mapped by itself
    del pieces[::2]
    held = resident_mb()
    memory.give_back_memory()
    assert held - resident_mb() > 60.0
    assert len(pieces) == 2_000


def test_a_library_without_it_is_no_error(monkeypatch):
    """Nothing depends on it."""
    monkeypatch.setattr(memory, "_trim", lambda: None)
    memory.give_back_memory()
