"""Where does half-finished work lie, and who clears it away after a kill?

In a directory of its own, locked by the process that made it. The kernel drops the lock when that process dies, however
it dies; whoever needs the next directory in the same place first removes those that nobody holds any more. So killed
work never adds up, and work in progress of another process is never touched.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import InfraError

__all__ = ["scratch_directory"]


@contextmanager
def scratch_directory(parent: Path, *, prefix: str) -> Iterator[Path]:
    """A new directory ``<parent>/<prefix>...``, removed when the block ends.

    Raises:
        InfraError: it cannot be made (disk full, permissions).
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made, held = _make(parent, prefix)
    except OSError as error:
        raise InfraError(
            f"{parent} cannot be used ({error.strerror or error})",
            why="unfinished work needs a place there",
            remedy="free space or correct the permissions, then run this again",
        ) from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(held)


def _make(parent: Path, prefix: str) -> tuple[Path, int]:
    """The directory and the handle that holds its lock; one process at a time clears and makes."""
    turn = _held(parent, fcntl.LOCK_EX)
    try:
        for leftover in parent.glob(f"{prefix}*"):
            _remove_unheld(leftover)
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        return made, _held(made, fcntl.LOCK_SH)
    finally:
        os.close(turn)


def _held(directory: Path, kind: int) -> int:
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, kind)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_unheld(leftover: Path) -> None:
    try:
        handle = _held(leftover, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by a living process, or removed by it meanwhile
        return
    try:
        shutil.rmtree(leftover, ignore_errors=True)
    finally:
        os.close(handle)
