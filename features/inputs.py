"""What does one bar bring to the features?

One row per bar: the bar itself and what else is known at its close. Missing is NaN, never 0; only the bar's own
prices are filled (flat, zero volume, marked as not real), by ``market.grid``.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from features import kernel
from features.errors import FeatureError
from market.candles import Floats
from market.funding import FundingOnGrid
from market.grid import BarGrid
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe

__all__ = ["BarInputs", "Column", "assemble_inputs"]

_LONGEST_HOURS = 8  # a longer gap between settlements is a missing stamp


class Column(IntEnum):
    """Columns of one input row: prices, volume in base units, 1 for a real bar, then NaN where unknown."""

    OPEN = kernel.IN_OPEN
    HIGH = kernel.IN_HIGH
    LOW = kernel.IN_LOW
    CLOSE = kernel.IN_CLOSE
    VOLUME = kernel.IN_VOLUME
    REAL = kernel.IN_REAL
    REF_CLOSE = kernel.IN_REF_CLOSE
    FUNDING_RATE = kernel.IN_FUNDING_RATE
    FUNDING_INTERVAL_H = kernel.IN_FUNDING_INTERVAL_H
    HOURS_TO_FUNDING = kernel.IN_HOURS_TO_FUNDING
    OPEN_INTEREST = kernel.IN_OPEN_INTEREST


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarInputs:
    """Consecutive bars of one market from ``first_index`` on: ``values (n, len(Column)) float64``, oldest first.

    The first bar is taken for the symbol's first bar ever, unless the block being computed does not reach it:
    history cut inside a block or its warm-up gives rows of other bytes. Give ``block + warmup`` bars, or all.
    """

    symbol: str
    timeframe: Timeframe
    first_index: int
    values: Floats

    def __post_init__(self) -> None:
        """Keep one layout, so that one compiled kernel serves every caller."""
        if self.values.ndim != 2 or self.values.shape[1] != len(Column):
            raise FeatureError(
                f"{self.symbol}: inputs of shape {self.values.shape}",
                why=f"a bar has {len(Column)} columns",
                remedy="build inputs with assemble_inputs",
            )
        object.__setattr__(self, "values", np.require(self.values, np.float64, ["C", "W"]))

    def __len__(self) -> int:
        """Number of bars."""
        return int(self.values.shape[0])

    @property
    def end_index(self) -> int:
        """Absolute index one past the last bar."""
        return self.first_index + len(self)


def assemble_inputs(
    grid: BarGrid,
    *,
    reference: BarGrid | None,
    funding: FundingOnGrid | None,
    open_interest: Floats | None,
    basis: Floats | None = None,  # noqa: ARG001  the kernel of this tree has no columns for these two yet
    taker_share: Floats | None = None,  # noqa: ARG001
) -> BarInputs:
    """Join a market's bars with what is known at their closes.

    ``reference`` is matched by absolute index (NaN where it has no real bar), ``funding`` and ``open_interest``
    ``(n,)`` lie on the same grid as the bars; ``open_interest`` is what is known at each close, NaN or 0 where
    missing. Raises ``FeatureError`` for another timeframe or length.
    """
    n = len(grid)
    values = np.full((n, len(Column)), np.nan)
    for column in (Column.OPEN, Column.HIGH, Column.LOW, Column.CLOSE, Column.VOLUME, Column.REAL):
        values[:, column] = getattr(grid, column.name.lower())
    if reference is not None:
        values[:, Column.REF_CLOSE] = _reference_close(grid, reference)
    if funding is not None:
        _same_length(grid, "funding", int(funding.known.size))
        _fill_funding(values, grid, funding)
    if open_interest is not None:
        _same_length(grid, "open interest", int(open_interest.size))
        values[:, Column.OPEN_INTEREST] = np.where(open_interest > 0, open_interest, np.nan)
    return BarInputs(symbol=grid.symbol, timeframe=grid.timeframe, first_index=grid.first_index, values=values)


def _reference_close(grid: BarGrid, reference: BarGrid) -> Floats:
    if reference.timeframe != grid.timeframe:
        raise FeatureError(
            f"{grid.symbol}: bars of {grid.timeframe.name}, reference {reference.symbol} of {reference.timeframe.name}",
            why="bars are matched by their absolute index",
            remedy="load both at one timeframe",
        )
    close = np.full(len(grid), np.nan)
    first, end = max(grid.first_index, reference.first_index), min(grid.end_index, reference.end_index)
    if first < end:
        theirs = slice(first - reference.first_index, end - reference.first_index)
        ours = slice(first - grid.first_index, end - grid.first_index)
        close[ours] = np.where(reference.real[theirs], reference.close[theirs], np.nan)
    return close


def _fill_funding(values: Floats, grid: BarGrid, funding: FundingOnGrid) -> None:
    """Rate, interval and hours to the next settlement as the last interval promises it; stamps lose their jitter."""
    minute = float(MINUTE_MS)
    interval = np.minimum(np.rint(funding.interval_ms / minute) * minute, _LONGEST_HOURS * HOUR_MS)
    due = np.rint(funding.last_time / minute) * minute + interval
    left = np.maximum(due - (grid.open_time + grid.timeframe.ms), 0.0)
    known = funding.current & (interval > 0)  # never `known`: that one looks at later stamps
    values[:, Column.FUNDING_RATE] = np.where(known, funding.last_rate, np.nan)
    values[:, Column.FUNDING_INTERVAL_H] = np.where(known, interval / HOUR_MS, np.nan)
    values[:, Column.HOURS_TO_FUNDING] = np.where(known, left / HOUR_MS, np.nan)


def _same_length(grid: BarGrid, what: str, size: int) -> None:
    if size != len(grid):
        raise FeatureError(
            f"{grid.symbol}: {size} rows of {what} for {len(grid)} bars",
            why="rows are matched by position on one grid",
            remedy=f"put the {what} on the grid of these bars",
        )
