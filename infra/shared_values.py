"""How do large arrays reach other processes without being sent to each of them?

Its arrays are written once, end to end, into one file; what remains is small and travels with the job, as everything a
cluster carries does. Whoever reads it maps the file read-only, so all readers of one machine share the same memory.
Works for any value whose arrays are contiguous; nobody has to name the arrays. No pickle lies on the disk, and none
from a file is ever read.
"""

import mmap
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import InfraError

__all__ = ["SharedValue", "read_shared", "write_shared"]

_ALIGNED = 64
_LEAST = 4096
"""Arrays below this many bytes travel with the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedValue:
    """Where the arrays of a value lie (``path``, and their places ``extents`` in it), and the small rest of it."""

    path: str
    extents: tuple[tuple[int, int], ...]
    rest: bytes


def write_shared(value: object, directory: Path) -> SharedValue:
    """Write the arrays of ``value`` into ``directory``, which must exist and hold no other value.

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
    except OSError as error:
        raise InfraError(
            f"{directory} cannot be written ({error.strerror or error})",
            why="the workers read their arrays from there",
            remedy="free space or correct the permissions, then run this again",
        ) from error
    return SharedValue(path=str(directory / "arrays"), extents=tuple(extents), rest=body)


def read_shared(given: SharedValue) -> Any:
    """The value again; its large arrays are read-only views of the mapped file.

    Raises:
        InfraError: this process does not see the file.
    """
    try:
        with Path(given.path).open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if given.extents else b"")
    except OSError as error:
        raise InfraError(
            f"a worker cannot read {given.path} ({error.strerror or error})",
            why="that is where it finds the features and labels it fits on",
            remedy="let the worker's machine see the home under the same path, for the same user",
        ) from error
    buffers = [mapped[at : at + size] for at, size in given.extents]
    return pickle.loads(given.rest, buffers=buffers)  # noqa: S301  # it came with the job, from the process that asks
