"""What does the lake hold, and how is it kept tidy?

Counts per kind over every market, and folding of every month into one file. Both look at each market for itself, so
other processes may write meanwhile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from infra.lake_files import is_data_file, is_kind, month_of
from infra.lake_market import MarketFiles
from infra.lake_storage import Storage, reading, writing

__all__ = ["Compaction", "Holding", "Progress", "compacted", "holdings", "kinds", "symbols_of"]

Progress = Callable[[int, int], None]
"""Told how many markets of how many are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is stored of one kind: ``rows`` are times, ``revisions`` the later versions of some of them."""

    kind: str
    symbols: int
    rows: int
    revisions: int
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """Files and bytes of the lake before and after folding; ``months`` is how many months were folded."""

    months: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int


def kinds(storage: Storage) -> list[str]:
    """The kinds of data stored, sorted."""
    with reading(storage, ""):
        names = storage.folders("")
    return [name for name in names if is_kind(name)]


def symbols_of(storage: Storage, kind: str) -> tuple[str, ...]:
    """The symbols with data of this kind, sorted."""
    with reading(storage, kind):
        found = [path.split("/") for path in storage.walk(kind) if is_data_file(path)]
    return tuple(sorted({parts[1] for parts in found if len(parts) == 3}))


def holdings(markets: Sequence[MarketFiles], progress: Progress) -> tuple[Holding, ...]:
    """Count what these markets hold, by kind."""
    counts: dict[str, list[tuple[int, int, int, int]]] = {}
    for done, market in enumerate(markets):
        progress(done, len(markets))
        time, files = market.read().time, market.files()
        again = int(np.count_nonzero(np.diff(time) == 0))
        row = (time.size - again, again, len(files), sum(file.size_bytes for file in files))
        counts.setdefault(market.kind, []).append(row)
    progress(len(markets), len(markets))
    return tuple(_holding(kind, rows) for kind, rows in sorted(counts.items()))


def _holding(kind: str, counts: list[tuple[int, int, int, int]]) -> Holding:
    rows, revisions, files, size_bytes = (sum(column) for column in zip(*counts, strict=True))
    return Holding(kind=kind, symbols=len(counts), rows=rows, revisions=revisions, files=files, size_bytes=size_bytes)


def compacted(markets: Sequence[MarketFiles], progress: Progress, *, lock_timeout_s: float) -> Compaction:
    """Leave one file a month in each of these markets."""
    folded = 0
    sizes: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]
    for done, market in enumerate(markets):
        progress(done, len(markets))
        with (
            writing(market.storage, market.folder),
            market.storage.lock(market.folder, timeout_s=lock_timeout_s) as held,
        ):
            market.storage.remove_leftovers(market.folder)
            before = market.files()
            folded += sum(len(list(month)) > 1 for _, month in groupby(before, key=lambda file: month_of(file.path)))
            market.fold(held=held)
            after = market.files()
        bytes_before, bytes_after = (sum(file.size_bytes for file in files) for files in (before, after))
        sizes.append((len(before), len(after), bytes_before, bytes_after))
    progress(len(markets), len(markets))
    files_before, files_after, bytes_before, bytes_after = (sum(column) for column in zip(*sizes, strict=True))
    return Compaction(
        months=folded,
        files_before=files_before,
        files_after=files_after,
        bytes_before=bytes_before,
        bytes_after=bytes_after,
    )
