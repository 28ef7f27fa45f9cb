"""A home and a venue in which one thing goes wrong, and what must be true of both afterwards.

Two markets with two days of bars, settlements and open interest. The home collects three times: with the venue well,
two hours later with the fault, and ten minutes after that with the venue well again. ``truth`` is what a perfect
collector would hold, ``assert_whole`` compares bit for bit.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from infra.bootstrap import App
from infra.fetched_windows import fetched_many
from infra.gaps import open_gaps
from infra.open_interest import OpenInterestStamps
from infra.sources.exchange import ExchangeSource
from market.basis import MarkStamps
from market.funding import FundingStamps
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from tasks.exchange import collect_from
from tasks.venue import exchange_options
from tests.infra.lake_data import FIVE, JANUARY_31, walk
from tests.loopback_exchange import Fault, LoopbackExchange, LoopbackMarket
from tests.loopback_exchange.markets import taker_buys

__all__ = ["AFTER", "BEFORE", "DURING", "SYMBOLS", "Home", "market", "truth"]

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START = JANUARY_31
DAYS = 2
# Seven minutes past the hour: a bar forms, and the newest settlement and slot are out.
BEFORE = START + 2 * DAY_MS - 3 * HOUR_MS + 7 * MINUTE_MS
DURING = BEFORE + 2 * HOUR_MS
AFTER = DURING + 10 * MINUTE_MS
SETTLE_MS = 5000


def market(symbol: str, *, seed: int) -> LoopbackMarket:
    """Two days of one market, the future included."""
    bars = walk(DAYS * 288 + 12, symbol=symbol, start_ms=START, seed=seed)
    hours = START + np.arange(DAYS * 3 + 1, dtype=np.int64) * 8 * HOUR_MS
    rates = np.round(np.random.default_rng(seed).normal(1e-4, 1e-4, hours.size), 8)
    slots = bars.open_time + FIVE.ms
    held = np.round(1000 + np.random.default_rng(seed).random(slots.size), 3)
    return LoopbackMarket(
        candles=bars,
        funding=FundingStamps(symbol=symbol, time=hours, rate=rates),
        open_interest=OpenInterestStamps(symbol=symbol, time=slots, value=held),
        mark=MarkStamps(symbol=symbol, time=slots[11::12], price=np.round(bars.close[11::12] * 1.0005, 4)),
    )


def exchange_with(changed: Callable[[LoopbackMarket], LoopbackMarket], *, venue: str) -> LoopbackExchange:
    """Both markets, the first of them changed."""
    markets = {symbol: market(symbol, seed=seed) for seed, symbol in enumerate(SYMBOLS)}
    markets[SYMBOLS[0]] = changed(markets[SYMBOLS[0]])
    return LoopbackExchange(markets=markets, now_ms=BEFORE, venue=venue)


@dataclass(kw_only=True)
class Home:
    """A home that collects from a loopback exchange by its clock; ``said`` is each run's result."""

    app: App
    exchange: LoopbackExchange
    url: str
    said: list[dict] = field(default_factory=list)

    @property
    def venue(self) -> str:
        """The venue's name."""
        return self.exchange.venues[0]

    def collect(self, now_ms: int, *, symbols: Iterable[str] = SYMBOLS) -> dict:
        """One run at this moment, of both clocks."""
        self.exchange.now_ms = now_ms
        options = exchange_options(self.app.settings, exchange=self.venue)
        source = ExchangeSource(dataclasses.replace(options, url=self.url, first_pause_s=0.01))
        self.said.append(collect_from(self.app, source, symbols=tuple(symbols), now_ms=now_ms))
        return self.said[-1]

    def strike(self, *faults: Fault) -> None:
        """Let these faults strike from now on, and none else."""
        self.exchange.faults[:] = faults

    def data_calls(self) -> int:
        """How many calls for rows the venue has had."""
        return sum(self.exchange.count(path) for path in ("kline", "funding", "penInterest", "open-interest"))

    def gaps(self) -> list[tuple[str, int, int, str]]:
        """Symbol, first open time, number and status of the bars in each open gap."""
        found = open_gaps(self.app.engine, symbols=SYMBOLS, timeframe=FIVE)
        return [(gap.symbol, gap.first_ms, gap.bars, str(gap.status)) for gap in found]

    def answered(self, symbol: str) -> tuple[tuple[int, int], ...]:
        """What the venue has answered for, of candles."""
        return fetched_many(self.app.engine, symbols=[symbol], kind="candles", timeframe="5m", source=self.venue)[
            symbol
        ]

    def stored(self, symbol: str) -> tuple[bytes, ...]:
        """Bars, settlements, open interest, mark prices and takers' shares in the lake, as bytes."""
        lake = self.app.lake
        bars, funding, held = lake.candles(symbol, FIVE), lake.funding(symbol), lake.open_interest(symbol)
        mark, taker = lake.mark(symbol), lake.taker(symbol, FIVE)
        names = ("open_time", "open", "high", "low", "close", "volume")
        columns = [getattr(bars, name) for name in names] + [funding.time, funding.rate, *held]
        columns += [mark.time, mark.price, taker.open_time, taker.share]
        return tuple(np.ascontiguousarray(column).tobytes() for column in columns)

    def assert_whole(self, now_ms: int, *, symbols: Iterable[str] = SYMBOLS) -> None:
        """The lake holds exactly what the venue has that is final at this moment, each once, and the ledger agrees."""
        for symbol in symbols:
            expected = truth(self.exchange.markets[symbol], now_ms, tells_takers=self.venue == "binanceusdm")
            for stored, wanted in zip(self.stored(symbol), expected, strict=True):
                assert stored == wanted, symbol
            bars = self.app.lake.candles(symbol, FIVE).open_time
            ends = bars[-1] + FIVE.ms
            holes = sum(bars for name, _, bars, _ in self.gaps() if name == symbol)
            assert holes == (ends - bars[0]) // FIVE.ms - bars.size, "the ledger's gaps are the holes of the lake"
            (window,) = self.answered(symbol)
            for row in self.said[-1]["coverage"] if self.said else ():
                if row["symbol"] == symbol:
                    assert (row["first_ms"], row["last_ms"], row["rows"]) == (bars[0], bars[-1], bars.size)
            assert ends <= window[1] <= (now_ms - SETTLE_MS) // FIVE.ms * FIVE.ms


def truth(held: LoopbackMarket, now_ms: int, *, tells_takers: bool = True) -> tuple[bytes, ...]:
    """What a perfect collector holds at this moment: what is closed of bars and hours, and stamps up to now."""
    last = now_ms if held.delisted_ms is None else min(now_ms, held.delisted_ms - 1)
    closed = held.candles.between(None, (now_ms - SETTLE_MS) // FIVE.ms * FIVE.ms).between(None, last + 1)
    names = ("open_time", "open", "high", "low", "close", "volume")
    columns = [getattr(closed, name) for name in names]
    for stamps, value in ((held.funding, "rate"), (held.open_interest, "value")):
        seen = stamps.time <= last
        columns += [stamps.time[seen], getattr(stamps, value)[seen]]
    seen = held.mark.time <= min(now_ms - SETTLE_MS, last + 1)
    columns += [held.mark.time[seen], held.mark.price[seen]]
    told = (closed.volume > 0) & tells_takers
    bought = taker_buys(closed.high, closed.low, closed.close, closed.volume)
    columns += [closed.open_time[told], bought[told] / closed.volume[told]]
    return tuple(np.ascontiguousarray(column).tobytes() for column in columns)
