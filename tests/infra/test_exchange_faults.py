"""Every fault of a venue, through the real ccxt client: either exactly the right values, or an error and nothing."""

import dataclasses
import time
from itertools import pairwise

import numpy as np
import pytest

from infra.errors import SourceError
from infra.sources import Kind
from infra.sources.exchange import DelistedError, VenueClosedError
from infra.sources.exchange_breaker import Breaker
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from tests.infra.exchange_data import CLOSED, NOW, PATHS, ask, fetch, market, source, venue
from tests.infra.lake_data import FIVE, JANUARY_31, same
from tests.loopback_exchange import Fault, FaultKind, run_in_thread
from tests.loopback_exchange.markets import EARLY, happened
from tests.loopback_exchange.warts import (
    delisted,
    doubled_interest,
    gap,
    healing_gap,
    jittered_funding,
    off_grid_interest,
    revised,
    switching_funding,
    zero_interest,
)

pytestmark = pytest.mark.integration

VENUES = ("binanceusdm", "bybit")
both = pytest.mark.parametrize("exchange", VENUES)
PAGES = {"binanceusdm": 7, "bybit": 4}  # of the candles of one symbol
EVERYTHING = market().candles.between(None, CLOSED)


def whole(result):
    """Whether this is all of BTCUSDT that has closed, bit for bit, and answered for."""
    return result.error is None and same(result.values, EVERYTHING) and result.answered == (JANUARY_31, CLOSED)


def candles(exchange):
    """The path of the candles."""
    return PATHS[exchange][Kind.CANDLES]


@both
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "times": 4},
        {"status": 502, "times": 4},
        {"status": 503, "times": 2, "retry_after_s": 0.05},
        {"status": 429, "times": 2},
        {"kind": FaultKind.DROP, "times": 2},
        {"kind": FaultKind.HANG, "times": 2},
        {"kind": FaultKind.SLOW_BODY, "slow_s": 2.0, "times": 2},
        {"kind": FaultKind.TRUNCATED, "times": 2},
        {"kind": FaultKind.CUT, "times": 2},
        {"kind": FaultKind.EMPTY},
        {"kind": FaultKind.SHORT},
        {"kind": FaultKind.DUPLICATE, "times": 3},
        {"kind": FaultKind.DISORDER, "times": 3},
        {"kind": FaultKind.CONFLICT, "times": 2},
    ],
    ids=lambda fault: str(fault.get("status") or fault["kind"].name.lower()),
)
def test_what_passes_leaves_no_trace(exchange, fault):
    """Bursts of errors, lost, late and cut answers, pages empty, short, doubled, disordered: then the whole history."""
    timeout_s = 0.3 if fault.get("kind") in {FaultKind.HANG, FaultKind.SLOW_BODY} else 5.0
    shop = venue(faults=[Fault(path=candles(exchange), after=1, **fault)])
    with run_in_thread(shop) as url:
        (result,) = fetch(url, exchange=exchange, timeout_s=timeout_s)
    assert whole(result)
    assert shop.faults[0].struck == fault.get("times", 1)


@pytest.mark.parametrize("code", [10000, 10006, 10016, 99999])
def test_an_error_code_under_status_200_is_no_answer(code):
    """Bybit says no with HTTP 200: the call is made again."""
    shop = venue(faults=[Fault(path="kline", status=200, code=code, times=2)])
    with run_in_thread(shop) as url:
        (result,) = fetch(url, exchange="bybit")
    assert whole(result)
    assert shop.count("kline") == PAGES["bybit"] + 2


@pytest.mark.parametrize(("exchange", "path"), [("binanceusdm", "exchangeInfo"), ("bybit", "instruments-info")])
@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.TRUNCATED, FaultKind.CUT], ids=lambda kind: kind.name)
def test_a_list_of_markets_that_failed_is_asked_for_again(exchange, path, kind):
    """A list cut short never makes symbols look delisted."""
    with run_in_thread(venue(faults=[Fault(path=path, kind=kind, times=2)])) as url:
        assert whole(fetch(url, exchange=exchange)[0])


@both
def test_retry_after_holds_every_call(exchange):
    """Between the refusal and the time the venue named, no page is asked for."""
    shop = venue(faults=[Fault(path=candles(exchange), status=429, retry_after_s=0.4, after=1)])
    arrivals = []
    with run_in_thread(shop) as url, source(url, exchange, concurrency=1).session() as session:
        (result,) = session.collect((ask(),), on_page=lambda *_: arrivals.append(time.monotonic()))
    assert whole(result)
    assert len(arrivals) == PAGES[exchange] == shop.count(candles(exchange)) - 1
    assert max(late - early for early, late in pairwise(arrivals)) >= 0.4


@pytest.mark.parametrize(
    ("exchange", "fault", "pause_s"),
    [
        ("binanceusdm", {"status": 418, "retry_after_s": 7200.0}, 7200),
        ("binanceusdm", {"status": 418}, 60),
        ("binanceusdm", {"status": 429, "retry_after_s": 600.0}, 600),
        ("binanceusdm", {"status": 503, "retry_after_s": 600.0}, 600),
        ("bybit", {"status": 403}, 600),
    ],
    ids=["418 for long", "418 without end", "429 for long", "503 for long", "bybit's 403"],
)
def test_a_ban_ends_everything_pending_and_delivers_what_arrived(exchange, fault, pause_s):
    """Not one call more, not by the next collect either; the error says until when."""
    shop = venue(faults=[Fault(path=candles(exchange), symbol="ETHUSDT", **fault)])
    requests = [ask(), ask(symbol="ETHUSDT"), *(ask(symbol="BTCUSDT") for _ in range(20))]
    arrived = []
    with run_in_thread(shop) as url, source(url, exchange, concurrency=1).session() as session:
        began = time.time_ns() // 1_000_000
        first, *rest = session.collect(requests, on_result=arrived.append)
        calls = shop.count(candles(exchange))
        with pytest.raises(VenueClosedError, match="is left alone until"):
            session.collect(requests)
        assert shop.count(candles(exchange)) == calls <= 2 * PAGES[exchange] + 1
    assert whole(first)
    assert len(arrived) == len(requests)
    assert all(isinstance(result.error, VenueClosedError) and result.values is None for result in rest)
    assert all(0 <= result.error.until_ms - began - 1000 * pause_s < 20_000 for result in rest)


def test_a_short_ban_is_waited_out():
    """A 418 that ends soon is obeyed like any Retry-After."""
    with run_in_thread(venue(faults=[Fault(path="klines", status=418, retry_after_s=0.1)])) as url:
        assert whole(fetch(url)[0])


def test_a_ban_is_heeded_where_nothing_is_tried_again():
    """Without retries the first 418 is also the last answer; the pause it asks for is not forgotten."""
    fault = Fault(path="klines", status=418, retry_after_s=7200.0)
    with run_in_thread(venue(faults=[fault])) as url:
        (result,) = fetch(url, max_retries=0)
    assert isinstance(result.error, VenueClosedError)
    assert result.error.until_ms / 1000 - time.time() == pytest.approx(7200, abs=60)


@both
def test_failures_in_a_row_close_the_venue(exchange):
    """Three calls fail after their retries; the other forty are not made."""
    shop = venue(faults=[Fault(path=candles(exchange), status=500, times=None)])
    requests = [ask(start=NOW - DAY_MS)] * 40
    with run_in_thread(shop) as url:
        results = fetch(url, *requests, exchange=exchange, max_retries=1, max_failures=3, concurrency=2)
    kinds = [type(result.error) for result in results]
    assert kinds.count(SourceError) == 2
    assert kinds.count(VenueClosedError) == 38
    assert shop.count(candles(exchange)) < 12
    assert "3 calls in a row have failed" in str(results[-1].error)


def test_the_pause_of_the_breaker_grows_until_an_answer():
    """60 seconds after two failures; then one more is enough, for 120; after an answer it takes two again, for 60."""
    now = [NOW]
    breaker = Breaker("binanceusdm", max_failures=2, clock_ms=lambda: now[0])
    for failures, pause_s in ((2, 60), (1, 120), (1, 240), (2, 60)):
        if pause_s == 60:
            breaker.answered()
        for _ in range(failures - 1):
            breaker.failed("no answer")
        with pytest.raises(VenueClosedError, match="no answer; 2 calls in a row have failed") as closed:
            breaker.failed("no answer")
        assert closed.value.until_ms - now[0] == 1000 * pause_s
        with pytest.raises(VenueClosedError):
            breaker.check()
        now[0] = closed.value.until_ms
        breaker.check()


@both
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 500}, r"BTCUSDT candles: \w+ .* after 3 tries"),
        ({"kind": FaultKind.DROP}, r"BTCUSDT candles: \w+ .* after 3 tries"),
        ({"kind": FaultKind.HANG}, r"BTCUSDT candles: RequestTimeout .* after 3 tries"),
        ({"kind": FaultKind.SLOW_BODY, "slow_s": 4.0}, r"BTCUSDT candles: RequestTimeout .* after 3 tries"),
        ({"kind": FaultKind.TRUNCATED}, r"BTCUSDT candles: BadResponse .* not JSON after 3 tries"),
        ({"kind": FaultKind.CONFLICT}, r"BTCUSDT candles: BadResponse rows of one time that contradict .* 3 tries"),
        ({"status": 451}, r"BTCUSDT candles: PermissionDenied "),
    ],
    ids=["500", "dropped", "silent", "slow body", "truncated", "conflicting", "forbidden"],
)
def test_what_stays_is_an_error_and_nothing_is_made_up(exchange, fault, message):
    """Venue, symbol, kind and cause in one line; no values, no window answered for."""
    shop = venue(faults=[Fault(path=candles(exchange), times=None, **fault)])
    with run_in_thread(shop) as url:
        (result,) = fetch(url, ask(start=NOW - DAY_MS), exchange=exchange, max_retries=2, timeout_s=0.3)
    assert (result.values, result.answered) == (None, None)
    with pytest.raises(SourceError, match=f"{exchange} {message}") as refusal:
        raise result.error
    assert "\n" not in str(refusal.value)


@both
def test_pages_that_stay_empty_are_absent_and_answered_for(exchange):
    """Asked once more, then reported as missing at the venue: no bar, no error, nothing filled."""
    shop = venue(faults=[Fault(path=candles(exchange), kind=FaultKind.EMPTY, times=None)])
    with run_in_thread(shop) as url:
        (result,) = fetch(url, exchange=exchange)
    assert (len(result.values), result.answered) == (0, (JANUARY_31, CLOSED))
    assert shop.count(candles(exchange)) == 2 * PAGES[exchange]


@both
def test_a_gap_is_asked_for_once_more_and_stays_a_gap(exchange):
    """223 bars the venue never had: neither filled nor hidden, at the cost of one call or two."""
    start = JANUARY_31 + 3 * DAY_MS
    torn = gap(market(), start_ms=start)
    with run_in_thread(shop := venue(BTCUSDT=torn)) as url:
        (result,) = fetch(url, exchange=exchange)
    assert same(result.values, torn.candles.between(None, CLOSED))
    assert len(EVERYTHING) - len(result.values) == 223
    assert result.answered == (JANUARY_31, CLOSED)
    assert shop.count(candles(exchange)) - PAGES[exchange] in {1, 2}


@both
def test_a_gap_that_heals_while_we_look_is_whole(exchange):
    """The second ask brings the bars that the first answer lacked."""
    late = healing_gap(market(), start_ms=JANUARY_31 + HOUR_MS, bars=100, heals_after_asks=1)
    with run_in_thread(venue(BTCUSDT=late)) as url:
        assert whole(fetch(url, exchange=exchange)[0])


@both
def test_a_revised_bar_is_what_the_venue_says_at_the_time(exchange):
    """Early values right after the close, other ones a minute later, nothing remembered in between."""
    with run_in_thread(shop := venue(BTCUSDT=revised(market(), for_ms=MINUTE_MS))) as url:
        shop.now_ms = CLOSED + 6000
        (early,) = fetch(url, exchange=exchange)
        shop.now_ms = CLOSED + MINUTE_MS + 6000
        (final,) = fetch(url, exchange=exchange)
    last = early.values
    told = (last.open[-1], last.high[-1], last.low[-1], last.close[-1], last.volume[-1])
    assert told == happened(EVERYTHING, len(EVERYTHING) - 1, EARLY)
    assert same(last.between(None, CLOSED - FIVE.ms), EVERYTHING.between(None, CLOSED - FIVE.ms))
    assert whole(final)


@both
@pytest.mark.parametrize(
    ("venue_ahead_ms", "now_ms", "closed"),
    [
        (0, NOW, CLOSED),
        (3 * HOUR_MS, NOW, CLOSED),
        (-3 * HOUR_MS, NOW, CLOSED - 3 * HOUR_MS),
        (0, CLOSED + 4999, CLOSED - FIVE.ms),
        (0, CLOSED + 5000, CLOSED),
    ],
    ids=["right", "venue fast", "venue slow", "not settled", "settled"],
)
def test_the_more_cautious_clock_decides_what_has_closed(exchange, venue_ahead_ms, now_ms, closed):
    """The venue serves bars that form by its own clock; those that close by both clocks are taken."""
    shop = venue()
    shop.says_offset_ms = shop.serves_offset_ms = venue_ahead_ms
    with run_in_thread(shop) as url:
        (result,) = fetch(url, ask(end=NOW + DAY_MS), exchange=exchange, now_ms=now_ms)
    assert same(result.values, market().candles.between(None, closed))
    assert result.answered == (JANUARY_31, closed)


@both
def test_a_wrong_server_clock_is_measured(exchange):
    """The skew is the venue's time less ours in the middle of the round trip, to a few milliseconds."""
    shop = venue()
    shop.says_offset_ms = 7_200_000
    with run_in_thread(shop) as url, source(url, exchange).session() as session:
        check = session.clock()
    assert check.venue_ms == NOW + 7_200_000
    assert check.skew_ms == check.venue_ms - check.local_ms
    assert abs(check.local_ms - time.time_ns() / 1e6) < 5000
    assert 0 < check.round_trip_ms < 5000


