"""Which funding was paid while a position was open, and do we know it?

Funding is known at its settlement stamp. Intervals differ between markets and change (8h, 4h, 2h, 1h), so
nothing here assumes one: the stamps themselves are the truth. A bar whose funding cannot be known is marked
unknown, never zero. Settlement stamps carry up to tens of milliseconds of jitter; a stamp belongs to the bar
that contains it, and is paid by whoever held the position at that bar's open.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from market.errors import FundingError
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe

__all__ = ["LONGEST_MS", "STAMP_JITTER_MS", "FundingOnGrid", "FundingStamps", "check_funding", "funding_on_grid"]

STAMP_JITTER_MS = MINUTE_MS
LONGEST_MS = 8 * HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FundingStamps:
    """Settlements of one market, oldest first: ``(n,) int64`` ms and ``(n,) float64`` rate per settlement."""

    symbol: str
    time: Ints
    rate: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FundingOnGrid:
    """Funding per bar; all ``(n,)``.

    ``paid`` is the rate settled at each bar's open (0.0 where none settles), ``known`` whether that is certain, later
    stamps considered. ``last_rate`` is the latest settled rate at the bar's close (NaN before the first),
    ``interval_ms`` the gap before that settlement, ``last_time`` its stamp (-1 before the first); ``current`` whether
    it was still in force as far as the bar itself could tell, without any later stamp: what a feature may use.
    """

    paid: Floats
    known: NDArray[np.bool_]
    current: NDArray[np.bool_]
    last_rate: Floats
    last_time: Ints
    interval_ms: Ints


def check_funding(stamps: FundingStamps) -> None:
    """Raise ``FundingError`` for unsorted, duplicate, non-finite or absurd (over 10 % a settlement) stamps."""
    step = np.diff(stamps.time)
    for bad, what in (
        (np.append(step <= 0, False), "stamps out of order or doubled"),
        (~np.isfinite(stamps.rate), "a missing rate"),
        (np.abs(stamps.rate) > 0.1, "a rate above 10 % a settlement"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise FundingError(
                f"{stamps.symbol}: {what} at row {row} ({np.datetime64(int(stamps.time[row]), 'ms')}Z)",
                why="labels and paper trades pay actual funding",
                remedy="compare with the venue's funding history and export it again",
            )


def funding_on_grid(stamps: FundingStamps, *, timeframe: Timeframe, first_index: int, n: int) -> FundingOnGrid:
    """Place settlements on ``n`` bars from ``first_index``.

    A bar is known when it lies between two stamps at most 8 h apart, or after the last stamp by less than
    the interval before it (nothing was due yet). With fewer than two stamps nothing is known.
    """
    m = stamps.time.size
    paid = np.zeros(n)
    if m < 2:
        nothing = np.full(n, -1, dtype=np.int64)
        return FundingOnGrid(
            paid=paid,
            known=np.zeros(n, dtype=bool),
            current=np.zeros(n, dtype=bool),
            last_rate=np.full(n, np.nan),
            last_time=nothing,
            interval_ms=nothing.copy(),
        )
    bar = stamps.time // timeframe.ms - first_index
    inside = (bar >= 0) & (bar < n)
    np.add.at(paid, bar[inside], stamps.rate[inside])

    open_time = (first_index + np.arange(n, dtype=np.int64)) * timeframe.ms
    # The settlement in force at a bar's close: the last stamp before the close.
    last = np.searchsorted(stamps.time, open_time + timeframe.ms) - 1
    seen = last >= 0
    at = np.maximum(last, 0)
    gaps = np.diff(stamps.time)
    interval = np.concatenate((gaps[:1], gaps))
    following = np.append(gaps <= LONGEST_MS + STAMP_JITTER_MS, False)
    due = stamps.time[at] + np.minimum(interval[at], LONGEST_MS) - STAMP_JITTER_MS
    current = seen & (open_time < due)
    return FundingOnGrid(
        paid=paid,
        known=current | (seen & following[at]),
        current=current,
        last_rate=np.where(seen, stamps.rate[at], np.nan),
        last_time=np.where(seen, stamps.time[at], -1),
        interval_ms=np.where(seen, interval[at], -1),
    )
