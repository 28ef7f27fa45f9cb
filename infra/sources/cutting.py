"""Which part of what a source holds lies in a window of time?

Candles and takers' shares are named by the open time of their bar, stamps by their time; all are sorted.
"""

from dataclasses import replace

import numpy as np

from infra.sources.protocol import MarketValues
from market.basis import MarkStamps
from market.candles import Candles, Ints
from market.funding import FundingStamps
from market.taker_flow import TakerShares

__all__ = ["between", "times_of"]


def times_of(values: MarketValues) -> Ints:
    """Open times of bars, or the times of stamps: ``(n,) int64`` ms UTC, oldest first."""
    return values.open_time if isinstance(values, Candles | TakerShares) else values.time


def between(values: MarketValues, start_ms: int | None, end_ms: int | None) -> MarketValues:
    """Those with ``start_ms <= time < end_ms``; None leaves that side open."""
    if isinstance(values, Candles):
        return values.between(start_ms, end_ms)
    times = times_of(values)
    lo = 0 if start_ms is None else int(np.searchsorted(times, start_ms))
    hi = times.size if end_ms is None else int(np.searchsorted(times, end_ms))
    if isinstance(values, FundingStamps):
        return replace(values, time=times[lo:hi], rate=values.rate[lo:hi])
    if isinstance(values, MarkStamps):
        return replace(values, time=times[lo:hi], price=values.price[lo:hi])
    if isinstance(values, TakerShares):
        return replace(values, open_time=times[lo:hi], share=values.share[lo:hi])
    return replace(values, time=times[lo:hi], value=values.value[lo:hi])
