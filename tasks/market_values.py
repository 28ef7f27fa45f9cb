"""How are the three kinds of market data handled as one?

Candles, funding and open interest differ in their columns; here is what they have in common: times, a part of them, and
a place in the lake.
"""

import numpy as np

from infra.lake import Lake
from infra.open_interest import OpenInterestStamps
from infra.sources.protocol import MarketValues
from market.candles import Candles, Ints
from market.funding import FundingStamps

__all__ = ["append", "between", "times_of"]


def times_of(values: MarketValues) -> Ints:
    """Open times of bars, or the times of stamps: ``(n,) int64`` ms UTC, oldest first."""
    return values.open_time if isinstance(values, Candles) else values.time


def between(values: MarketValues, start_ms: int | None, end_ms: int | None) -> MarketValues:
    """Those with ``start_ms <= time < end_ms``; None leaves that side open."""
    if isinstance(values, Candles):
        return values.between(start_ms, end_ms)
    lo = 0 if start_ms is None else int(np.searchsorted(values.time, start_ms))
    hi = values.time.size if end_ms is None else int(np.searchsorted(values.time, end_ms))
    if isinstance(values, FundingStamps):
        return FundingStamps(symbol=values.symbol, time=values.time[lo:hi], rate=values.rate[lo:hi])
    return OpenInterestStamps(symbol=values.symbol, time=values.time[lo:hi], value=values.value[lo:hi])


def append(lake: Lake, values: MarketValues, source: str, *, known_at_ms: int | None = None) -> int:
    """Store what a source handed over; return the number of new rows. None is known since it happened."""
    if isinstance(values, Candles):
        return lake.append_candles(values, source=source, known_at_ms=known_at_ms)
    if isinstance(values, FundingStamps):
        return lake.append_funding(values, source=source, known_at_ms=known_at_ms)
    return lake.append_open_interest(values.symbol, values.time, values.value, source=source, known_at_ms=known_at_ms)
