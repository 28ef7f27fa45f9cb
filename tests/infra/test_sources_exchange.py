"""The real ccxt client against a venue on loopback: whole pages, closed bars, what a session knows and costs."""

import dataclasses
import pickle
from itertools import pairwise

import numpy as np
import pytest

from infra.errors import SourceError
from infra.lake import Lake
from infra.sources import ExchangeOptions, ExchangeSource, Kind
from infra.sources.exchange import DelistedError, VenueClosedError
from infra.sources.exchange_pages import Moment, page_windows, reach_of
from market.funding import FundingStamps
from market.timeframe import DAY_MS, HOUR_MS
from tasks.fetch_plan import ASKED
from tests.infra.exchange_data import CLOSED, NAMES, NOW, PATHS, ask, fetch, market, source, venue
from tests.infra.lake_data import FIVE, JANUARY_31, same
from tests.loopback_exchange import BinanceLimits, BybitLimits, Fault, FaultKind, run_in_thread
from tests.loopback_exchange.markets import taker_buys

pytestmark = pytest.mark.integration

both = pytest.mark.parametrize("exchange", ["binanceusdm", "bybit"])


@pytest.fixture
def shop():
    """A fresh venue of two symbols and its URL."""
    exchange = venue()
    with run_in_thread(exchange) as url:
        yield exchange, url


