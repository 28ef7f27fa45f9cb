"""Two made-up histories behind a venue on loopback, for the tests of the exchange client."""

import dataclasses
from functools import cache

from infra.sources import ExchangeOptions, ExchangeSource, FetchRequest, Kind, synthetic_market
from market.timeframe import DAY_MS
from tasks.fetch_plan import period_of
from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import LoopbackExchange, LoopbackMarket

DAYS = 12
NOW = JANUARY_31 + (DAYS - 1) * DAY_MS + 100_000
CLOSED = (NOW - 5000) // FIVE.ms * FIVE.ms  # the end of the last bar that has closed by NOW
NAMES = {"BTCUSDT": "SYNBTCUSDT", "ETHUSDT": "SYNETHUSDT"}
PATHS = {
    "binanceusdm": {
        Kind.CANDLES: "klines",
        Kind.FUNDING: "fundingRate",
        Kind.OPEN_INTEREST: "openInterestHist",
        Kind.MARK: "markPriceKlines",
    },
    "bybit": {
        Kind.CANDLES: "kline",
        Kind.FUNDING: "funding/history",
        Kind.OPEN_INTEREST: "open-interest",
        Kind.MARK: "mark-price-kline",
    },
}


@cache
def market(symbol="BTCUSDT"):
    """What the venue holds of one symbol, a day more than it can show."""
    name = NAMES[symbol]
    made = synthetic_market((name,), timeframe=FIVE, start_ms=JANUARY_31, days=DAYS, seed=3)[name]
    named = {
        kind: dataclasses.replace(getattr(made, kind), symbol=symbol)
        for kind in ("candles", "funding", "open_interest", "mark")
    }
    return LoopbackMarket(**named)


def venue(*, now_ms=NOW, faults=(), **markets):
    """A venue of both symbols, or of others given by name."""
    return LoopbackExchange(
        markets={name: market(name) for name in NAMES} | markets, now_ms=now_ms, faults=list(faults)
    )


def source(url, exchange="binanceusdm", **kwargs):
    """A source that retries quickly."""
    quick = {"first_pause_s": 0.01, "timeout_s": 5.0, "max_failures": 50}
    return ExchangeSource(ExchangeOptions(exchange=exchange, url=url, **(quick | kwargs)))


def ask(kind=Kind.CANDLES, symbol="BTCUSDT", start=JANUARY_31, end=NOW):
    """A request for everything, unless told otherwise."""
    timeframe = period_of(kind, FIVE)
    return FetchRequest(symbol=symbol, kind=kind, timeframe=timeframe, start_ms=start, end_ms=end)


def fetch(url, *requests, exchange="binanceusdm", now_ms=None, **kwargs):
    """The results of these requests, by default of one for all candles."""
    with source(url, exchange, **kwargs).session() as session:
        return session.collect(requests or (ask(),), now_ms=now_ms)
