"""Which longer bars do these bars add up to?

Only a bucket whose every bar is there becomes a bar: open of the first, extremes of all, close of the last, sum of the
volumes. An incomplete bucket is left out and stays a hole; nothing is guessed. Buckets begin where the longer bars
begin, at multiples of their length since the epoch, so a bar does not depend on where the history starts.

Venues publish decimals. Volumes that are decimals are therefore added as decimals: the sum is the float64 nearest to
the exact decimal sum, the same the venue's own longer bar reads as, bit for bit. Volumes of more than fifteen digits,
as computed ones have, are summed exactly and rounded once.

    >>> one, five = Timeframe.parse("1m"), Timeframe.parse("5m")
    >>> minute, price = np.arange(3, 11) * one.ms, np.arange(8.0) + 1
    >>> columns = {"open": price, "high": price, "low": price, "close": price, "volume": np.full(8, 0.1)}
    >>> bars = resample(Candles(symbol="BTCUSDT", timeframe=one, open_time=minute, **columns), five)
    >>> bars.open_time.tolist(), bars.open.tolist(), bars.close.tolist(), bars.volume.tolist()
    ([300000], [3.0], [7.0], [0.5])
"""

import math

import numpy as np

from market.candles import Candles, Floats
from market.errors import TimeframeError
from market.timeframe import Timeframe

__all__ = ["divides", "resample"]

_MOST_PLACES = 12
_DIGITS_15 = 1e15  # integers up to here are exact, and decimals of fifteen digits have one float64 each
_EXACT = 2.0**53


def divides(short: Timeframe, long: Timeframe) -> bool:
    """Whether bars of ``short`` add up to bars of ``long``.

    >>> divides(Timeframe.parse("1m"), Timeframe.parse("5m")), divides(Timeframe.parse("1h"), Timeframe.parse("5m"))
    (True, False)
    """
    return short.ms < long.ms and long.ms % short.ms == 0


def resample(candles: Candles, to: Timeframe) -> Candles:
    """The complete bars of length ``to``; ``candles`` have passed ``check_candles``."""
    if not divides(candles.timeframe, to):
        raise TimeframeError(
            f"{candles.symbol}: bars of {candles.timeframe.name} do not add up to bars of {to.name}",
            why="a longer bar is made of whole shorter ones",
            remedy=f"provide {to.name} bars, or bars of a length that divides {to.name}",
        )
    size = to.ms // candles.timeframe.ms
    _, first, count = np.unique(candles.open_time // to.ms, return_index=True, return_counts=True)
    begin = first[count == size]
    rows = begin[:, None] + np.arange(size)
    return Candles(
        symbol=candles.symbol,
        timeframe=to,
        open_time=candles.open_time[begin],
        open=candles.open[begin],
        high=candles.high[rows].max(axis=1),
        low=candles.low[rows].min(axis=1),
        close=candles.close[begin + size - 1],
        volume=_sums(candles.volume[rows]),
    )


def _sums(values: Floats) -> Floats:
    """``(k,) float64``: the sum of each row of ``(k, size)``; a row's answer depends on that row alone."""
    sums = np.empty(len(values))
    left = np.arange(len(values))
    for places in range(_MOST_PLACES + 1):
        unit = 10.0**places
        whole = np.rint(values[left] * unit)
        total = whole.sum(axis=1)
        decimal = ((whole / unit == values[left]) & (whole <= _DIGITS_15)).all(axis=1) & (total < _EXACT)
        sums[left[decimal]] = total[decimal] / unit
        left = left[~decimal]
    for row in left:
        sums[row] = math.fsum(values[row])
    return sums
