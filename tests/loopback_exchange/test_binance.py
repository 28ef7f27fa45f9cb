"""The fake answers as Binance does, or the tests that use it prove nothing."""

import dataclasses

import pytest

from market.timeframe import DAY_MS, HOUR_MS
from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import warts
from tests.loopback_exchange.asking import get, raw

KLINES = "/fapi/v1/klines"
INTEREST = "/futures/data/openInterestHist"


def klines(url, symbol="BTCUSDT", interval="5m", **query):
    """Rows of candles."""
    return get(url, KLINES, symbol=symbol, interval=interval, **query)


def test_klines_have_twelve_fields_and_the_very_floats(exchange, url, histories):
    """Text prices, integers for times and trades; every closed bar bit for bit."""
    rows = klines(url, limit=1500)
    bars = histories["BTCUSDT"].candles
    first = len(bars.between(None, rows[0][0]))
    assert len(rows) == 1500
    for i in range(1499):
        o, h, l, c, v = (  # noqa: E741
            float(getattr(bars, name)[first + i]) for name in ("open", "high", "low", "close", "volume")
        )
        assert [float(value) for value in rows[i][1:6]] == [o, h, l, c, v]
    kinds = [int, str, str, str, str, str, int, str, int, str, str, str]
    assert [type(value) for value in rows[0]] == kinds
    assert rows[0][6] == rows[0][0] + FIVE.ms - 1


def test_the_forming_bar_comes_last_with_what_has_happened_so_far(exchange, url, histories):
    """Right open; the rest lies between the open and what the bar will be, and grows with the clock."""
    bars = histories["BTCUSDT"].candles
    volumes = []
    for passed in (1, 100_000, 299_999):
        exchange.now_ms = JANUARY_31 + 7 * FIVE.ms + passed
        (row,) = klines(url, limit=1)
        assert row[0] == JANUARY_31 + 7 * FIVE.ms
        o, h, l, c, v = (float(value) for value in row[1:6])  # noqa: E741
        assert o == bars.open[7]
        assert bars.low[7] <= l <= min(o, c) <= max(o, c) <= h <= bars.high[7]
        volumes.append(v)
    assert 0 < volumes[0] < volumes[1] < volumes[2] <= bars.volume[7]
    exchange.now_ms = JANUARY_31 + 8 * FIVE.ms
    assert float(klines(url, limit=2)[0][5]) == bars.volume[7]
    exchange.serves_forming = False
    assert klines(url, limit=1)[0][0] == JANUARY_31 + 7 * FIVE.ms


def test_windows_and_limits_are_those_of_the_venue(exchange, url):
    """With a start the oldest rows count, without one the newest; both ends are inclusive; 500 rows if not told."""
    exchange.now_ms = JANUARY_31 + 5 * FIVE.ms + 150_000
    times = [JANUARY_31 + k * FIVE.ms for k in range(6)]
    assert [row[0] for row in klines(url)] == times
    assert [row[0] for row in klines(url, limit=2)] == times[-2:]
    assert [row[0] for row in klines(url, limit=2, startTime=times[0])] == times[:2]
    assert [row[0] for row in klines(url, limit=2, endTime=times[3])] == times[2:4]
    assert [row[0] for row in klines(url, startTime=times[1], endTime=times[1])] == [times[1]]
    assert klines(url, startTime=times[1] + 1, endTime=times[2] - 1) == []
    exchange.now_ms += 5 * DAY_MS
    assert len(klines(url)) == 500


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        (KLINES, {"symbol": "NOPEUSDT", "interval": "5m"}, -1121),
        (KLINES, {"interval": "5m"}, -1102),
        (KLINES, {"symbol": "BTCUSDT", "interval": "1m"}, -1120),
        (KLINES, {"symbol": "BTCUSDT", "interval": "soon"}, -1120),
        (KLINES, {"symbol": "BTCUSDT", "interval": "5m", "limit": 1501}, -1130),
        (KLINES, {"symbol": "BTCUSDT", "interval": "5m", "startTime": 2, "endTime": 1}, -1023),
        (KLINES, {"symbol": "BTCUSDT", "interval": "5m", "startTime": "x"}, -1102),
        ("/fapi/v1/fundingRate", {"symbol": "NOPEUSDT"}, -1121),
        (INTEREST, {"symbol": "BTCUSDT", "period": "5m", "limit": 501}, -1130),
        (INTEREST, {"symbol": "BTCUSDT", "period": "soon"}, -1130),
    ],
)
def test_wrong_calls_are_refused_with_the_venues_code(url, path, query, code):
    """HTTP 400 and a code, never an empty page."""
    status, _, _ = raw(url, path, **query)
    assert status == 400
    assert get(url, path, **query)["code"] == code


def test_longer_bars_are_built_from_those_held(exchange, url, histories):
    """An hour is its twelve bars."""
    bars = histories["BTCUSDT"].candles
    row = klines(url, interval="1h", startTime=JANUARY_31, limit=2)[1]
    assert row[0] == JANUARY_31 + HOUR_MS
    expected = (bars.open[12], bars.high[12:24].max(), bars.low[12:24].min(), bars.close[23])
    assert tuple(float(value) for value in row[1:5]) == expected
    assert float(row[5]) == pytest.approx(bars.volume[12:24].sum())


def test_funding_comes_up_to_the_clock(exchange, url, histories):
    """Settled stamps with their rates, oldest first."""
    rows = get(url, "/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1000)
    stamps = histories["BTCUSDT"].funding
    past = stamps.time <= exchange.now_ms
    assert [row["fundingTime"] for row in rows] == stamps.time[past].tolist()
    assert [float(row["fundingRate"]) for row in rows] == stamps.rate[past].tolist()
    assert len(get(url, "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=JANUARY_31, limit=2)) == 2
    exchange.markets["BTCUSDT"] = dataclasses.replace(exchange.markets["BTCUSDT"], funding=None)
    assert get(url, "/fapi/v1/fundingRate", symbol="BTCUSDT") == []


def test_open_interest_is_forgotten_after_thirty_days(exchange, url, histories):
    """An older start is refused, and without one nothing older comes; longer periods thin the stamps out."""
    held = histories["BTCUSDT"].open_interest
    query = {"symbol": "BTCUSDT", "period": "5m", "limit": 500}
    rows = get(url, INTEREST, **query, startTime=JANUARY_31)
    assert [row["timestamp"] for row in rows] == held.time[:500].tolist()
    assert [float(row["sumOpenInterest"]) for row in rows] == held.value[:500].tolist()
    hours = get(url, INTEREST, symbol="BTCUSDT", period="1h", limit=3)
    assert [row["timestamp"] % HOUR_MS for row in hours] == [0, 0, 0]
    exchange.now_ms = JANUARY_31 + 31 * DAY_MS
    assert get(url, INTEREST, **query, startTime=JANUARY_31)["code"] == -1130
    exchange.now_ms = JANUARY_31 + 39 * DAY_MS
    left = get(url, INTEREST, **query)
    assert left[0]["timestamp"] == JANUARY_31 + 9 * DAY_MS


def test_exchange_info_tells_limits_and_listings(exchange, url):
    """Rate limits, and of each market since when it trades."""
    told = get(url, "/fapi/v1/exchangeInfo")
    assert told["serverTime"] == exchange.now_ms == get(url, "/fapi/v1/time")["serverTime"]
    limits = {limit["rateLimitType"]: limit for limit in told["rateLimits"]}
    assert limits["REQUEST_WEIGHT"]["limit"] == 2400
    assert [(one["symbol"], one["status"], one["onboardDate"]) for one in told["symbols"]] == [
        ("BTCUSDT", "TRADING", JANUARY_31),
        ("ETHUSDT", "TRADING", JANUARY_31),
    ]


def test_a_symbol_is_listed_trades_settles_and_is_forgotten(exchange, url, histories):
    """Absent before its listing, announced before its end, then without new bars, then invalid."""
    end = JANUARY_31 + 4 * DAY_MS
    exchange.markets["ETHUSDT"] = warts.delisted(histories["ETHUSDT"], at_ms=end, removed_ms=end + DAY_MS)

    def told(now_ms):
        exchange.now_ms = now_ms
        found = [one for one in get(url, "/fapi/v1/exchangeInfo")["symbols"] if one["symbol"] == "ETHUSDT"]
        return (found[0]["status"], found[0]["deliveryDate"] == end) if found else None

    assert told(JANUARY_31 - 1) is None
    assert told(end - 1) == ("TRADING", True)
    assert told(end + HOUR_MS) == ("SETTLING", True)
    assert klines(url, "ETHUSDT", limit=1)[0][0] == end - FIVE.ms
    assert float(klines(url, "ETHUSDT", limit=1)[0][5]) == histories["ETHUSDT"].candles.volume[4 * 288 - 1]
    assert get(url, "/fapi/v1/fundingRate", symbol="ETHUSDT")[-1]["fundingTime"] < end
    assert told(end + DAY_MS) is None
    assert klines(url, "ETHUSDT")["code"] == -1121


def test_tickers_sum_up_a_day(exchange, url, histories):
    """Turnover and extremes of the last 24 hours; one symbol or all."""
    exchange.now_ms = JANUARY_31 + 2 * DAY_MS - 1
    one = get(url, "/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    bars = histories["BTCUSDT"].candles.between(JANUARY_31 + DAY_MS, JANUARY_31 + 2 * DAY_MS)
    assert float(one["openPrice"]) == bars.open[0]
    assert float(one["highPrice"]) == bars.high.max()
    assert float(one["lastPrice"]) == pytest.approx(bars.close[-1], rel=1e-3)
    turnover = (bars.volume * (bars.high + bars.low) / 2).sum()
    assert float(one["quoteVolume"]) == pytest.approx(turnover, rel=1e-3)
    assert [day["symbol"] for day in get(url, "/fapi/v1/ticker/24hr")] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        (KLINES, {"limit": 99}, 1),
        (KLINES, {"limit": 100}, 2),
        (KLINES, {"limit": 499}, 2),
        (KLINES, {"limit": 500}, 5),
        (KLINES, {}, 5),
        (KLINES, {"limit": 1000}, 5),
        (KLINES, {"limit": 1001}, 10),
        ("/fapi/v1/ticker/24hr", {}, 1),
        ("/fapi/v1/exchangeInfo", {}, 1),
        (INTEREST, {"period": "5m"}, 1),
    ],
)
def test_calls_weigh_what_they_weigh_at_the_venue(exchange, url, path, query, weight):
    """The header of the answer agrees with the counter."""
    exchange.binance_limits.clock = lambda: 90.0
    _, headers, _ = raw(url, path, symbol="BTCUSDT", interval="5m", **query)
    assert headers["x-mbx-used-weight-1m"] == str(weight)
    assert exchange.binance_limits.used_weight == exchange.binance_limits.total_weight == weight


def test_all_tickers_weigh_forty(exchange, url):
    """Forty times one symbol."""
    raw(url, "/fapi/v1/ticker/24hr")
    assert exchange.binance_limits.total_weight == 40
