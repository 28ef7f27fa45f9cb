"""Which files need no second reading?

A worker reads the same month after every bar. Decoded rows are kept in memory under the file's identity, which
changes with its content, so a changed file never matches. Arrays handed out are shared and therefore read-only.
The least recently used files leave first.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from threading import Lock

from infra.lake_files import decode_rows
from infra.lake_rows import Rows, frozen_rows
from infra.lake_storage import Storage, StoredFile

__all__ = ["RowsCache"]

_ENTRY_BYTES = 2048  # what Python keeps for an entry beside its arrays: parts of one row must count too


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Entry:
    identity: Hashable
    rows: Rows
    size_bytes: int


class RowsCache:
    """The decoded files of one storage, at most ``max_bytes`` of them; safe to share between threads."""

    def __init__(self, storage: Storage, max_bytes: int) -> None:
        self._storage = storage
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = Lock()

    def read(self, files: Sequence[StoredFile], columns: Sequence[str]) -> list[Rows]:
        """The rows of each file, from memory where it has not changed; ``FileNotFoundError`` if one has vanished."""
        found = {file.path: self._remembered(file) for file in files}
        missing = [file for file in files if found[file.path] is None]
        for file, data in zip(missing, self._storage.read([file.path for file in missing]), strict=True):
            rows = decode_rows(data, columns, path=file.path, shown=self._storage.shown)
            found[file.path] = self.keep(file, rows)
        return [rows for rows in found.values() if rows is not None]

    def keep(self, file: StoredFile, rows: Rows) -> Rows:
        """Remember what this file holds."""
        frozen = frozen_rows(rows)
        size_bytes = (16 + 4 + 8 * len(rows.values)) * len(rows) + _ENTRY_BYTES
        with self._lock:
            self._forget(file.path)
            self._entries[file.path] = _Entry(identity=file.identity, rows=frozen, size_bytes=size_bytes)
            self._bytes += size_bytes
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._entries)))
        return frozen

    def forget(self, paths: Sequence[str]) -> None:
        """Drop files that were removed."""
        with self._lock:
            for path in paths:
                self._forget(path)

    def _remembered(self, file: StoredFile) -> Rows | None:
        with self._lock:
            entry = self._entries.get(file.path)
            if entry is None or entry.identity != file.identity:
                return None
            self._entries.move_to_end(file.path)
            return entry.rows

    def _forget(self, path: str) -> None:
        gone = self._entries.pop(path, None)
        self._bytes -= gone.size_bytes if gone else 0
