"""How far does the perpetual trade from its mark price?

Basis is close / mark - 1: the perpetual's last price against the price that the venue settles and liquidates by. It is
measured only where a bar and an hour close together, both prices of one moment: an hour-old mark against a new close
would measure the market's move of that hour and nothing of the basis. A measure is known from that bar on and holds
until the next one is due and for one bar more, as a venue may publish late; then the basis is unknown. Unknown is NaN,
never zero, and nothing is carried backwards.

The basis to a spot market, which is another price of another market, is not measured here.
"""

import math
from dataclasses import dataclass

import numpy as np

from market.candles import Floats, Ints
from market.errors import MarkPriceError
from market.grid import BarGrid
from market.timeframe import HOUR_MS, Timeframe

__all__ = ["MarkStamps", "basis_on_grid", "check_mark", "mark_period_bars"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkStamps:
    """Mark prices of one market at full hours, oldest first: ``(n,) int64`` ms UTC and ``(n,) float64`` price.

    A stamp is the close of a mark candle, named by its close: the candle from 11:00 to 12:00 is the stamp of 12:00.
    """

    symbol: str
    time: Ints
    price: Floats


def check_mark(stamps: MarkStamps) -> None:
    """Raise ``MarkPriceError`` for stamps out of order, doubled or off the full hour, and for prices not above zero."""
    step = np.diff(stamps.time)
    for bad, what in (
        (np.append(step < 0, False), "mark prices out of order"),
        (np.append(step == 0, False), "a doubled mark price"),
        (stamps.time % HOUR_MS != 0, "a mark price off the full hour"),
        (~np.isfinite(stamps.price), "a missing or infinite mark price"),
        (~(stamps.price > 0), "a mark price that is zero or negative"),
    ):
        rows = np.flatnonzero(bad[: stamps.time.size])
        if rows.size:
            row = int(rows[0])
            when = np.datetime64(int(stamps.time[row]), "ms")
            raise MarkPriceError(
                f"{stamps.symbol}: {what} at row {row} ({when}Z, {stamps.price[row]:g})",
                why="a model would learn from a basis that never was",
                remedy="compare with the venue's mark price candles and export them again",
            )


def mark_period_bars(timeframe: Timeframe) -> int:
    """Bars from one moment at which a bar and an hour close together to the next.

    >>> [mark_period_bars(Timeframe.parse(name)) for name in ("5m", "45m", "1h", "4h")]
    [12, 4, 1, 1]
    """
    return math.lcm(timeframe.ms, HOUR_MS) // timeframe.ms


def basis_on_grid(stamps: MarkStamps, grid: BarGrid) -> Floats:
    """``(n,) float64`` close / mark - 1 as known at the close of each bar of ``grid``, NaN where unknown.

    A bar that is not real measures nothing. The answer for a bar depends on the stamps and closes of that bar and of
    the ``mark_period_bars`` before it alone.
    """
    n, step = len(grid), grid.timeframe.ms
    bar = stamps.time // step - 1 - grid.first_index
    use = (stamps.time % step == 0) & (bar >= 0) & (bar < n)
    measured = np.full(n, np.nan)
    measured[bar[use]] = grid.close[bar[use]] / stamps.price[use] - 1.0
    measured[~grid.real] = np.nan
    here = np.arange(n)
    last = np.maximum.accumulate(np.where(np.isnan(measured), -1, here)) if n else here
    held = (last >= 0) & (here - last <= mark_period_bars(grid.timeframe))
    return np.where(held, measured[np.maximum(last, 0)], np.nan) if n else measured
