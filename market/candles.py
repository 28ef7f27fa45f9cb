"""What is a candle array, and when can it be trusted?

``Candles`` holds closed bars of one market, oldest first, named by open time. ``check_candles`` is the
one set of rules: whatever enters the lake has passed it. Nothing here repairs, sorts, fills or guesses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.errors import CandleError
from market.timeframe import Timeframe

__all__ = ["Candles", "Floats", "Ints", "check_candles", "infer_timeframe"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candles:
    """Closed bars of one market, oldest first.

    ``open_time`` is ``(n,) int64`` ms UTC; prices and ``volume`` (base units) are ``(n,) float64``.
    """

    symbol: str
    timeframe: Timeframe
    open_time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        """Number of bars."""
        return int(self.open_time.size)

    def between(self, start_ms: int | None, end_ms: int | None) -> "Candles":
        """The bars with ``start_ms <= open_time < end_ms``; None leaves that side open."""
        lo = 0 if start_ms is None else int(np.searchsorted(self.open_time, start_ms))
        hi = len(self) if end_ms is None else int(np.searchsorted(self.open_time, end_ms))
        return Candles(
            symbol=self.symbol,
            timeframe=self.timeframe,
            open_time=self.open_time[lo:hi],
            open=self.open[lo:hi],
            high=self.high[lo:hi],
            low=self.low[lo:hi],
            close=self.close[lo:hi],
            volume=self.volume[lo:hi],
        )


def infer_timeframe(open_time: Ints, *, symbol: str) -> Timeframe:
    """The timeframe of sorted open times: their smallest step, which every other must be a multiple of."""
    if open_time.size < 2:
        raise CandleError(
            f"{symbol}: {open_time.size} bar(s)",
            why="the timeframe cannot be read from fewer than two bars",
            remedy="provide a longer history",
        )
    step = int(np.diff(open_time).min())
    return Timeframe(step)


def check_candles(candles: Candles) -> None:
    """Raise ``CandleError`` naming the first bar that breaks a rule."""
    n = len(candles)
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    if n == 0:
        _refuse(candles, "no bars", "an empty history proves nothing", "provide bars, or leave the file out")
    if any(column.shape != (n,) for column in columns):
        _refuse(candles, "columns of different lengths", "bars would be misaligned", "export the file again")
    _check_times(candles)
    _check_values(candles)


def _check_times(candles: Candles) -> None:
    step = np.diff(candles.open_time)
    _first(candles, np.append(step < 0, False), "bars out of order", "sort the file by open time at its source")
    _first(candles, np.append(step == 0, False), "a duplicate bar", "remove one of the two rows at the source")
    off = candles.open_time % candles.timeframe.ms != 0
    name = candles.timeframe.name
    _first(candles, off, f"mixed timeframes: a bar off the {name} grid", f"provide {name} bars only")


def _check_values(candles: Candles) -> None:
    o, h, l, c, v = candles.open, candles.high, candles.low, candles.close, candles.volume  # noqa: E741
    prices = np.stack((o, h, l, c))
    source = "compare with the venue and export the bar again"
    sound = np.isfinite(np.vstack((prices, v)).sum(axis=0))
    _first(candles, ~sound, "a missing or infinite value", source)
    _first(candles, prices.min(axis=0) <= 0, "a price that is zero or negative", source)
    _first(candles, v < 0, "a negative volume", source)
    _first(candles, h < l, "high below low", source)
    outside = (np.maximum(o, c) > h) | (np.minimum(o, c) < l)
    _first(candles, outside, "open or close outside high and low", source)


def _first(candles: Candles, bad: NDArray[np.bool_], what: str, remedy: str) -> None:
    if not bad.any():
        return
    row = int(np.argmax(bad))
    when = np.datetime64(int(candles.open_time[row]), "ms")
    values = " ".join(f"{name}={getattr(candles, name)[row]:g}" for name in ("open", "high", "low", "close", "volume"))
    _refuse(candles, f"{what} at row {row} ({when}Z, {values})", "a model would learn or trade on it", remedy)


def _refuse(candles: Candles, what: str, why: str, remedy: str) -> None:
    raise CandleError(f"{candles.symbol}: {what}", why=why, remedy=remedy)
