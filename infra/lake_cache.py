"""Which month files need no second reading?

A worker reads the same month after every bar. Decoded rows are kept in memory under the file's identity (inode,
modification time, size); every write replaces the file, so a changed file never matches. Arrays handed out are shared
and therefore read-only. The least recently used months leave first.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from infra.lake_files import read_month
from infra.lake_rows import Rows

__all__ = ["MonthCache"]

_Identity = tuple[int, int, int]
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Entry:
    identity: _Identity
    rows: Rows
    size: int


class MonthCache:
    """Decoded month files, at most ``max_bytes`` of them; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Path, _Entry] = OrderedDict()
        self._lock = Lock()

    def read(self, path: Path, columns: Sequence[str]) -> Rows:
        """The rows of this file, from memory if it has not changed since; errors as ``read_month``."""
        identity = _identity(path)
        with self._lock:
            entry = self._entries.get(path)
            if entry is not None and entry.identity == identity:
                self._entries.move_to_end(path)
                return entry.rows
        rows = read_month(path, columns)
        if identity is not None and _identity(path) == identity:
            self._keep(path, identity, rows)
        return rows

    def wrote(self, path: Path, rows: Rows) -> None:
        """Remember what was just written there; only for the holder of the write lock."""
        identity = _identity(path)
        if identity is not None:
            self._keep(path, identity, rows)

    def _keep(self, path: Path, identity: _Identity, rows: Rows) -> None:
        frozen = _frozen(rows)
        size = (16 + 4 + 8 * len(rows.values)) * len(rows)
        with self._lock:
            old = self._entries.pop(path, None)
            self._bytes -= old.size if old else 0
            self._entries[path] = _Entry(identity=identity, rows=frozen, size=size)
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, gone = self._entries.popitem(last=False)
                self._bytes -= gone.size


def _identity(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116  one call, three facts
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _frozen(rows: Rows) -> Rows:
    return Rows(
        time=_read_only(rows.time),
        values=tuple(_read_only(column) for column in rows.values),
        known_at=_read_only(rows.known_at),
        source=_read_only(rows.source),
        source_names=rows.source_names,
    )


def _read_only(array: NDArray[_T]) -> NDArray[_T]:
    """The array itself if nobody can write to it, else a copy nobody can write to."""
    if not array.flags.writeable and array.base is None:
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy
