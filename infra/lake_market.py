"""How does the stored history of one kind of one market grow?

A small append to a month that is there writes a part beside it, so its cost does not depend on the month's length.
Once a month has many files, or an append is large beside it, everything is *folded* into one file: the new file
appears with every row in it, then the others are removed. Killed in between, rows lie there twice, which readers drop.
A reader that meets a file which was folded away meanwhile lists the folder again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar
from zlib import crc32

from numpy.typing import NDArray

from infra.errors import LakeError
from infra.lake_cache import RowsCache
from infra.lake_files import MonthFile, columns_of, data_files, month_of, write_months
from infra.lake_rows import Rows, months_of, new_rows, stack_rows, take_rows, union_rows
from infra.lake_storage import Held, Storage, StoredFile, reading

__all__ = ["MarketFiles"]

_MAX_FILES = 32
_LARGE_SHARE = 0.25  # an append this large beside the month costs a rewrite seldom enough
_ATTEMPTS = 20
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFiles:
    """The files of one (kind, symbol)."""

    storage: Storage
    cache: RowsCache
    kind: str
    symbol: str

    @property
    def folder(self) -> str:
        """Where they lie."""
        return f"{self.kind}/{self.symbol}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Their value columns."""
        return columns_of(self.kind)

    @property
    def _most_files(self) -> int:
        """Another number for each market, so that a hundred of them do not all fold after the same bar."""
        return _MAX_FILES - crc32(self.folder.encode()) % (_MAX_FILES // 2)

    def files(self) -> list[StoredFile]:
        """All of them, oldest month first."""
        return self._settled(lambda: data_files(self.storage, self.folder))

    def read(self, *, start_ms: int | None = None, end_ms: int | None = None) -> Rows:
        """Every version of every row in ``[start_ms, end_ms)``, ordered by (time, known_at)."""

        def attempt() -> Rows:
            files = data_files(self.storage, self.folder, start_ms=start_ms, end_ms=end_ms)
            return stack_rows([self._union(month) for _, month in _by_month(files)], width=len(self.columns))

        rows = self._settled(attempt)
        lo = 0 if start_ms is None else int(rows.time.searchsorted(start_ms))
        hi = len(rows) if end_ms is None else int(rows.time.searchsorted(end_ms))
        columns: list[NDArray[Any]] = [rows.time, *rows.values, rows.known_at, rows.source]
        for column in columns:
            column.flags.writeable = False  # whether or not its memory is shared
        return rows if (lo, hi) == (0, len(rows)) else take_rows(rows, slice(lo, max(lo, hi)))

    def last_time(self) -> int | None:
        """The newest time stored, or None."""

        def attempt() -> int | None:
            months = _by_month(data_files(self.storage, self.folder))
            parts = self.cache.read(months[-1][1], self.columns) if months else []
            return max((int(part.time[-1]) for part in parts), default=None)

        return self._settled(attempt)

    def append(self, arriving: Rows, *, revised_at_ms: int, held: Held) -> int:
        """Store what is new in ``arriving``; return how many rows that was. Only for the holder of the write lock."""
        writes: list[MonthFile] = []
        folded: list[StoredFile] = []
        start_ms, end_ms = int(arriving.time[0]), int(arriving.time[-1]) + 1
        files = self._settled(lambda: data_files(self.storage, self.folder, start_ms=start_ms, end_ms=end_ms))
        stored = dict(_by_month(files))
        count = 0
        for month, part in months_of(arriving.time):
            there = stored.get(month, [])
            rows = self._settled(lambda there=there: self._union(there))  # type: ignore[misc]
            fresh = new_rows(rows, take_rows(arriving, part), revised_at_ms=revised_at_ms)
            count += len(fresh)
            if len(fresh):
                whole = len(there) >= self._most_files or len(fresh) >= _LARGE_SHARE * len(rows)
                merged = union_rows([rows, fresh], width=len(self.columns)) if whole else fresh
                writes.append(MonthFile(folder=self.folder, month=month, rows=merged, whole=whole))
                folded += there if whole else []
        self._write(writes, folded, held=held)
        return count

    def fold(self, *, held: Held) -> None:
        """Leave one file a month. Only for the holder of the write lock."""
        for month, there in _by_month(self.files()):
            if len(there) > 1:
                rows = self._union(there)
                self._write([MonthFile(folder=self.folder, month=month, rows=rows, whole=True)], there, held=held)

    def _write(self, writes: Sequence[MonthFile], folded: Sequence[StoredFile], *, held: Held) -> None:
        if not writes:
            return
        written = write_months(self.storage, writes, self.columns, held=held)
        for file, write in zip(written, writes, strict=True):
            self.cache.keep(file, write.rows)
        now = {file.path for file in written}
        gone = [file.path for file in folded if file.path not in now]
        self.storage.remove(gone)
        self.cache.forget(gone)

    def _union(self, files: Sequence[StoredFile]) -> Rows:
        return union_rows(self.cache.read(files, self.columns), width=len(self.columns))

    def _settled(self, attempt: Callable[[], _T]) -> _T:
        """The answer of an attempt during which no file vanished."""
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError), reading(self.storage, self.folder):
                return attempt()
        raise LakeError(
            f"files in {self.storage.shown(self.folder)} kept vanishing while they were read",
            why="what is stored there could not be seen at one moment",
            remedy="see which process removes files there, then run this again",
        )


def _by_month(files: Sequence[StoredFile]) -> list[tuple[str, list[StoredFile]]]:
    return [(month, list(group)) for month, group in groupby(files, key=lambda file: month_of(file.path))]
