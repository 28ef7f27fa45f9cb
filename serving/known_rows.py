"""Which stored rows did a decision at bar t know?

A row of the lake belongs to a bar (``own``) and was known at some moment. A decision at bar t is taken ``delay_ms``
after that bar's close, or at one fixed moment ``as_of_ms`` when bars are caught up late. ``visible`` is the first bar
whose decision knew the row. A row that came in time has ``visible == own``; a late row or a revision is visible later.

So what bar t knew is ``visible <= t``, and what each later bar will know about itself, unless something late arrives,
is ``visible <= max(t, own)``. Bars at which something late arrives (``arrivals``) are the only ones at which history
changes.
"""

from dataclasses import dataclass

import numpy as np

from infra.lake import Lake
from infra.lake_rows import Rows, rows_as_of, take_rows
from market.candles import Floats, Ints
from market.timeframe import Timeframe

__all__ = ["Clock", "KnownRows", "read_candles", "read_funding", "read_mark", "read_open_interest", "read_taker"]

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When each bar is decided: ``delay_ms`` after its close, or all of them at ``as_of_ms``."""

    timeframe: Timeframe
    delay_ms: int
    as_of_ms: int | None = None

    def decided_at(self, index: int) -> int:
        """The moment (ms UTC) of the decision at this bar."""
        return self.timeframe.close_time(index) + self.delay_ms if self.as_of_ms is None else self.as_of_ms

    def first_to_know(self, known_at: Ints, own: Ints) -> Ints:
        """``(n,)`` first bar, at or after its own, whose decision knows a row known at ``known_at``."""
        if self.as_of_ms is not None:
            return np.where(known_at <= self.as_of_ms, own, _NEVER)
        first = -((self.delay_ms - known_at) // self.timeframe.ms) - 1
        return np.maximum(first, own)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownRows:
    """Rows of one (kind, symbol) with the bar each belongs to and the first that knew it, both ``(n,) int64``."""

    rows: Rows
    own: Ints
    visible: Ints

    def expected_at(self, index: int) -> Rows:
        """Last versions known at bar ``index``, and of later bars the version each knows in time."""
        return rows_as_of(take_rows(self.rows, self.visible <= np.maximum(index, self.own)), None)

    def known_at(self, index: int) -> Rows:
        """Last versions known at bar ``index``, nothing else."""
        return rows_as_of(take_rows(self.rows, self.visible <= index), None)

    def followed_by(self, time: Ints, values: Floats, clock: Clock) -> "KnownRows":
        """These rows of one column and ``(n,)`` later ones, each known at its own bar."""
        mine, own = self.rows, time // clock.timeframe.ms
        known_at = np.full(time.size, clock.decided_at(int(own[-1])), dtype=np.int64)
        rows = Rows(
            time=np.concatenate((mine.time, time)),
            values=(np.concatenate((mine.values[0], values)),),
            known_at=np.concatenate((mine.known_at, known_at)),
            source=np.zeros(mine.time.size + time.size, dtype=np.int32),
            source_names=(),
        )
        return KnownRows(rows=rows, own=np.concatenate((self.own, own)), visible=np.concatenate((self.visible, own)))

    def arrivals(self) -> Ints:
        """Sorted bars at which something about an earlier bar became known."""
        late = (self.visible > self.own) & (self.visible < _NEVER)
        return np.unique(self.visible[late])


def read_candles(lake: Lake, symbol: str, *, clock: Clock, start_ms: int, end_ms: int) -> KnownRows:
    """Candles of bars that open in ``[start_ms, end_ms)``, every version."""
    if clock.as_of_ms is None:
        rows = lake.versions(f"candles_{clock.timeframe.name}", symbol, start_ms=start_ms, end_ms=end_ms)
    else:
        found = lake.candles(symbol, clock.timeframe, start_ms=start_ms, end_ms=end_ms, as_of_ms=clock.as_of_ms)
        rows = _rows(found.open_time, (found.open, found.high, found.low, found.close, found.volume), clock.as_of_ms)
    return _placed(rows, rows.time // clock.timeframe.ms, clock)


def read_funding(lake: Lake, symbol: str, *, clock: Clock, start_ms: int, end_ms: int) -> KnownRows:
    """Settlements; a stamp belongs to the bar that contains it."""
    if clock.as_of_ms is None:
        rows = lake.versions("funding", symbol, start_ms=start_ms, end_ms=end_ms)
    else:
        found = lake.funding(symbol, start_ms=start_ms, end_ms=end_ms, as_of_ms=clock.as_of_ms)
        rows = _rows(found.time, (found.rate,), clock.as_of_ms)
    return _placed(rows, rows.time // clock.timeframe.ms, clock)


def read_open_interest(lake: Lake, symbol: str, *, clock: Clock, start_ms: int, end_ms: int) -> KnownRows:
    """Open interest stamps; a stamp belongs to the bar whose ``(open, close]`` contains it."""
    if clock.as_of_ms is None:
        rows = lake.versions("open_interest", symbol, start_ms=start_ms, end_ms=end_ms)
    else:
        time, value = lake.open_interest(symbol, start_ms=start_ms, end_ms=end_ms, as_of_ms=clock.as_of_ms)
        rows = _rows(time, (value,), clock.as_of_ms)
    return _placed(rows, (rows.time - 1) // clock.timeframe.ms, clock)


def read_mark(lake: Lake, symbol: str, *, clock: Clock, start_ms: int, end_ms: int) -> KnownRows:
    """Mark prices; a stamp belongs to the bar whose ``(open, close]`` contains it."""
    if clock.as_of_ms is None:
        rows = lake.versions("mark", symbol, start_ms=start_ms, end_ms=end_ms)
    else:
        found = lake.mark(symbol, start_ms=start_ms, end_ms=end_ms, as_of_ms=clock.as_of_ms)
        rows = _rows(found.time, (found.price,), clock.as_of_ms)
    return _placed(rows, (rows.time - 1) // clock.timeframe.ms, clock)


def read_taker(lake: Lake, symbol: str, *, clock: Clock, start_ms: int, end_ms: int) -> KnownRows:
    """Takers' shares of bars that open in ``[start_ms, end_ms)``."""
    if clock.as_of_ms is None:
        rows = lake.versions(f"taker_{clock.timeframe.name}", symbol, start_ms=start_ms, end_ms=end_ms)
    else:
        found = lake.taker(symbol, clock.timeframe, start_ms=start_ms, end_ms=end_ms, as_of_ms=clock.as_of_ms)
        rows = _rows(found.open_time, (found.share,), clock.as_of_ms)
    return _placed(rows, rows.time // clock.timeframe.ms, clock)


def _placed(rows: Rows, own: Ints, clock: Clock) -> KnownRows:
    return KnownRows(rows=rows, own=own, visible=clock.first_to_know(rows.known_at, own))


def _rows(time: Ints, values: tuple[Floats, ...], as_of_ms: int) -> Rows:
    """What the lake said as of one moment: one version a time, known by then."""
    return Rows(
        time=time,
        values=values,
        known_at=np.full(time.size, as_of_ms, dtype=np.int64),
        source=np.zeros(time.size, dtype=np.int32),
        source_names=(),
    )