@both
@pytest.mark.parametrize("wart", [switching_funding, jittered_funding], ids=["8h 4h 1h", "jitter"])
def test_odd_funding_arrives_as_the_venue_stamped_it(exchange, wart):
    """Changing intervals lose no settlement, and milliseconds of jitter are kept."""
    odd = wart(market())
    with run_in_thread(venue(BTCUSDT=odd)) as url:
        (result,) = fetch(url, ask(Kind.FUNDING), exchange=exchange)
    seen = odd.funding.time < NOW
    assert result.values.time.tolist() == odd.funding.time[seen].tolist()
    assert result.values.rate.tobytes() == odd.funding.rate[seen].tobytes()
    assert result.answered == (JANUARY_31, NOW - MINUTE_MS)


@both
@pytest.mark.parametrize("wart", [off_grid_interest, zero_interest, doubled_interest])
def test_odd_open_interest_arrives_as_the_venue_stamped_it(exchange, wart):
    """Late stamps, zeros and slots with two stamps are all kept: what they mean is decided where they are read."""
    odd = wart(market())
    with run_in_thread(venue(BTCUSDT=odd)) as url:
        (result,) = fetch(url, ask(Kind.OPEN_INTEREST), exchange=exchange)
    seen = odd.open_interest.time < NOW
    assert result.values.time.tolist() == odd.open_interest.time[seen].tolist()
    assert result.values.value.tobytes() == odd.open_interest.value[seen].tobytes()
    assert result.answered == (JANUARY_31, NOW - FIVE.ms)


@pytest.mark.parametrize("kind", [Kind.FUNDING, Kind.OPEN_INTEREST])
@pytest.mark.parametrize(
    "fault",
    [FaultKind.DUPLICATE, FaultKind.DISORDER, FaultKind.TRUNCATED, FaultKind.CONFLICT],
    ids=lambda kind: kind.name,
)
@both
def test_pages_of_stamps_are_put_right_too(exchange, kind, fault):
    """Doubled and disordered stamps are told apart from contradictions, which are asked for again."""
    shop = venue(faults=[Fault(path=PATHS[exchange][kind], kind=fault)])
    with run_in_thread(shop) as url:
        (result,) = fetch(url, ask(kind), exchange=exchange)
    held = market().funding if kind is Kind.FUNDING else market().open_interest
    assert result.values.time.tolist() == held.time[held.time < NOW].tolist()


@both
def test_a_symbol_that_stopped_trading_keeps_its_history(exchange):
    """Listed as settling: its bars up to the end are served, and after it nothing is missing at us."""
    end = JANUARY_31 + 5 * DAY_MS
    with run_in_thread(venue(BTCUSDT=delisted(market(), at_ms=end))) as url, source(url, exchange).session() as session:
        (result,) = session.collect((ask(),))
        listed = {listing.symbol: listing.active for listing in session.listings()}
    if exchange == "binanceusdm":
        assert listed == {"BTCUSDT": False, "ETHUSDT": True}
        assert same(result.values, EVERYTHING.between(None, end))
        assert result.answered == (JANUARY_31, CLOSED)
    else:
        assert listed == {"ETHUSDT": True}
        assert isinstance(result.error, DelistedError)


@both
def test_a_symbol_removed_while_we_collect_fails_alone(exchange):
    """It was in the list of markets when the session began; the others are answered."""
    gone = delisted(market(), at_ms=NOW, removed_ms=NOW + 1)
    shop = venue(ETHUSDT=gone)
    with run_in_thread(shop) as url, source(url, exchange, max_failures=1).session() as session:
        shop.now_ms = NOW + 1
        lost, found = session.collect((ask(symbol="ETHUSDT"), ask()))
    assert whole(found)
    assert isinstance(lost.error, DelistedError)
    assert not isinstance(lost.error, VenueClosedError)


def test_nothing_is_asked_of_the_time_before_a_listing():
    """A market listed yesterday costs one call for a year; the year is answered for."""
    young = dataclasses.replace(market(), listed_ms=NOW - DAY_MS)
    with run_in_thread(shop := venue(BTCUSDT=young)) as url:
        (result,) = fetch(url, ask(start=NOW - 365 * DAY_MS))
    assert shop.count("klines") == 1
    assert result.answered == (NOW - 365 * DAY_MS, CLOSED)
    assert np.array_equal(result.values.open_time, EVERYTHING.between(NOW - DAY_MS - FIVE.ms, None).open_time)
