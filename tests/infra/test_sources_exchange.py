"""The real ccxt client against a venue on loopback: whole pages, closed bars, faults that pass, faults that stay."""

import dataclasses
import time
from itertools import pairwise

import numpy as np
import pytest

from infra.errors import SourceError
from infra.lake import Lake
from infra.sources import ExchangeOptions, ExchangeSource, FetchRequest, Kind, synthetic_market
from infra.sources.exchange_pages import page_windows
from market.funding import FundingStamps
from market.timeframe import DAY_MS, HOUR_MS
from tests.fakes.loopback_exchange import Fault, LoopbackExchange, LoopbackMarket, run_in_thread
from tests.infra.lake_data import FIVE, JANUARY_31, same

pytestmark = pytest.mark.integration

DAYS = 12
NOW = JANUARY_31 + (DAYS - 1) * DAY_MS + 100_000
NAMES = {"BTCUSDT": "SYNBTCUSDT", "ETHUSDT": "SYNETHUSDT"}


@pytest.fixture(scope="module")
def histories():
    """Made-up histories of two symbols, under names the venue lists."""
    made = synthetic_market(tuple(NAMES.values()), timeframe=FIVE, start_ms=JANUARY_31, days=DAYS, seed=3)
    return {real: dataclasses.replace(made[name].candles, symbol=real) for real, name in NAMES.items()}, made


@pytest.fixture
def venue(histories):
    """A fresh venue of both symbols and its URL."""
    candles, made = histories
    markets = {
        real: LoopbackMarket(candles=candles[real], funding=made[name].funding, open_interest=made[name].open_interest)
        for real, name in NAMES.items()
    }
    exchange = LoopbackExchange(markets=markets, now_ms=NOW)
    with run_in_thread(exchange) as url:
        yield exchange, url


def source(url, **kwargs):
    """A source that retries quickly."""
    return ExchangeSource(ExchangeOptions(url=url, **{"first_pause_s": 0.01, "timeout_s": 5.0, **kwargs}))


def ask(kind=Kind.CANDLES, symbol="BTCUSDT", start=JANUARY_31, end=JANUARY_31 + 99 * DAY_MS):
    """A request for everything, unless told otherwise."""
    return FetchRequest(symbol=symbol, kind=kind, timeframe=FIVE, start_ms=start, end_ms=end)


def test_closed_candles_arrive_whole_over_several_pages(venue, histories, tmp_path):
    """Bit for bit what the venue holds, without the bar that still forms, in ceil(bars / 1000) calls."""
    exchange, url = venue
    progress = []
    (result,) = source(url).collect((ask(),), on_progress=lambda _, done, of: progress.append((done, of)))
    bars = result.values
    closed = (NOW - 5000) // FIVE.ms * FIVE.ms
    assert same(bars, histories[0]["BTCUSDT"].between(None, closed))
    assert exchange.count("klines") == -(-len(bars) // 1000) == len(progress)
    assert progress[-1] == (4, 4)
    assert Lake(tmp_path).append_candles(bars, source="binanceusdm") == len(bars)


def test_a_bar_within_the_settle_delay_is_not_closed_yet(venue):
    """Four seconds after its close it is left out, five seconds after it is there."""
    exchange, url = venue
    close = JANUARY_31 + 100 * FIVE.ms
    for late, bars in ((4999, 99), (5000, 100)):
        exchange.now_ms = close + late
        assert len(next(source(url).fetch(ask()))) == bars


def test_many_requests_share_one_client_and_come_back_in_order(venue, histories):
    """Every kind of both symbols; an unknown symbol fails alone, with the near name."""
    _, url = venue
    requests = [ask(kind, symbol) for symbol in (*NAMES, "BTCUSTD") for kind in Kind]
    arrived = []
    results = source(url).collect(requests, on_result=arrived.append)
    assert [result.request for result in results] == requests
    assert len(arrived) == len(requests)
    funding = results[1].values
    expected = histories[1]["SYNBTCUSDT"].funding
    assert funding.time.tolist() == expected.time[expected.time <= NOW].tolist()
    held = results[2].values
    assert held.value.tolist() == histories[1]["SYNBTCUSDT"].open_interest.value[: held.time.size].tolist()
    assert held.time[-1] == NOW // FIVE.ms * FIVE.ms
    assert all(result.error is None for result in results[:6])
    assert "lists no perpetual BTCUSTD" in str(results[6].error)
    assert "did you mean BTCUSDT" in str(results[6].error)


def test_open_interest_older_than_the_venue_remembers_begins_later(venue):
    """Asking for years is no error: the answer begins where the venue's 30 days do."""
    exchange, url = venue
    held = next(source(url).fetch(ask(Kind.OPEN_INTEREST, start=JANUARY_31 - 900 * DAY_MS)))
    assert held.time.size > 3000
    assert exchange.count("openInterestHist") < 30


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="klines", status=500),
        Fault(path="klines"),
        Fault(path="klines", status=429),
        Fault(path="exchangeInfo"),
    ],
    ids=["500", "dropped", "429", "markets dropped"],
)
def test_faults_that_pass_are_retried(venue, histories, fault):
    """Two failures in a row, then the whole answer."""
    exchange, url = venue
    exchange.faults.append(dataclasses.replace(fault, times=2))
    bars = next(source(url).fetch(ask()))
    assert same(bars, histories[0]["BTCUSDT"].between(None, (NOW - 5000) // FIVE.ms * FIVE.ms))


def test_retry_after_is_obeyed(venue):
    """The venue asked for 0.6 seconds; the answer takes at least that."""
    exchange, url = venue
    exchange.faults.append(Fault(path="klines", status=429, retry_after_s=0.6))
    began = time.monotonic()
    assert len(next(source(url).fetch(ask(end=JANUARY_31 + DAY_MS)))) == 288
    assert time.monotonic() - began > 0.6


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(path="klines", status=500, times=99), r"BTCUSDT candles: \w+ .* after 3 tries"),
        (Fault(path="klines", times=99), r"BTCUSDT candles: \w+ .* after 3 tries"),
        (Fault(path="klines", status=418, retry_after_s=7200.0), r"BTCUSDT candles \(asked to wait 7200 s\)"),
        (Fault(path="klines", status=403, times=99), r"BTCUSDT candles: \w+ "),
        (Fault(path="klines", times=99, slow_s=0.6), r"BTCUSDT candles: RequestTimeout .* after 3 tries"),
    ],
    ids=["500", "dropped", "banned", "forbidden", "slow"],
)
def test_faults_that_stay_are_a_source_error_and_nothing_is_made_up(venue, fault, message):
    """Venue, symbol, kind and cause in one line."""
    exchange, url = venue
    exchange.faults.append(fault)
    with pytest.raises(SourceError, match=f"binanceusdm {message}") as refusal:
        list(source(url, max_retries=2, timeout_s=0.3).fetch(ask(end=JANUARY_31 + DAY_MS)))
    assert "\n" not in str(refusal.value)


