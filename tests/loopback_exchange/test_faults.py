"""What comes out on the wire under each fault?"""

import http.client
import json
import time

import pytest

from tests.infra.lake_data import FIVE, JANUARY_31
from tests.loopback_exchange import Fault, FaultKind
from tests.loopback_exchange.asking import get, raw

TIME = "/fapi/v1/time"


def page(url, symbol="BTCUSDT", limit=20):
    """Candles of Binance."""
    return get(url, "/fapi/v1/klines", symbol=symbol, interval="5m", startTime=JANUARY_31, limit=limit)


def bybit_page(url, limit=20):
    """Candles of Bybit."""
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "5", "limit": limit}
    return get(url, "/v5/market/kline", **query)["result"]["list"]


@pytest.mark.parametrize("status", [418, 429, 500, 502, 503, 504])
def test_a_status_comes_with_its_retry_after_as_often_as_asked(exchange, url, status):
    """Twice, then the answer; counted in the log."""
    after = 2 if status in {418, 429, 503} else None
    exchange.faults.append(Fault(path="time", status=status, retry_after_s=after, times=2))
    for _ in range(2):
        answered, headers, body = raw(url, TIME)
        assert answered == status
        assert headers.get("retry-after") == (None if after is None else "2")
        assert body.startswith(b"<html>") if status in {502, 504} else json.loads(body)["code"] < 0
    assert get(url, TIME)["serverTime"] == exchange.now_ms
    assert exchange.count(TIME) == 3
    assert exchange.faults[0].struck == 2


def test_bybits_own_refusals(exchange, url):
    """A code in the body of a 200 with the reset in a header, a 403 in plain words, a 500 with a code."""
    exchange.faults += [
        Fault(path="/v5/market/time", status=200, code=10006, retry_after_s=3),
        Fault(path="/v5/market/time", status=403),
        Fault(path="/v5/market/time", status=500),
    ]
    status, headers, body = raw(url, "/v5/market/time")
    assert (status, json.loads(body)["retCode"]) == (200, 10006)
    assert headers["x-bapi-limit-reset-timestamp"] == str(exchange.now_ms + 3000)
    assert raw(url, "/v5/market/time")[::2] == (403, b"403, access too frequent")
    status, _, body = raw(url, "/v5/market/time")
    assert (status, json.loads(body)["retCode"]) == (500, 10016)


def test_a_dropped_connection_answers_nothing(exchange, url):
    """Not a byte, once; then the answer."""
    exchange.faults.append(Fault(path="time"))
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        raw(url, TIME)
    assert get(url, TIME)["serverTime"] == exchange.now_ms


def test_a_hanging_call_ends_with_its_client(exchange, url):
    """Nothing comes within the client's patience, and nothing stays behind at the venue."""
    exchange.faults.append(Fault(path="time", kind=FaultKind.HANG))
    with pytest.raises(TimeoutError):
        raw(url, TIME, timeout_s=0.1)
    assert get(url, TIME)["serverTime"] == exchange.now_ms
    assert exchange.in_flight == 0
    assert exchange.most_at_once >= 1


@pytest.mark.parametrize("kind", [FaultKind.SLOW, FaultKind.SLOW_BODY])
def test_slow_answers_are_whole(exchange, url, kind):
    """They take the time told; a slow body begins at once."""
    exchange.faults.append(Fault(path="klines", kind=kind, slow_s=0.2))
    address = url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=5)
    began = time.monotonic()
    connection.request("GET", f"/fapi/v1/klines?symbol=BTCUSDT&interval=5m&startTime={JANUARY_31}&limit=20")
    answer = connection.getresponse()
    headers_s = time.monotonic() - began
    body = answer.read()
    connection.close()
    assert time.monotonic() - began >= 0.2
    assert (headers_s < 0.15) == (kind is FaultKind.SLOW_BODY)
    assert int(answer.headers["Content-Length"]) == len(body)
    assert json.loads(body) == page(url)


def test_truncated_json_has_a_length_that_agrees(exchange, url):
    """Only parsing tells."""
    exchange.faults.append(Fault(path="klines", kind=FaultKind.TRUNCATED))
    _, headers, body = raw(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m")
    assert int(headers["content-length"]) == len(body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_a_cut_body_ends_with_the_connection(exchange, url):
    """Fewer bytes than its length promised."""
    exchange.faults.append(Fault(path="klines", kind=FaultKind.CUT))
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        raw(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m")


@pytest.mark.parametrize("ask", [page, bybit_page])
@pytest.mark.parametrize(
    "kind", [FaultKind.EMPTY, FaultKind.SHORT, FaultKind.DUPLICATE, FaultKind.DISORDER, FaultKind.CONFLICT]
)
def test_pages_that_are_not_what_they_should_be(exchange, url, ask, kind):
    """Once, and the next page is whole again."""
    good = ask(url)
    exchange.faults.append(Fault(path="kline", kind=kind))
    bad = ask(url)
    if kind is FaultKind.EMPTY:
        assert bad == []
    elif kind is FaultKind.SHORT:
        assert bad == good[:10]
    elif kind is FaultKind.DISORDER:
        assert bad != good
        assert sorted(bad) == sorted(good)
    else:
        assert len(bad) == len(good) + 1
        times = [row[0] for row in bad]
        (twice,) = {moment for moment in times if times.count(moment) == 2}
        first, second = (row for row in bad if row[0] == twice)
        assert (first == second) == (kind is FaultKind.DUPLICATE)
    assert ask(url) == good


@pytest.mark.parametrize(
    ("path", "query", "time_name"),
    [
        ("/fapi/v1/fundingRate", {}, "fundingTime"),
        ("/futures/data/openInterestHist", {"period": "5m"}, "timestamp"),
        ("/v5/market/funding/history", {"category": "linear"}, "fundingRateTimestamp"),
        ("/v5/market/open-interest", {"category": "linear", "intervalTime": "5min"}, "timestamp"),
    ],
)
def test_conflicts_of_stamps(exchange, url, path, query, time_name):
    """The same stamp twice, with another value."""
    exchange.faults.append(Fault(path=path, kind=FaultKind.CONFLICT))
    answer = get(url, path, symbol="BTCUSDT", **query)
    rows = answer["result"]["list"] if "result" in answer else answer
    times = [row[time_name] for row in rows]
    (twice,) = {moment for moment in times if times.count(moment) == 2}
    assert len([row for row in rows if row[time_name] == twice and row not in rows[: times.index(twice)]]) == 2
    first, second = (row for row in rows if row[time_name] == twice)
    assert first != second


def test_a_fault_may_wait_and_may_be_for_one_symbol(exchange, url):
    """The first call of the symbol passes, the second is struck; others are not."""
    exchange.faults.append(Fault(path="klines", symbol="ETHUSDT", kind=FaultKind.EMPTY, after=1))
    assert page(url)
    assert page(url, "ETHUSDT")
    assert page(url)
    assert page(url, "ETHUSDT") == []
    assert page(url, "ETHUSDT")


def test_chance_is_seeded():
    """The same calls are struck again, about as many as told."""

    def struck():
        fault = Fault(path="", kind=FaultKind.DROP, times=None, probability=0.3, seed=5)
        return [fault.strikes("/x", None) for _ in range(1000)]

    assert struck() == struck()
    assert 250 < sum(struck()) < 350


def test_the_clock_may_be_wrong_in_what_it_says_and_in_what_it_serves(exchange, url):
    """Said time and served bars move apart, or together."""
    true = exchange.now_ms
    exchange.says_offset_ms = 7_200_000
    assert get(url, TIME)["serverTime"] == true + 7_200_000
    assert get(url, "/v5/market/time")["time"] == true + 7_200_000
    newest = get(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m", limit=1)[0][0]
    assert newest == true // FIVE.ms * FIVE.ms
    exchange.serves_offset_ms = -7_200_000
    newest = get(url, "/fapi/v1/klines", symbol="BTCUSDT", interval="5m", limit=1)[0][0]
    assert newest == (true - 7_200_000) // FIVE.ms * FIVE.ms


def test_the_clock_may_run(exchange):
    """As much faster than real time as told."""
    exchange.now_ms = JANUARY_31
    assert exchange.now_ms == JANUARY_31
    exchange.speed = 1e6
    time.sleep(0.002)
    assert exchange.now_ms > JANUARY_31 + 1_000_000
    exchange.speed = 0.0
    exchange.now_ms = JANUARY_31
    assert exchange.now_ms == JANUARY_31
