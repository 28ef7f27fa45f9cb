"""What does the venue serve of a market with a wart?"""

import numpy as np
import pytest

from market.timeframe import HOUR_MS
from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import warts
from tests.loopback_exchange.asking import get

START = JANUARY_31 + 300 * FIVE.ms


@pytest.fixture
def wart(exchange, histories):
    """Give BTCUSDT a wart."""

    def give(make, **options):
        exchange.markets["BTCUSDT"] = make(histories["BTCUSDT"], **options)

    return give


def bars(url):
    """Positions of the bars that come, in both protocols."""
    query = {"symbol": "BTCUSDT", "limit": 1000}
    one = get(url, "/fapi/v1/klines", interval="5m", startTime=JANUARY_31, **query)
    other = get(url, "/v5/market/kline", category="linear", interval="5", start=JANUARY_31, **query)["result"]["list"]
    assert [row[0] for row in one] == [int(row[0]) for row in other][::-1]
    assert [row[1:6] for row in one] == [row[1:6] for row in other][::-1]
    return [(row[0] - JANUARY_31) // FIVE.ms for row in one]


def test_a_gap_of_223_bars_is_never_served(exchange, url, wart):
    """Later bars take their place in the page."""
    wart(warts.gap, start_ms=START)
    assert bars(url) == [*range(300), *range(523, 1223)]


def test_a_gap_heals_when_the_time_has_come(exchange, url, wart):
    """Missing a millisecond before."""
    wart(warts.healing_gap, start_ms=START, heals_at_ms=exchange.now_ms + 1)
    assert bars(url) == [*range(300), *range(523, 1223)]
    exchange.now_ms += 1
    assert bars(url) == list(range(1000))


def test_a_gap_heals_after_it_was_asked_for(exchange, url, wart):
    """Calls that do not reach into it do not count."""
    wart(warts.healing_gap, start_ms=START, bars=1, heals_after_asks=2)
    query = {"symbol": "BTCUSDT", "interval": "5m", "limit": 5}

    def count(start_ms):
        return len(get(url, "/fapi/v1/klines", **query, startTime=start_ms, endTime=start_ms + 3 * FIVE.ms))

    assert [count(START + FIVE.ms) for _ in range(3)] == [4, 4, 4]
    assert [count(START) for _ in range(4)] == [3, 3, 4, 4]


def test_closed_bars_are_revised(exchange, url, wart, histories):
    """Other values for a while after the close, then the final ones; bars outside the window are final at once."""
    wart(warts.revised, for_ms=60_000, start_ms=START, end_ms=START + FIVE.ms)
    final = histories["BTCUSDT"].candles

    def served(bar, late_ms):
        exchange.now_ms = JANUARY_31 + (bar + 1) * FIVE.ms + late_ms
        row = get(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m", limit=2)[0]
        assert row[0] == JANUARY_31 + bar * FIVE.ms
        return [float(value) for value in row[1:6]]

    expected = [float(getattr(final, name)[300]) for name in ("open", "high", "low", "close", "volume")]
    early = served(300, 59_999)
    assert early[0] == expected[0]
    assert early[4] == pytest.approx(0.9 * expected[4])
    assert served(300, 60_000) == expected
    assert served(301, 0)[4] == final.volume[301]


def test_funding_intervals_switch(exchange, url, wart):
    """Eight hours, then four, then one."""
    wart(warts.switching_funding)
    exchange.now_ms = JANUARY_31 + 240 * HOUR_MS
    rows = get(url, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1000)
    gaps = np.diff([row["fundingTime"] for row in rows]) // HOUR_MS
    assert sorted(set(gaps.tolist())) == [1, 4, 8]
    assert (np.diff(gaps) <= 0).all()


def test_funding_stamps_are_late_by_milliseconds(url, wart, histories):
    """Up to 40, and not all the same."""
    wart(warts.jittered_funding)
    rows = get(url, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1000)
    true = histories["BTCUSDT"].funding.time[: len(rows)]
    late = np.array([row["fundingTime"] for row in rows]) - true
    assert 0 <= late.min() < late.max() <= 40


def interest(url):
    """Times and values of the newest open interest."""
    rows = get(url, "/futures/data/openInterestHist", symbol="BTCUSDT", period="5m", limit=500)
    return np.array([row["timestamp"] for row in rows]), np.array([float(row["sumOpenInterest"]) for row in rows])


def test_open_interest_is_off_grid_zero_and_doubled(exchange, url, wart, histories):
    """Each wart alone: late stamps within their slot, exact zeros, slots of two stamps."""
    wart(warts.off_grid_interest)
    times, _ = interest(url)
    assert 0 < (times % FIVE.ms > 0).sum() < 50
    assert (np.diff(times) > 0).all()
    wart(warts.zero_interest)
    _, values = interest(url)
    assert 0 < (values == 0).sum() < 50
    wart(warts.doubled_interest)
    times, values = interest(url)
    assert (np.diff(times) > 0).all()
    second = np.flatnonzero(np.diff(times // FIVE.ms) == 0) + 1
    assert 0 < second.size < 50
    assert (values[second] != values[second - 1]).all()


def test_a_market_without_stamps_keeps_none(exchange, histories):
    """A wart on what is not there changes nothing."""
    bare = type(histories["BTCUSDT"])(candles=histories["BTCUSDT"].candles)
    makes = (warts.jittered_funding, warts.off_grid_interest, warts.zero_interest, warts.doubled_interest)
    assert all(make(bare) is bare for make in makes)