def test_a_venue_that_is_not_there_is_a_source_error():
    """Connection refused."""
    with pytest.raises(SourceError, match=r"binanceusdm list of markets: ExchangeNotAvailable .* after 2 tries"):
        list(source("http://127.0.0.1:9", max_retries=1).fetch(ask()))


def test_a_venue_not_verified_here_is_refused():
    """Names the ones that are."""
    with pytest.raises(SourceError, match="use binanceusdm or bybit"):
        list(ExchangeSource(ExchangeOptions(exchange="kraken")).fetch(ask()))


def test_bars_that_break_a_rule_do_not_leave_the_source(venue, histories):
    """A venue that answers with a crossed bar is refused by name."""
    exchange, url = venue
    bars = histories[0]["BTCUSDT"]
    high = bars.high.copy()
    high[10] = bars.low[10] / 2
    exchange.markets["BTCUSDT"] = LoopbackMarket(candles=dataclasses.replace(bars, high=high))
    with pytest.raises(SourceError, match="binanceusdm answered with BTCUSDT: high below low at row 10"):
        list(source(url).fetch(ask()))


def test_funding_denser_than_a_page_is_asked_for_again_in_halves(venue):
    """Settlements every 20 minutes overflow hourly pages; none is lost."""
    exchange, url = venue
    times = np.arange(JANUARY_31, NOW, HOUR_MS // 20, dtype=np.int64)
    dense = FundingStamps(symbol="BTCUSDT", time=times, rate=np.full(times.size, 1e-5))
    exchange.markets["BTCUSDT"] = dataclasses.replace(exchange.markets["BTCUSDT"], funding=dense)
    assert next(source(url).fetch(ask(Kind.FUNDING))).time.tolist() == times.tolist()


def test_calls_in_flight_are_bounded_and_run_side_by_side(venue):
    """With slow answers, more than one call runs at once but never more than allowed."""
    exchange, url = venue
    exchange.faults.append(Fault(path="klines", times=99, slow_s=0.05))
    source(url, concurrency=3).collect((ask(), ask(symbol="ETHUSDT")))
    assert 2 <= exchange.most_at_once <= 3


def test_the_venues_own_clock_is_asked(venue):
    """Not this machine's."""
    _, url = venue
    assert source(url).server_time() == NOW


def test_pages_tile_the_window():
    """Half-open, in order, without gap or overlap."""
    pages = page_windows(100, 1051, step_ms=10, rows=20)
    assert pages[0] == (100, 300)
    assert pages[-1] == (900, 1051)
    assert all(left[1] == right[0] for left, right in pairwise(pages))
    assert page_windows(5, 5, step_ms=10, rows=3) == []
