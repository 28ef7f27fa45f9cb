"""The fake answers as Bybit does, or the tests that use it prove nothing."""

import pytest

from market.timeframe import DAY_MS, HOUR_MS
from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import LoopbackExchange, run_in_thread, warts
from tests.loopback_exchange.asking import get, raw


def ask(url, path, **query):
    """The result of a call about a linear contract."""
    return get(url, f"/v5/market/{path}", category="linear", **query)


def listed(url, path, **query):
    """The rows of the result."""
    return ask(url, path, **query)["result"]["list"]


def test_klines_come_newest_first_as_text(exchange, url, histories):
    """Seven fields; closed bars bit for bit; the forming bar is the first."""
    rows = listed(url, "kline", symbol="BTCUSDT", interval="5", limit=1000)
    bars = histories["BTCUSDT"].candles
    assert len(rows) == 1000
    assert int(rows[0][0]) == exchange.now_ms // FIVE.ms * FIVE.ms
    for row in rows[1:]:
        i = (int(row[0]) - JANUARY_31) // FIVE.ms
        values = [float(getattr(bars, name)[i]) for name in ("open", "high", "low", "close", "volume")]
        assert [float(value) for value in row[1:6]] == values
    assert all(isinstance(value, str) for value in rows[0])
    forming = (exchange.now_ms - JANUARY_31) // FIVE.ms
    assert 0 < float(rows[0][5]) < bars.volume[forming]


def test_windows_of_klines(exchange, url):
    """With an end the newest of the window, with a start alone the oldest; the bar that contains the start comes."""
    t = [JANUARY_31 + k * FIVE.ms for k in range(10)]

    def times(**query):
        return [int(row[0]) for row in listed(url, "kline", symbol="BTCUSDT", interval="5", **query)]

    assert times(start=t[0], end=t[9], limit=3) == [t[9], t[8], t[7]]
    assert times(start=t[2], limit=3) == [t[4], t[3], t[2]]
    assert times(start=t[2] + 1, end=t[3]) == [t[3], t[2]]
    assert len(times()) == 200
    assert [int(row[0]) % HOUR_MS for row in listed(url, "kline", symbol="BTCUSDT", interval="60")[:2]] == [0, 0]
    assert int(listed(url, "kline", symbol="BTCUSDT", interval="D")[-1][0]) == JANUARY_31


def test_funding_wants_an_end(exchange, url, histories):
    """A start alone is an error; newest first, 200 at most."""
    stamps = histories["BTCUSDT"].funding
    rows = listed(url, "funding/history", symbol="BTCUSDT")
    past = stamps.time <= exchange.now_ms
    assert [int(row["fundingRateTimestamp"]) for row in rows] == stamps.time[past][::-1].tolist()
    assert [float(row["fundingRate"]) for row in rows] == stamps.rate[past][::-1].tolist()
    assert ask(url, "funding/history", symbol="BTCUSDT", startTime=JANUARY_31)["retCode"] == 10001
    some = listed(url, "funding/history", symbol="BTCUSDT", startTime=JANUARY_31, endTime=JANUARY_31 + DAY_MS, limit=2)
    assert [int(row["fundingRateTimestamp"]) for row in some] == [JANUARY_31 + DAY_MS, JANUARY_31 + 16 * HOUR_MS]


def test_open_interest_goes_on_with_the_cursor(exchange, url, histories):
    """Pages of 200 to the end of the window, none twice; a start alone is ignored."""
    window = {"symbol": "BTCUSDT", "intervalTime": "5min", "limit": 200}
    window |= {"startTime": JANUARY_31, "endTime": JANUARY_31 + 2 * DAY_MS}
    times, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        result = ask(url, "open-interest", **window, cursor=cursor)["result"]
        times += [int(row["timestamp"]) for row in result["list"]]
        cursor, pages = result["nextPageCursor"], pages + 1
    held = histories["BTCUSDT"].open_interest.time
    assert times == held[held <= JANUARY_31 + 2 * DAY_MS][::-1].tolist()
    assert pages == 3
    alone = listed(url, "open-interest", symbol="BTCUSDT", intervalTime="1h", startTime=JANUARY_31, limit=1)
    assert int(alone[0]["timestamp"]) == exchange.now_ms // HOUR_MS * HOUR_MS


def test_instruments_come_in_pages(exchange, url):
    """Traded contracts with the moment they were launched."""
    first = ask(url, "instruments-info", limit=1)["result"]
    second = ask(url, "instruments-info", limit=1, cursor=first["nextPageCursor"])["result"]
    assert [first["list"][0]["symbol"], second["list"][0]["symbol"]] == ["BTCUSDT", "ETHUSDT"]
    assert second["nextPageCursor"] == ""
    assert first["list"][0]["launchTime"] == str(JANUARY_31)
    assert first["list"][0]["fundingInterval"] == 480
    assert listed(url, "instruments-info", status="PreLaunch") == []


def test_a_delisted_symbol_is_not_listed_and_later_not_known(exchange, url, histories):
    """Its history is served for a while."""
    end = JANUARY_31 + 4 * DAY_MS
    exchange.markets["ETHUSDT"] = warts.delisted(histories["ETHUSDT"], at_ms=end, removed_ms=end + DAY_MS)
    exchange.now_ms = end + HOUR_MS
    assert [one["symbol"] for one in listed(url, "instruments-info")] == ["BTCUSDT"]
    assert [one["symbol"] for one in listed(url, "tickers")] == ["BTCUSDT"]
    assert int(listed(url, "kline", symbol="ETHUSDT", interval="5")[0][0]) == end - FIVE.ms
    exchange.now_ms = end + DAY_MS
    refusal = ask(url, "kline", symbol="ETHUSDT", interval="5")
    assert (refusal["retCode"], refusal["retMsg"]) == (10001, "params error: Symbol Invalid")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("kline", {"symbol": "NOPEUSDT", "interval": "5"}),
        ("kline", {"symbol": "BTCUSDT", "interval": "1"}),
        ("kline", {"symbol": "BTCUSDT", "interval": "soon"}),
        ("kline", {"symbol": "BTCUSDT", "interval": "5", "limit": 1001}),
        ("kline", {"symbol": "BTCUSDT", "interval": "5", "start": 2, "end": 1}),
        ("kline", {"symbol": "BTCUSDT", "interval": "5", "start": "x"}),
        ("open-interest", {"symbol": "BTCUSDT", "intervalTime": "5m"}),
        ("tickers", {"symbol": "NOPEUSDT"}),
    ],
)
def test_wrong_calls_are_refused_with_the_venues_code(url, path, query):
    """HTTP 200, retCode 10001."""
    assert ask(url, path, **query)["retCode"] == 10001


def test_only_linear_contracts_are_there(url):
    """Another category is an error, not another market."""
    for path in ("instruments-info", "kline", "tickers"):
        assert get(url, f"/v5/market/{path}", category="spot", symbol="BTCUSDT", interval="5")["retCode"] == 10001


def test_time_and_tickers(exchange, url, histories):
    """The clock in three spellings; what a ticker sums up."""
    told = get(url, "/v5/market/time")
    assert told["time"] == exchange.now_ms
    assert told["result"] == {"timeSecond": str(exchange.now_ms // 1000), "timeNano": f"{exchange.now_ms}000000"}
    (one,) = listed(url, "tickers", symbol="BTCUSDT")
    assert float(one["fundingRate"]) in histories["BTCUSDT"].funding.rate
    assert float(one["openInterest"]) in histories["BTCUSDT"].open_interest.value
    assert float(one["turnover24h"]) > 0


def test_a_venue_may_be_spoken_alone(histories):
    """Then the other's paths do not exist; a third venue is refused."""
    with run_in_thread(LoopbackExchange(markets=dict(histories), now_ms=JANUARY_31, venue="bybit")) as url:
        assert raw(url, "/v5/market/time")[0] == 200
        assert raw(url, "/fapi/v1/time")[0] == 404
    with pytest.raises(ValueError, match="speaks binanceusdm and bybit"):
        LoopbackExchange(markets={}, now_ms=0, venue="kraken")
