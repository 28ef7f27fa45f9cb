"""Does the real client read from the fake what the histories hold?"""

import asyncio
import dataclasses

import ccxt
import pytest

from market.timeframe import DAY_MS
from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import BinanceLimits, BybitLimits, Fault
from tests.loopback_exchange.asking import client

BTC = "BTC/USDT:USDT"
pytestmark = pytest.mark.integration


def through(name, url, work):
    """What ``work(api)`` answers with the real client of a venue."""

    async def run():
        async with client(name, url) as api:
            return await work(api)

    return asyncio.run(run())


@pytest.mark.parametrize(("name", "rows"), [("binanceusdm", 1000), ("bybit", 200)])
def test_every_kind_arrives_whole(exchange, url, histories, name, rows):
    """Page by page, values bit for bit, up to the venue's clock."""
    until, history = JANUARY_31 + 4 * DAY_MS, histories["BTCUSDT"]

    async def work(api):
        pages, funding, interest = [], [], []
        for lo in range(JANUARY_31, until, rows * FIVE.ms):
            window = {"until": min(lo + rows * FIVE.ms, until) - 1}
            pages += await api.fetch_ohlcv(BTC, "5m", lo, rows, window)
        funding = await api.fetch_funding_rate_history(BTC, JANUARY_31, 100, {"until": until - 1})
        for lo in range(JANUARY_31, until, 200 * FIVE.ms):
            window = {"until": min(lo + 200 * FIVE.ms, until) - 1}
            interest += await api.fetch_open_interest_history(BTC, "5m", lo, 200, window)
        return pages, funding, interest, await api.fetch_time()

    candles, funding, interest, now = through(name, url, work)
    bars = history.candles.between(None, until)
    columns = zip(*(getattr(bars, one) for one in ("open_time", "open", "high", "low", "close", "volume")), strict=True)
    assert candles == [list(row) for row in columns]
    paid = history.funding.time < until
    assert [one["timestamp"] for one in funding] == history.funding.time[paid].tolist()
    assert [one["fundingRate"] for one in funding] == history.funding.rate[paid].tolist()
    held = history.open_interest.time < until
    assert [one["timestamp"] for one in interest] == history.open_interest.time[held].tolist()
    assert [one["openInterestAmount"] for one in interest] == history.open_interest.value[held].tolist()
    assert now == exchange.now_ms


@pytest.mark.parametrize("name", ["binanceusdm", "bybit"])
def test_markets_and_tickers_are_understood(exchange, url, name):
    """Linear perpetuals with the time of their listing, and their turnover in the quote currency."""

    async def work(api):
        return api.markets, await api.fetch_tickers(params={"subType": "linear", "type": "swap"})

    markets, tickers = through(name, url, work)
    assert [key for key, one in markets.items() if one["swap"] and one["linear"]] == [BTC, "ETH/USDT:USDT"]
    assert all(one["active"] and one["created"] == JANUARY_31 for one in markets.values())
    assert set(tickers) == {BTC, "ETH/USDT:USDT"}
    assert tickers[BTC]["quoteVolume"] > tickers[BTC]["baseVolume"] > 0
    assert tickers[BTC]["last"] > 0


@pytest.mark.parametrize("name", ["binanceusdm", "bybit"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(path="time", status=429, retry_after_s=1), ccxt.NetworkError),
        (Fault(path="time", status=503), ccxt.BaseError),
        (Fault(path="time", status=502), ccxt.ExchangeNotAvailable),
        (Fault(path="time", times=2), ccxt.ExchangeNotAvailable),  # aiohttp itself asks again on a kept connection
    ],
    ids=["429", "503", "502", "dropped"],
)
def test_faults_reach_the_client_as_errors(exchange, url, name, fault, error):
    """None of them as an answer."""
    exchange.faults.append(dataclasses.replace(fault))
    with pytest.raises(error):
        through(name, url, lambda api: api.fetch_time())


def test_limits_reach_the_client(exchange, url):
    """Binance's 429 as DDoSProtection, Bybit's 10006 as RateLimitExceeded."""

    async def ask(api):
        for _ in range(4):
            await api.fetch_time()

    exchange.binance_limits = BinanceLimits(enforce=True, weight=3)
    with pytest.raises(ccxt.DDoSProtection):
        through("binanceusdm", url, ask)
    exchange.bybit_limits = BybitLimits(enforce=True, calls=3)
    with pytest.raises(ccxt.RateLimitExceeded):
        through("bybit", url, ask)
