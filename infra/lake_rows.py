"""What happens to stored rows when the same facts, or changed ones, arrive again?

Pure rules of the bitemporal lake. A row is (time, values, known_at, source). The same values again are nothing new;
other values for a stored time are a *revision*: a new row with a later ``known_at``, the old one stays. Reading as of
a moment keeps, for each time, the last row known by then. Rows are ordered by (time, known_at).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints

__all__ = [
    "Rows",
    "empty_rows",
    "frozen_rows",
    "months_of",
    "new_rows",
    "rows_as_of",
    "stack_rows",
    "take_rows",
    "union_rows",
]

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """``n`` rows of one (kind, symbol), ordered by (time, known_at).

    ``time`` and ``known_at`` ``(n,) int64`` ms; ``values`` one ``(n,) float64`` per column of the kind;
    ``source`` ``(n,) int32`` codes into ``source_names``.
    """

    time: Ints
    values: tuple[Floats, ...]
    known_at: Ints
    source: NDArray[np.int32]
    source_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of rows, revisions included."""
        return int(self.time.size)


def empty_rows(width: int) -> Rows:
    """No rows, ``width`` value columns."""
    nothing = np.zeros(0, dtype=np.int64)
    return Rows(
        time=nothing,
        values=tuple(np.zeros(0) for _ in range(width)),
        known_at=nothing,
        source=np.zeros(0, dtype=np.int32),
        source_names=(),
    )


def take_rows(rows: Rows, at: Ints | slice | NDArray[np.bool_]) -> Rows:
    """The rows at these positions."""
    return Rows(
        time=rows.time[at],
        values=tuple(column[at] for column in rows.values),
        known_at=rows.known_at[at],
        source=rows.source[at],
        source_names=rows.source_names,
    )


def months_of(time: Ints) -> list[tuple[str, slice]]:
    """Calendar months (``"2025-01"``, UTC) of sorted times, each with the slice it covers."""
    if time.size == 0:
        return []
    first, last = time[[0, -1]].astype("datetime64[ms]").astype("datetime64[M]")
    months = np.arange(first, last + 1)
    edges = np.searchsorted(time, np.append(months, last + 1).astype("datetime64[ms]").astype(np.int64))
    return [
        (str(month), slice(int(lo), int(hi)))
        for month, lo, hi in zip(months, edges[:-1], edges[1:], strict=True)
        if hi > lo
    ]


def new_rows(stored: Rows, arriving: Rows, *, revised_at_ms: int) -> Rows:
    """The part of ``arriving`` (one row a time) that ``stored`` lacks.

    A time not stored is new. A stored time with equal values is dropped. With other values it is a revision, known
    at ``revised_at_ms`` but always after the row it revises.
    """
    if len(stored) == 0 or (len(arriving) and arriving.time[0] > stored.time[-1]):
        return arriving
    last = np.searchsorted(stored.time, arriving.time, side="right") - 1
    at = np.maximum(last, 0)
    exists = (last >= 0) & (stored.time[at] == arriving.time)
    same = exists.copy()
    for old, new in zip(stored.values, arriving.values, strict=True):
        same &= old[at] == new
    revised_at = np.maximum(revised_at_ms, stored.known_at[at] + 1)
    known_at = np.where(exists, revised_at, arriving.known_at)
    moved = Rows(
        time=arriving.time,
        values=arriving.values,
        known_at=known_at,
        source=arriving.source,
        source_names=arriving.source_names,
    )
    return take_rows(moved, ~same)


def stack_rows(parts: list[Rows], *, width: int) -> Rows:
    """Rows of several files, one after the other, over one list of source names."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return empty_rows(width)
    if len(parts) == 1:
        return parts[0]
    names = tuple(dict.fromkeys(name for part in parts for name in part.source_names))
    codes = [np.array([names.index(name) for name in part.source_names], dtype=np.int32)[part.source] for part in parts]
    return Rows(
        time=np.concatenate([part.time for part in parts]),
        values=tuple(np.concatenate([part.values[k] for part in parts]) for k in range(width)),
        known_at=np.concatenate([part.known_at for part in parts]),
        source=np.concatenate(codes),
        source_names=names,
    )


def union_rows(parts: list[Rows], *, width: int) -> Rows:
    """The rows of all parts, ordered by (time, known_at), each once.

    A writer that died half-way through folding its parts leaves rows twice. What equals the version before it says
    nothing new, so it is left out: the same rows come out before and after the parts are folded.
    """
    ordered = sorted((part for part in parts if len(part)), key=lambda part: int(part.time[0]))
    if all(one.time[-1] < other.time[0] for one, other in pairwise(ordered)):
        return stack_rows(ordered, width=width)
    rows = stack_rows(parts, width=width)
    rows = take_rows(rows, np.lexsort((rows.known_at, rows.time)))
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in rows.values])
    again = (np.diff(rows.time) == 0) & (same | (np.diff(rows.known_at) == 0))
    return take_rows(rows, np.append(True, ~again)) if again.any() else rows


def rows_as_of(rows: Rows, as_of_ms: int | None) -> Rows:
    """For each time the last row with ``known_at <= as_of_ms`` (None: the last row)."""
    known = rows if as_of_ms is None else take_rows(rows, rows.known_at <= as_of_ms)
    last = np.append(np.diff(known.time) > 0, True)[: len(known)]
    return known if bool(last.all()) else take_rows(known, last)


def frozen_rows(rows: Rows) -> Rows:
    """The same rows in arrays that nobody can write to."""
    return Rows(
        time=_read_only(rows.time),
        values=tuple(_read_only(column) for column in rows.values),
        known_at=_read_only(rows.known_at),
        source=_read_only(rows.source),
        source_names=rows.source_names,
    )


def _read_only(array: NDArray[_T]) -> NDArray[_T]:
    """The array itself if nobody can write to its memory, else a copy nobody can write to."""
    if not array.flags.writeable and (array.base is None or not getattr(array.base, "flags", array.flags).writeable):
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy
