"""What is wrong with a market itself, as real venues have had it?

Each function gives the market back with one wart more; nothing else about it changes. The same seed gives the same
wart.
"""

import dataclasses

import numpy as np

from market.candles import Candles, Ints
from market.funding import FundingStamps
from market.timeframe import DAY_MS, HOUR_MS
from tests.loopback_exchange.markets import Hole, LoopbackMarket, Revision

__all__ = [
    "GAP_BARS",
    "delisted",
    "doubled_interest",
    "gap",
    "healing_gap",
    "jittered_funding",
    "off_grid_interest",
    "revised",
    "switching_funding",
    "zero_interest",
]

GAP_BARS = 223  # as long as the hole of 2025-09-20 in a public archive of BTC and ETH
_EVERY = 50  # one open interest stamp in so many is odd


def gap(market: LoopbackMarket, *, start_ms: int, bars: int = GAP_BARS) -> LoopbackMarket:
    """Bars that the venue never had."""
    candles = market.candles
    keep = (candles.open_time < start_ms) | (candles.open_time >= start_ms + bars * candles.timeframe.ms)
    columns = {name: getattr(candles, name)[keep] for name in ("open_time", "open", "high", "low", "close", "volume")}
    left = Candles(symbol=candles.symbol, timeframe=candles.timeframe, **columns)
    return dataclasses.replace(market, candles=left, listed_ms=market.onboard_ms)


def healing_gap(
    market: LoopbackMarket,
    *,
    start_ms: int,
    bars: int = GAP_BARS,
    heals_at_ms: int | None = None,
    heals_after_asks: int | None = None,
) -> LoopbackMarket:
    """Bars that are missing until a time of the venue's clock, or until they were asked for so often."""
    end = start_ms + bars * market.candles.timeframe.ms
    hole = Hole(start_ms=start_ms, end_ms=end, heals_at_ms=heals_at_ms, heals_after_asks=heals_after_asks)
    return dataclasses.replace(market, holes=(*market.holes, hole))


def revised(market: LoopbackMarket, *, for_ms: int, start_ms: int = 0, end_ms: int = 2**62) -> LoopbackMarket:
    """Closed bars that are served with other values for ``for_ms`` after their close; at first all of them."""
    revision = Revision(for_ms=for_ms, start_ms=start_ms, end_ms=end_ms)
    return dataclasses.replace(market, revisions=(*market.revisions, revision))


def delisted(market: LoopbackMarket, *, at_ms: int, removed_ms: int | None = None) -> LoopbackMarket:
    """Nothing is traded from ``at_ms`` on; the symbol is unknown from ``removed_ms`` on."""
    return dataclasses.replace(market, delisted_ms=at_ms, removed_ms=removed_ms)


def switching_funding(
    market: LoopbackMarket, *, start_ms: int | None = None, hours: tuple[int, ...] = (8, 4, 1), seed: int = 0
) -> LoopbackMarket:
    """Settlements every 8, then 4, then 1 hours, each for the same number of whole days."""
    times = market.candles.open_time
    first = int(times[0]) if start_ms is None else start_ms
    days = max((int(times[-1]) - first) // DAY_MS // len(hours), 1)
    parts = [
        np.arange(first + k * days * DAY_MS, first + (k + 1) * days * DAY_MS, every * HOUR_MS, dtype=np.int64)
        for k, every in enumerate(hours)
    ]
    stamps = -(-np.concatenate(parts) // HOUR_MS) * HOUR_MS
    rates = np.round(np.random.default_rng(seed).normal(1e-4, 1e-4, stamps.size), 8)
    return dataclasses.replace(market, funding=FundingStamps(symbol=market.candles.symbol, time=stamps, rate=rates))


def jittered_funding(market: LoopbackMarket, *, most_ms: int = 40, seed: int = 0) -> LoopbackMarket:
    """Settlement stamps up to 40 ms late."""
    funding = market.funding
    if funding is None:
        return market
    late = np.random.default_rng(seed).integers(0, most_ms + 1, funding.time.size)
    return dataclasses.replace(market, funding=dataclasses.replace(funding, time=funding.time + late))


def off_grid_interest(market: LoopbackMarket, *, most_ms: int = 278_000, seed: int = 0) -> LoopbackMarket:
    """One open interest stamp in fifty up to 278 seconds late, mostly one second."""
    held = market.open_interest
    if held is None:
        return market
    rng = np.random.default_rng(seed)
    odd = _odd(held.time, rng)
    late = np.where(rng.random(odd.size) < 0.7, 1000, rng.integers(2, most_ms // 1000 + 1, odd.size) * 1000)
    times = held.time.copy()
    times[odd] += late
    return dataclasses.replace(market, open_interest=dataclasses.replace(held, time=times))


def zero_interest(market: LoopbackMarket, *, seed: int = 0) -> LoopbackMarket:
    """One open interest in fifty is exactly zero, which means that the venue did not know it."""
    held = market.open_interest
    if held is None:
        return market
    values = held.value.copy()
    values[_odd(held.time, np.random.default_rng(seed))] = 0.0
    return dataclasses.replace(market, open_interest=dataclasses.replace(held, value=values))


def doubled_interest(market: LoopbackMarket, *, seed: int = 0) -> LoopbackMarket:
    """One slot in fifty holds two stamps: the second a second later, with another value."""
    held = market.open_interest
    if held is None:
        return market
    odd = _odd(held.time, np.random.default_rng(seed))
    times = np.insert(held.time, odd + 1, held.time[odd] + 1000)
    values = np.insert(held.value, odd + 1, np.round(held.value[odd] * 1.001, 3))
    return dataclasses.replace(market, open_interest=dataclasses.replace(held, time=times, value=values))


def _odd(times: Ints, rng: np.random.Generator) -> Ints:
    """Sorted positions of the stamps that a wart takes: at least one, never the last."""
    return np.sort(rng.choice(max(times.size - 1, 1), max(times.size // _EVERY, 1), replace=False))
