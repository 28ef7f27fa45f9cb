"""Which rows came to one market since somebody last looked?

A worker looks after every bar. What a folder holds can change only by a file that appears, goes or is replaced, so an
unchanged folder costs one question, and otherwise only files not seen before are read. A month that was folded
meanwhile is compared with what its files held. Whatever this does not explain is a *doubt*: read the market anew.
"""

from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from infra.lake_files import is_data_file, is_part, month_of
from infra.lake_market import MarketFiles
from infra.lake_rows import Rows, stack_rows, take_rows, union_rows
from infra.lake_storage import StoredFile

__all__ = ["Tail", "TailNews"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TailNews:
    """``rows``: every version that came, in no order; ``doubt``: something else changed, and rows are not all of it."""

    rows: Rows | None = None
    doubt: bool = False


_NOTHING = TailNews()
_DOUBT = TailNews(doubt=True)


@dataclass(slots=True, kw_only=True, eq=False)
class Tail:
    """One (kind, symbol) from the month of ``start_month`` on, as it was when last looked at.

    ``newest`` is the newest time stored, None where there is none.
    """

    market: MarketFiles
    start_month: str
    newest: int | None = None
    _stamp: Hashable | None = None
    _month: str = ""
    _parts: dict[str, StoredFile] = field(default_factory=dict)
    _months: dict[str, StoredFile] = field(default_factory=dict)
    _held: dict[str, Rows] = field(default_factory=dict)

    def begin(self) -> "Tail":
        """Take what is there as seen. ``FileNotFoundError`` if a file vanishes meanwhile, ``LakeError`` for damage."""
        self._stamp = self.market.storage.stamp(self.market.folder)
        found, _ = self._found({})
        self._parts, self._months, self._held = {}, {}, {}
        self._month = max((month_of(file.path) for file in found), default="")
        newest = [file for file in found if month_of(file.path) == self._month]
        held = dict(zip((file.path for file in newest), self._read(newest), strict=True))
        self.newest = None if held else self.market.last_time()
        for file in found:
            self._remember(file, held.get(file.path))
        return self

    def look(self) -> TailNews:
        """What came since ``begin`` or the last look; raises as ``begin`` does, and then must begin again."""
        stamp = self.market.storage.stamp(self.market.folder)
        if stamp is not None and stamp == self._stamp:
            return _NOTHING
        found, gone = self._found(self._parts)
        self._stamp = stamp
        now = {_name(file): file for file in found if not is_part(file.path)}
        moved = {month_of(name) for name, file in self._months.items() if not _is_still(file, now.get(name))}
        moved |= {month_of(name) for name in gone}
        fresh = [file for file in found if _name(file) not in self._months]
        if moved - {self._month} or any(month_of(file.path) < self._month for file in fresh):
            return _DOUBT
        return self._folded(found, gone) if moved else self._added(fresh)

    def untouched(self) -> bool:
        """Whether every file looked at before is still itself, or was folded away; asks for each of them."""
        found, _ = self._found({})
        known = self._parts | self._months
        other = [file for file in found if (was := known.get(_name(file))) is not None and not _is_still(was, file)]
        if other:
            self._stamp = None  # the next look compares the months
        return not any(is_part(file.path) for file in other)

    def _found(self, besides: Mapping[str, object]) -> tuple[list[StoredFile], AbstractSet[str]]:
        """The files of the window that are not in ``besides``, and the names in it that are gone."""
        found, gone = self.market.storage.files_besides(self.market.folder, besides.keys())
        return [file for file in found if is_data_file(file.path) and month_of(file.path) >= self.start_month], gone

    def _added(self, fresh: list[StoredFile]) -> TailNews:
        if not fresh:
            return _NOTHING
        rows = self._read(fresh)
        for file, part in zip(fresh, rows, strict=True):
            self._remember(file, part)
        return TailNews(rows=stack_rows(rows, width=len(self.market.columns)))

    def _folded(self, found: list[StoredFile], gone: AbstractSet[str]) -> TailNews:
        """Compare the newest month with what its files held: more of it is news, anything else a doubt."""
        kept = [file for name, file in self._parts.items() if name not in gone]
        files = [file for file in (*kept, *found) if month_of(file.path) >= self._month]
        width = len(self.market.columns)
        before = union_rows(list(self._held.values()), width=width)
        rows = self._read(files)
        after = union_rows(rows, width=width)
        for known in (self._parts, self._months):
            for name in [name for name in known if month_of(name) >= self._month]:
                del known[name]
        self._held = {}
        for file, part in zip(files, rows, strict=True):
            self._remember(file, part)
        if len(after) < len(before) or not _same(before, take_rows(after, slice(0, len(before)))):
            return _DOUBT
        return TailNews(rows=take_rows(after, slice(len(before), None))) if len(after) > len(before) else _NOTHING

    def _remember(self, file: StoredFile, rows: Rows | None) -> None:
        known = self._parts if is_part(file.path) else self._months
        known[_name(file)] = file
        if rows is None:
            return
        month = month_of(file.path)
        if month > self._month:
            self._month, self._held = month, {}
        if month == self._month:
            self._held[file.path] = rows
        if len(rows):
            self.newest = max(int(rows.time[-1]), self.newest or 0)

    def _read(self, files: list[StoredFile]) -> list[Rows]:
        return self.market.cache.read(files, self.market.columns) if files else []


def _name(file: StoredFile) -> str:
    return file.path.rpartition("/")[2]


def _is_still(was: StoredFile, file: StoredFile | None) -> bool:
    return file is not None and was.identity == file.identity


def _same(one: Rows, other: Rows) -> bool:
    mine, theirs = ((rows.time, rows.known_at, *rows.values) for rows in (one, other))
    return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))
