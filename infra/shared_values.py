"""How do large arrays reach other processes without being sent to each of them?

The value is written once: its arrays end to end in one file, the rest as a small pickle beside it. Whoever reads it
maps that file read-only, so all readers of one machine share the same memory. Works for any picklable value whose
arrays are contiguous; nobody has to name the arrays. Both files are private to one run, in its scratch directory: they
are never an exchange format, and a pickle from anywhere else is never read.
"""

import mmap
import pickle
from pathlib import Path
from typing import Any

from infra.errors import InfraError

__all__ = ["read_shared", "write_shared"]

_ALIGNED = 64
_LEAST = 4096
"""Arrays below this many bytes travel in the pickle."""


def write_shared(value: object, directory: Path) -> None:
    """Write ``value`` into ``directory``, which must exist and hold no other value.

    Raises:
        InfraError: it cannot be written (disk full, permissions).
    """
    arrays: list[memoryview] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _LEAST:
            return True
        arrays.append(raw)
        return False

    body = pickle.dumps(value, protocol=5, buffer_callback=stays)
    extents: list[tuple[int, int]] = []
    try:
        with (directory / "arrays").open("wb") as file:
            for raw in arrays:
                file.seek(-file.tell() % _ALIGNED, 1)
                extents.append((file.tell(), raw.nbytes))
                file.write(raw)
        (directory / "value").write_bytes(pickle.dumps((extents, body)))
    except OSError as error:
        raise InfraError(
            f"{directory} cannot be written ({error.strerror or error})",
            why="the workers read their arrays from there",
            remedy="free space or correct the permissions, then run this again",
        ) from error


def read_shared(directory: Path) -> Any:
    """The value written there; its large arrays are read-only views of the mapped file.

    Raises:
        InfraError: this process does not see the directory.
    """
    try:
        extents, body = pickle.loads((directory / "value").read_bytes())  # noqa: S301  # this run wrote it, in its own directory
        with (directory / "arrays").open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if extents else b"")
    except OSError as error:
        raise InfraError(
            f"a worker cannot read {directory} ({error.strerror or error})",
            why="that is where it finds the features and labels it fits on",
            remedy="let the worker's machine see the home under the same path, for the same user",
        ) from error
    return pickle.loads(body, buffers=[mapped[at : at + size] for at, size in extents])  # noqa: S301  # the same
