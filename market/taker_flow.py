"""Which share of a bar's volume did takers buy?

A taker trades at once, at the price of an order that waits. Shares above one half mean that buyers were in more haste.
A share belongs to one bar and is known at its close; a bar without volume has none, and missing is never one half.
Binance publishes the volume that takers bought with each candle, and in its archive of metrics the ratio of takers'
buys to their sells.

    >>> share_of_ratio(np.array([0.0, 1.0, 3.0])).tolist()
    [0.0, 0.5, 0.75]
"""

from dataclasses import dataclass

import numpy as np

from market.candles import Candles, Floats, Ints
from market.errors import TakerFlowError
from market.grid import BarGrid
from market.resample import resample
from market.timeframe import Timeframe

__all__ = ["TakerShares", "check_taker", "resample_taker", "share_of_ratio", "taker_on_grid", "taker_shares"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TakerShares:
    """Takers' share of the volume of single bars, oldest first: ``(n,) int64`` open times and ``(n,) float64``, 0 to 1.

    Bars of which it is not known are left out.
    """

    symbol: str
    timeframe: Timeframe
    open_time: Ints
    share: Floats


def check_taker(shares: TakerShares) -> None:
    """Raise ``TakerFlowError`` for bars out of order, doubled or off the grid, and for shares outside 0 to 1."""
    step = np.diff(shares.open_time)
    for bad, what in (
        (np.append(step < 0, False), "takers' shares out of order"),
        (np.append(step == 0, False), "a doubled takers' share"),
        (shares.open_time % shares.timeframe.ms != 0, f"a takers' share off the {shares.timeframe.name} grid"),
        (~((shares.share >= 0) & (shares.share <= 1)), "a takers' share outside 0 to 1"),
    ):
        rows = np.flatnonzero(bad[: shares.open_time.size])
        if rows.size:
            row = int(rows[0])
            when = np.datetime64(int(shares.open_time[row]), "ms")
            raise TakerFlowError(
                f"{shares.symbol}: {what} at row {row} ({when}Z, {shares.share[row]:g})",
                why="takers buy a part of a bar's volume, between nothing and all of it",
                remedy="compare with the venue's candles and export them again",
            )


def share_of_ratio(buy_to_sell: Floats) -> Floats:
    """``(n,)`` share r / (1 + r) of takers' buys in their volume, from the ratio r of their buys to their sells."""
    return np.asarray(buy_to_sell / (1.0 + buy_to_sell), dtype=np.float64)


def taker_shares(candles: Candles, buy_volume: Floats) -> TakerShares:
    """The shares of bars, from the volume that takers bought in each: ``(n,)`` base units, NaN where unknown."""
    known = (candles.volume > 0) & ~np.isnan(buy_volume)
    shares = TakerShares(
        symbol=candles.symbol,
        timeframe=candles.timeframe,
        open_time=candles.open_time[known],
        share=buy_volume[known] / candles.volume[known],
    )
    check_taker(shares)
    return shares


def resample_taker(shares: TakerShares, candles: Candles, to: Timeframe) -> TakerShares:
    """Shares of longer bars, by volume; ``candles`` are the shorter bars the shares are of.

    A longer bar that lacks a bar, or the share of one with volume, has none.
    """
    buy = np.where(candles.volume > 0, np.nan, 0.0)
    at = np.searchsorted(candles.open_time, shares.open_time)
    buy[at] = shares.share * candles.volume[at]
    longer = resample(candles, to)
    number, first = np.unique(candles.open_time // to.ms, return_index=True)
    sums = np.add.reduceat(buy, first) if first.size else buy
    found = sums[np.searchsorted(number, longer.open_time // to.ms)]
    return taker_shares(longer, np.minimum(found, longer.volume))  # the products were rounded


def taker_on_grid(shares: TakerShares, grid: BarGrid) -> Floats:
    """``(n,) float64`` share of each bar of ``grid``; NaN where unknown, and for bars without volume."""
    found = np.full(len(grid), np.nan)
    bar = shares.open_time // grid.timeframe.ms - grid.first_index
    use = (bar >= 0) & (bar < len(grid))
    found[bar[use]] = shares.share[use]
    return np.where(grid.real & (grid.volume > 0), found, np.nan)
