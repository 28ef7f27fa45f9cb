"""What does the history look like on the absolute bar grid?

Missing bars are filled flat at the last close with zero volume and marked as not real, so that windows
count bars and time alike. Nothing is filled before the first real bar, and nothing is ever filled backwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Floats, Ints
from market.errors import CandleError
from market.timeframe import Timeframe

__all__ = ["BarGrid", "to_grid"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarGrid:
    """Consecutive bars of one market from ``first_index`` on; all arrays ``(n,)``, oldest first."""

    symbol: str
    timeframe: Timeframe
    first_index: int
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    real: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of bars, filled ones included."""
        return int(self.close.size)

    @property
    def end_index(self) -> int:
        """Absolute index one past the last bar."""
        return self.first_index + len(self)

    @property
    def open_time(self) -> Ints:
        """``(n,) int64`` open times in ms."""
        return (self.first_index + np.arange(len(self), dtype=np.int64)) * self.timeframe.ms

    @property
    def coverage(self) -> float:
        """Share of bars that are real."""
        return float(self.real.mean()) if len(self) else 0.0


def to_grid(candles: Candles, *, end_index: int | None = None) -> BarGrid:
    """Put checked candles on the grid from their first bar to the last, or on to ``end_index`` (exclusive)."""
    if len(candles) == 0:
        raise CandleError(
            f"{candles.symbol}: no bars", why="there is nothing to put on the grid", remedy="backfill this symbol"
        )
    index = candles.open_time // candles.timeframe.ms
    first = int(index[0])
    end = int(index[-1]) + 1 if end_index is None else end_index
    keep = index < end
    at = (index[keep] - first).astype(np.int64)
    n = max(end - first, 0)
    real = np.zeros(n, dtype=bool)
    real[at] = True
    last_real = np.maximum.accumulate(np.where(real, np.arange(n), 0)) if n else np.zeros(0, dtype=np.int64)
    close = np.empty(n)
    close[at] = candles.close[keep]
    close = close[last_real]
    columns = {}
    for name in ("open", "high", "low"):
        column = close.copy()
        column[at] = getattr(candles, name)[keep]
        columns[name] = column
    volume = np.zeros(n)
    volume[at] = candles.volume[keep]
    return BarGrid(
        symbol=candles.symbol,
        timeframe=candles.timeframe,
        first_index=first,
        close=close,
        volume=volume,
        real=real,
        **columns,
    )
