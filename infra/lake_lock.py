"""Who may write here, and who is holding it?

One writer per (kind, symbol): an exclusive ``flock`` on a file beside the data. The kernel releases it when the process
dies, however it dies. The file holds the name of the writer, so that whoever waits too long can say for whom.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import LakeError

__all__ = ["LOCK_NAME", "write_lock"]

LOCK_NAME = ".lock"
_POLL_S = 0.01
_NAME_BYTES = 200


@contextmanager
def write_lock(folder: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the folder's write lock; raise ``LakeError`` naming the holder after ``timeout_s``."""
    handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(handle, folder, timeout_s=timeout_s)
        _sign(handle)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, folder: Path, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = os.pread(handle, _NAME_BYTES, 0).decode(errors="replace").strip() or "another process"
                raise LakeError(
                    f"{folder} is locked by {holder} (waited {timeout_s:g} s)",
                    why="two writers of one market would lose each other's rows",
                    remedy="wait for that process to finish, or stop it, and run this again",
                ) from error
            time.sleep(_POLL_S)
        else:
            return


def _sign(handle: int) -> None:
    """Write who holds the lock; a disk too full for the name must not stop the write from being tried."""
    name = f"process {os.getpid()} on {socket.gethostname()}"[:_NAME_BYTES]
    try:
        os.pwrite(handle, name.encode().ljust(_NAME_BYTES), 0)  # over the last name: cutting a file is ten times slower
    except OSError:
        return
