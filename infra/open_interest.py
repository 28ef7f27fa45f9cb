"""Which open interest was known at the close of each bar?

A venue's stamp says when the state was measured. A stamp belongs to the bar whose half-open interval
``(open, close]`` contains it: the state stamped exactly at a close is known at that close, one stamped a second
later belongs to the next bar. Zero means the archive had nothing, so it is missing, and missing is NaN. One absent
bar is bridged by the bar before it, never more.
"""

from dataclasses import dataclass

import numpy as np

from infra.errors import SourceError
from market.candles import Floats, Ints
from market.timeframe import Timeframe

__all__ = ["OpenInterestStamps", "check_open_interest", "on_grid"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenInterestStamps:
    """Raw stamps of one market, oldest first: ``(n,) int64`` ms UTC and ``(n,) float64`` base units (0: missing)."""

    symbol: str
    time: Ints
    value: Floats


def check_open_interest(stamps: OpenInterestStamps) -> None:
    """Raise ``SourceError`` for stamps out of order or doubled, and for values that are negative or not finite."""
    step = np.diff(stamps.time)
    for bad, what in (
        (np.append(step < 0, False), "open interest stamps out of order"),
        (np.append(step == 0, False), "a doubled open interest stamp"),
        (~np.isfinite(stamps.value), "a missing or infinite open interest"),
        (stamps.value < 0, "a negative open interest"),
    ):
        rows = np.flatnonzero(bad[: stamps.time.size])
        if rows.size:
            row = int(rows[0])
            when = np.datetime64(int(stamps.time[row]), "ms")
            raise SourceError(
                f"{stamps.symbol}: {what} at row {row} ({when}Z, {stamps.value[row]:g})",
                why="a model would learn from a state that never was",
                remedy="compare with the venue's open interest history and export it again",
            )


def on_grid(times: Ints, values: Floats, timeframe: Timeframe, first_index: int, n: int) -> Floats:
    """``(n,) float64``: open interest known at the close of each bar from ``first_index`` on, NaN where unknown.

    ``times`` ``(m,)`` ms, sorted, and ``values`` ``(m,)`` are raw stamps. The last stamp above zero within a bar
    counts. The answer for a bar depends on stamps of that bar and the one before alone, not on where the window starts.
    """
    found = np.full(n + 1, np.nan)
    bar = (times - 1) // timeframe.ms - (first_index - 1)
    use = (bar >= 0) & (bar <= n) & (values > 0)
    found[bar[use]] = values[use]
    here, before = found[1:], found[:-1]
    return np.where(np.isnan(here), before, here)