@pytest.mark.parametrize(("exchange", "page"), [("binanceusdm", 499), ("bybit", 1000)])
def test_closed_candles_arrive_whole_over_several_pages(shop, tmp_path, exchange, page):
    """Bit for bit what the venue holds, without the bar that still forms, in as few pages as cost least."""
    venue_, url = shop
    seen = []
    with source(url, exchange).session() as session:
        request = ask(end=NOW + DAY_MS)
        (result,) = session.collect((request,), on_page=lambda *told: seen.append(told))
    bars = result.values
    pages = -(-len(bars) // page)
    assert same(bars, market().candles.between(None, CLOSED))
    assert venue_.count("kline") == pages
    assert [told[2:] for told in seen] == [(done + 1, pages) for done in range(pages)]
    assert sum(told[1] for told in seen) == len(bars)
    assert {told[0] for told in seen} == {request}
    assert Lake(tmp_path).append_candles(bars, source=exchange) == len(bars)


@both
def test_many_requests_share_one_client_and_come_back_in_order(shop, exchange):
    """Every kind of both symbols; an unknown symbol fails alone, with the near name and a type of its own."""
    venue_, url = shop
    requests = [ask(kind, symbol) for symbol in (*NAMES, "BTCUSTD") for kind in ASKED]
    arrived = []
    with source(url, exchange).session() as session:
        results = session.collect(requests, on_result=arrived.append)
    assert [result.request for result in results] == requests
    assert len(arrived) == len(requests)
    funding, held, mark = market().funding, market().open_interest, market().mark
    assert results[1].values.rate.tolist() == funding.rate[funding.time < NOW].tolist()
    assert results[2].values.value.tolist() == held.value[held.time < NOW].tolist()
    assert results[3].values.price.tolist() == mark.price[mark.time < NOW].tolist()
    assert all(result.error is None for result in results[:8])
    assert all(isinstance(result.error, DelistedError) for result in results[8:])
    assert "lists no perpetual BTCUSTD" in str(results[8].error)
    assert "did you mean BTCUSDT" in str(results[8].error)
    assert venue_.count("exchangeInfo") + venue_.count("instruments-info") <= 2


@both
@pytest.mark.parametrize("fault", [None, FaultKind.SHORT, FaultKind.DUPLICATE, FaultKind.DISORDER, FaultKind.CONFLICT])
def test_mark_prices_of_closed_hours_arrive_whole(shop, exchange, fault):
    """Named by the close of their hour, without the one that forms, whatever is wrong with the first answer."""
    venue_, url = shop
    path = PATHS[exchange][Kind.MARK]
    venue_.faults += [] if fault is None else [Fault(path=path, kind=fault)]
    mark = market().mark
    seen = mark.time <= NOW - 5000
    assert mark.time[seen][-1] + HOUR_MS > NOW, "an hour forms"
    (result,) = fetch(url, ask(Kind.MARK, end=NOW + DAY_MS), exchange=exchange)
    assert result.values.time.tolist() == mark.time[seen].tolist()
    assert result.values.price.tobytes() == mark.price[seen].tobytes()
    assert result.answered == (JANUARY_31, int(mark.time[seen][-1]) + 1)
    assert venue_.count(path) == (2 if fault in (FaultKind.SHORT, FaultKind.CONFLICT) else 1)


def test_the_newest_mark_price_costs_a_weight_of_one(shop):
    """And before the settle delay is over it is not asked for at all."""
    venue_, url = shop
    hour = NOW // HOUR_MS * HOUR_MS
    before = venue_.binance_limits.total_weight
    (result,) = fetch(url, ask(Kind.MARK, start=hour - HOUR_MS + 1))
    assert result.values.time.tolist() == [hour]
    assert venue_.binance_limits.total_weight - before == 1 + 2  # and the list of markets, and the time
    (early,) = fetch(url, ask(Kind.MARK, start=hour - HOUR_MS + 1), now_ms=hour + 4999)
    assert (early.values.time.size, early.answered) == (0, (hour - HOUR_MS + 1, hour - HOUR_MS + 1))
    assert venue_.count("markPriceKlines") == 1


def test_takers_shares_come_with_the_candles_of_a_venue_that_tells_them(shop):
    """Binance's tenth column over its sixth, of closed bars alone and without a call of its own; Bybit has none."""
    venue_, url = shop
    (result,) = fetch(url, ask(start=CLOSED - 40 * FIVE.ms))
    bars = result.values
    assert venue_.count("klines") == 1
    assert result.taker.open_time.tolist() == bars.open_time.tolist()
    share = taker_buys(bars.high, bars.low, bars.close, bars.volume) / bars.volume
    assert result.taker.share.tobytes() == share.tobytes()
    assert result.taker.share.std() > 0.05
    assert fetch(url, ask(start=CLOSED - 40 * FIVE.ms), exchange="bybit")[0].taker is None


@both
def test_a_venue_is_not_asked_for_takers_alone(shop, exchange):
    """They come with candles or not at all; such a request is a mistake of ours."""
    (result,) = fetch(shop[1], ask(Kind.TAKER), exchange=exchange)
    assert "was asked for taker alone" in str(result.error)


def test_what_a_venue_forgot_is_not_answered_for(shop):
    """Open interest asked for years begins where the venue's 30 days do, and so does the window answered for."""
    venue_, url = shop
    (result,) = fetch(url, ask(Kind.OPEN_INTEREST, start=JANUARY_31 - 900 * DAY_MS))
    assert result.values.time[0] == JANUARY_31
    assert result.answered[0] - (NOW - 30 * DAY_MS) == pytest.approx(HOUR_MS, abs=FIVE.ms)
    assert venue_.count("openInterestHist") < 10


def test_a_reach_that_is_empty_is_answered_for_as_empty():
    """Windows in the future or before a venue's memory ask nothing and answer for nothing."""
    moment = Moment(now_ms=NOW, venue_ms=NOW)
    for kind, start in ((Kind.CANDLES, NOW + DAY_MS), (Kind.FUNDING, NOW + DAY_MS), (Kind.OPEN_INTEREST, 0)):
        request = ask(kind, start=start, end=start + DAY_MS)
        reach = reach_of(request, exchange="binanceusdm", listed_ms=None, moment=moment, settle_delay_ms=5000)
        assert reach.start_ms == reach.end_ms
        assert reach.answered[0] == reach.answered[1]


@pytest.mark.parametrize(("bars", "limits"), [(4, ["4"]), (99, ["99"]), (499, ["499"]), (598, ["499", "99"])])
def test_a_page_asks_for_no_more_weight_than_it_needs(shop, bars, limits):
    """Four bars cost a weight of one; a long window the fewest weights that bring it."""
    venue_, url = shop
    before = venue_.binance_limits.total_weight
    (result,) = fetch(url, ask(start=CLOSED - bars * FIVE.ms))
    asked = [call.split("limit=")[1].split("&")[0] for call in venue_.calls if "klines" in call]
    assert sorted(asked, key=int, reverse=True) == limits
    assert len(result.values) == bars
    weight = sum(1 if int(limit) < 100 else 2 for limit in limits)
    assert venue_.binance_limits.total_weight - before == weight + 2  # and the list of markets, and the time


@both
def test_a_session_knows_the_listings_and_asks_for_tickers_once(shop, exchange):
    """Listings cost nothing; tickers are the venue's last prices and turnover, one call for all."""
    venue_, url = shop
    with source(url, exchange).session() as session:
        calls = len(venue_.calls)
        listings = session.listings()
        assert len(venue_.calls) == calls
        tickers = session.tickers()
        assert len(venue_.calls) == calls + 1
    assert [listing.symbol for listing in listings] == [ticker.symbol for ticker in tickers] == sorted(NAMES)
    assert {(one.quote, one.listed_ms, one.active) for one in listings} == {("USDT", JANUARY_31, True)}
    day = market().candles.between(NOW - DAY_MS, NOW)
    assert tickers[0].price == pytest.approx(day.close[-1], rel=0.01)
    assert tickers[0].turnover_24h == pytest.approx(float((day.close * day.volume).sum()), rel=0.05)
    assert abs(tickers[0].time_ms - NOW) < 1000


def test_the_clock_costs_three_calls_and_a_collect_after_it_none_more(shop):
    """A check of the last seconds is used again."""
    venue_, url = shop
    with source(url).session() as session:
        session.clock()
        assert venue_.count("/time") == 3
        session.collect((ask(start=NOW - HOUR_MS),))
    assert venue_.count("/time") == 3


@pytest.mark.parametrize("interrupted", [KeyboardInterrupt, LookupError])
def test_a_session_is_closed_whatever_happens(shop, interrupted):
    """An interrupt in the middle of a page leaves by its own name, and no connection behind."""
    _, url = shop

    def stop(*_: object) -> None:
        raise interrupted

    clients = []

    def interrupted_session() -> None:
        with source(url).session() as session:
            clients.append(session._client)
            session.collect([ask(start=NOW - HOUR_MS) for _ in range(40)], on_page=stop)

    with pytest.raises(interrupted):
        interrupted_session()
    assert clients[0].api.session is None


def test_a_venue_that_is_not_there_is_a_source_error():
    """Connection refused."""
    with pytest.raises(SourceError, match=r"binanceusdm list of markets: ExchangeNotAvailable .* after 2 tries"):
        fetch("http://127.0.0.1:9", max_retries=1)


def test_a_venue_not_verified_here_is_refused():
    """Names the ones that are."""
    source_ = ExchangeSource(ExchangeOptions(exchange="kraken"))
    with pytest.raises(SourceError, match="use binanceusdm or bybit"), source_.session():
        pass


def test_bars_that_break_a_rule_do_not_leave_the_source(shop):
    """A venue that answers with a crossed bar is refused by name."""
    venue_, url = shop
    bars = market().candles
    high = bars.high.copy()
    high[10] = bars.low[10] / 2
    venue_.markets["BTCUSDT"] = dataclasses.replace(market(), candles=dataclasses.replace(bars, high=high))
    with pytest.raises(SourceError, match="binanceusdm answered with BTCUSDT: high below low at row 10"):
        raise fetch(url)[0].error


@both
def test_funding_denser_than_a_page_is_asked_for_again_in_halves(shop, exchange):
    """Settlements every three minutes overflow their pages; none is lost."""
    venue_, url = shop
    times = np.arange(JANUARY_31, NOW, HOUR_MS // 20, dtype=np.int64)
    dense = FundingStamps(symbol="BTCUSDT", time=times, rate=np.full(times.size, 1e-5))
    venue_.markets["BTCUSDT"] = dataclasses.replace(market(), funding=dense)
    (result,) = fetch(url, ask(Kind.FUNDING), exchange=exchange)
    assert result.values.time.tolist() == times.tolist()


@both
def test_a_period_the_venue_does_not_measure_is_refused(shop, exchange):
    """Open interest every minute is an error, not the interest of another period."""
    minute = dataclasses.replace(FIVE, ms=60_000)
    request = dataclasses.replace(ask(Kind.OPEN_INTEREST), timeframe=minute)
    with pytest.raises(SourceError, match=f"{exchange} has no open interest every 1m"):
        raise fetch(shop[1], request, exchange=exchange)[0].error


def test_calls_in_flight_are_bounded_and_run_side_by_side(shop):
    """With slow answers, more than one call runs at once but never more than allowed."""
    venue_, url = shop
    venue_.faults.append(Fault(path="klines", times=99, slow_s=0.05))
    fetch(url, ask(), ask(symbol="ETHUSDT"), concurrency=3)
    assert 2 <= venue_.most_at_once <= 3


def test_the_limit_that_binance_announces_is_kept():
    """More is asked than fits into one window of the venue, which refuses nothing."""
    shop = venue()
    shop.binance_limits = limits = BinanceLimits(enforce=True, weight=12, window_s=1)
    with run_in_thread(shop) as url:
        (result,) = fetch(url, rate_limit=True, rate_share=0.5)
    assert result.error is None
    assert limits.total_weight == 16
    assert (limits.refusals, limits.windows["weight"].most <= 12) == (0, True)


def test_the_reset_that_bybit_tells_is_waited_for():
    """Calls beyond its limit are refused under HTTP 200 with the time of the reset; after it all are answered."""
    shop = venue()
    shop.bybit_limits = limits = BybitLimits(enforce=True, calls=10, window_s=0.4)
    with run_in_thread(shop) as url:
        results = fetch(url, *(ask(start=NOW - HOUR_MS) for _ in range(24)), exchange="bybit", max_retries=9)
    assert all(result.error is None for result in results)
    assert limits.refusals > 0


def test_pages_tile_the_window():
    """Half-open, in order, without gap or overlap."""
    pages = page_windows(100, 1051, step_ms=10, rows=20)
    assert pages[0] == (100, 300)
    assert pages[-1] == (900, 1051)
    assert all(left[1] == right[0] for left, right in pairwise(pages))
    assert page_windows(5, 5, step_ms=10, rows=3) == []


def test_a_closed_venue_survives_pickling():
    """Its time crosses process borders with it."""
    error = pickle.loads(pickle.dumps(VenueClosedError("bybit", because="it banned us", until_ms=NOW)))
    assert error.until_ms == NOW
    assert "bybit is left alone until 2025-02-11 00:01 UTC: it banned us" in str(error)
