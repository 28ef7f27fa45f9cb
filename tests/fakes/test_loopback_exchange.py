"""The fake venue answers as the real one does, or the tests that use it prove nothing."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest

from market.funding import FundingStamps
from tests.fakes.loopback_exchange import Fault, LoopbackExchange, LoopbackMarket, run_in_thread
from tests.infra.lake_data import FIVE, JANUARY_31, walk


@pytest.fixture
def venue():
    """A venue of one symbol, five and a half bars into its history."""
    bars = walk(20)
    funding = FundingStamps(symbol="BTCUSDT", time=bars.open_time[:3], rate=np.array([1e-4, 2e-4, 3e-4]))
    market = LoopbackMarket(candles=bars, funding=funding)
    exchange = LoopbackExchange(markets={"BTCUSDT": market}, now_ms=JANUARY_31 + 5 * FIVE.ms + 150_000)
    with run_in_thread(exchange) as url:
        yield exchange, url


def get(url):
    """The JSON at this address."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def test_klines_come_as_the_venue_sends_them(venue):
    """Twelve fields, text prices, the forming bar last, nothing of the future."""
    _, url = venue
    rows = get(f"{url}/fapi/v1/klines?symbol=BTCUSDT&interval=5m")
    assert [row[0] for row in rows] == [JANUARY_31 + k * FIVE.ms for k in range(6)]
    assert len(rows[0]) == 12
    assert rows[0][4] == repr(float(walk(20).close[0]))
    assert rows[0][6] == JANUARY_31 + FIVE.ms - 1


def test_windows_and_limits_are_those_of_the_venue(venue):
    """With a start the oldest rows count, without one the newest; the end is inclusive."""
    _, url = venue
    base = f"{url}/fapi/v1/klines?symbol=BTCUSDT&interval=5m&limit=2"
    assert [row[0] for row in get(base)] == [JANUARY_31 + k * FIVE.ms for k in (4, 5)]
    assert [row[0] for row in get(f"{base}&startTime={JANUARY_31}")] == [JANUARY_31, JANUARY_31 + FIVE.ms]
    end = JANUARY_31 + FIVE.ms
    assert [row[0] for row in get(f"{base}&startTime={end}&endTime={end}")] == [end]


def test_funding_time_and_markets_are_served(venue):
    """The other calls the client makes."""
    exchange, url = venue
    assert get(f"{url}/fapi/v1/time") == {"serverTime": exchange.now_ms}
    assert get(f"{url}/fapi/v1/exchangeInfo")["symbols"][0]["contractType"] == "PERPETUAL"
    assert [row["fundingRate"] for row in get(f"{url}/fapi/v1/fundingRate?symbol=BTCUSDT")] == [
        "0.0001",
        "0.0002",
        "0.0003",
    ]
    assert get(f"{url}/futures/data/openInterestHist?symbol=BTCUSDT&period=5m") == []


def test_faults_happen_as_often_as_injected_and_are_logged(venue):
    """429 with its header once, then a dropped connection once, then the answer."""
    exchange, url = venue
    exchange.faults += [Fault(path="time", status=429, retry_after_s=2), Fault(path="time")]
    with pytest.raises(urllib.error.HTTPError, match="429") as refused:
        get(f"{url}/fapi/v1/time")
    assert refused.value.headers["Retry-After"] == "2"
    refused.value.close()
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        get(f"{url}/fapi/v1/time")
    assert get(f"{url}/fapi/v1/time")["serverTime"] == exchange.now_ms
    assert exchange.count("/fapi/v1/time") == 3


def test_unknown_symbols_are_refused_as_the_venue_does(venue):
    """HTTP 400 with the venue's code."""
    _, url = venue
    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        get(f"{url}/fapi/v1/klines?symbol=NOPEUSDT&interval=5m")
    assert b"-1121" in refused.value.read()
    refused.value.close()
