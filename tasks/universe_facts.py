"""What is known of each market when its universe is decided: from the venue now, or from the lake for a past day?

The lake answers as of the start of the day, so that no later bar, revision or listing has a say: turnover is the sum of
volume times close over the 24 hours before, the price is the last close, a market without any bar in them is traded no
more. Turnover over less than the required share of these bars would be too small without saying so: it is unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from infra.lake import Lake
from infra.lake_files import CANDLE_COLUMNS
from infra.lake_rows import Rows, rows_as_of, take_rows
from infra.sources.exchange import Listing, Ticker
from market.candles import Ints
from market.timeframe import DAY_MS, Timeframe
from market.universe import MarketFacts

__all__ = ["LakeMarkets", "day_start_ms", "first_bars", "lake_facts", "venue_facts"]

_Moment = TypeVar("_Moment", int, Ints)


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeMarkets:
    """The markets of a lake: open times of their first bars, and earlier listing dates where a venue gave them."""

    lake: Lake
    timeframe: Timeframe
    firsts: Mapping[str, int]
    listed: Mapping[str, int]
    settle_delay_ms: int
    min_coverage: float

    def as_of_ms(self, day_ms: int) -> int:
        """The moment at which the day's universe is decided: its last bar before has settled."""
        return day_ms + self.settle_delay_ms


def day_start_ms(time_ms: _Moment) -> _Moment:
    """00:00 UTC of the day of a moment, or of each of several."""
    return time_ms // DAY_MS * DAY_MS


def first_bars(lake: Lake, timeframe: Timeframe) -> dict[str, int]:
    """Open time of the first bar of every market in the lake."""
    bars = {symbol: lake.candles(symbol, timeframe).open_time for symbol in lake.symbols(timeframe)}
    return {symbol: int(times[0]) for symbol, times in bars.items() if times.size}


def lake_facts(markets: LakeMarkets, days_ms: Sequence[int]) -> list[tuple[MarketFacts, ...]]:
    """For each day what was known when it began, of every market that had a bar by then; ``days_ms`` ascending.

    Each market is read once, so the days should lie together.
    """
    found: list[list[MarketFacts]] = [[] for _ in days_ms]
    kind = f"candles_{markets.timeframe.name}"
    for symbol, first in sorted(markets.firsts.items()):
        rows = markets.lake.versions(kind, symbol, start_ms=days_ms[0] - DAY_MS, end_ms=days_ms[-1])
        for facts, day_ms in zip(found, days_ms, strict=True):
            if first < day_ms:
                facts.append(_of_day(markets, symbol, rows, day_ms))
    return [tuple(facts) for facts in found]


def venue_facts(
    listings: Iterable[Listing], tickers: Iterable[Ticker], *, quote: str, now_ms: int
) -> tuple[MarketFacts, ...]:
    """What the venue says of its markets in this quote currency; a ticker older than its 24 hours says nothing."""
    fresh = {one.symbol: one for one in tickers if now_ms - one.time_ms < DAY_MS}
    facts = []
    for listing in listings:
        ticker = fresh.get(listing.symbol)
        if listing.quote == quote:
            facts.append(
                MarketFacts(
                    symbol=listing.symbol,
                    turnover_24h=None if ticker is None else ticker.turnover_24h,
                    price=None if ticker is None else ticker.price,
                    listed_ms=listing.listed_ms,
                    active=listing.active,
                )
            )
    return tuple(facts)


def _of_day(markets: LakeMarkets, symbol: str, rows: Rows, day_ms: int) -> MarketFacts:
    first, start_ms = markets.firsts[symbol], day_ms - DAY_MS
    lo, hi = np.searchsorted(rows.time, (start_ms, day_ms))
    bars = rows_as_of(take_rows(rows, slice(int(lo), int(hi))), markets.as_of_ms(day_ms))
    columns = dict(zip(CANDLE_COLUMNS, bars.values, strict=True))
    expected = (day_ms - max(first, start_ms)) // markets.timeframe.ms
    whole = len(bars) > 0 and len(bars) >= markets.min_coverage * expected
    return MarketFacts(
        symbol=symbol,
        turnover_24h=float((columns["volume"] * columns["close"]).sum()) if whole else None,
        price=float(columns["close"][-1]) if len(bars) else None,
        listed_ms=min(first, markets.listed.get(symbol, first)),
        active=len(bars) > 0,
    )
