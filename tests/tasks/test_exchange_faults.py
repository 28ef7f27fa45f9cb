"""Whatever a venue does, the lake ends with exactly the right rows, and the ledger with the truth about the rest.

One table: each fault, how the run goes that meets it, and what is true afterwards. ``pytest -s`` prints it.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from sqlalchemy import text

from infra.bootstrap import App, open_app
from infra.errors import SourceError
from infra.lake import Lake
from infra.sources.exchange_errors import VenueClosedError
from infra.venues import read_venue
from market.funding import FundingStamps
from market.timeframe import HOUR_MS, MINUTE_MS
from tests.infra.lake_data import FIVE
from tests.loopback_exchange import Fault, FaultKind, LoopbackMarket, run_in_thread, warts
from tests.tasks.venue_case import AFTER, BEFORE, DURING, START, SYMBOLS, Home, exchange_with

pytestmark = pytest.mark.integration
BTC = SYMBOLS[0]
ETH = SYMBOLS[1]
VENUES = ("binanceusdm", "bybit")
OUTCOMES: list[tuple[str, str, str]] = []


def noted(fault: str, venue: str, outcome: str) -> None:
    """One line of the table."""
    OUTCOMES.append((fault, venue, outcome))


def closed(now_ms: int) -> int:
    """Open time of the first bar that is not final at this moment."""
    return (now_ms - 5000) // FIVE.ms * FIVE.ms


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """One database for all cases; each has a lake of its own."""
    environ = {
        "LOCKSTEP_DATA__HISTORY_DAYS": "2",
        "LOCKSTEP_DATA__MAX_RETRIES": "2",
        "LOCKSTEP_DATA__MAX_FAILURES": "2",
        "LOCKSTEP_DATA__REQUEST_TIMEOUT_S": "1",
    }
    with open_app(tmp_path_factory.mktemp("faults") / "home", environ=environ) as app:
        yield app
    lines = (f"| {fault:<34} | {venue:<11} | {outcome} |" for fault, venue, outcome in OUTCOMES)
    print("\n" + "\n".join(lines))


@pytest.fixture
def home_of(opened: App, tmp_path) -> Iterator[Callable[..., Home]]:
    """Builds an empty home before a venue whose first market is changed by a wart."""
    running = []

    def build(venue: str, changed: Callable[[LoopbackMarket], LoopbackMarket] = lambda held: held) -> Home:
        with opened.engine.begin() as connection:
            connection.execute(text("TRUNCATE fetched_windows, gaps, venues, coverage"))
        exchange = exchange_with(changed, venue=venue)
        server = run_in_thread(exchange)
        running.append(server)
        app = App(settings=opened.settings, engine=opened.engine, lake=Lake(tmp_path / "lake"))
        return Home(app=app, exchange=exchange, url=server.__enter__())

    yield build
    for server in running:
        server.__exit__(None, None, None)


@dataclass(frozen=True, kw_only=True)
class Passing:
    """A fault that strikes calls; ``seen`` is in the refusal of the run that meets it, None: that run is whole."""

    name: str
    faults: tuple[Fault, ...]
    seen: str | None = None
    closes: bool = False
    venues: tuple[str, ...] = ("binanceusdm",)


def every(kind: FaultKind | None = None, **more) -> Fault:
    """A fault of each call for candles, until told otherwise."""
    return Fault(path="kline", kind=kind, times=more.pop("times", None), **more)


PASSING = (
    Passing(name="429 with Retry-After", faults=(every(status=429, retry_after_s=0.3, times=2),), venues=VENUES),
    Passing(
        name="429, asked to come back in an hour",
        faults=(every(status=429, retry_after_s=3600),),
        seen="429",
        closes=True,
    ),
    Passing(name="418 ban", faults=(every(status=418, retry_after_s=900),), seen="418", closes=True, venues=VENUES),
    Passing(name="burst of 5xx, short", faults=(every(status=503, times=1), every(status=502, times=1))),
    Passing(
        name="burst of 5xx, long", faults=(every(status=500),), seen="in a row have failed", closes=True, venues=VENUES
    ),
    Passing(name="time-out", faults=(every(FaultKind.HANG, times=1),)),
    Passing(name="slow body", faults=(every(FaultKind.SLOW_BODY, slow_s=0.3),)),
    Passing(name="body slower than the time-out", faults=(every(FaultKind.SLOW_BODY, slow_s=3, times=1),)),
    Passing(name="connection dropped", faults=(every(FaultKind.DROP, times=2),)),
    Passing(name="body cut short", faults=(every(FaultKind.CUT, times=2),)),
    Passing(name="truncated JSON", faults=(every(FaultKind.TRUNCATED, times=2),), venues=VENUES),
    Passing(name="truncated JSON for ever", faults=(every(FaultKind.TRUNCATED),), seen="after 3 tries", closes=True),
    Passing(name="empty page once", faults=(every(FaultKind.EMPTY, times=1),), venues=VENUES),
    Passing(name="short page once", faults=(every(FaultKind.SHORT, times=1),)),
    Passing(name="page with rows twice", faults=(every(FaultKind.DUPLICATE),)),
    Passing(name="page out of order", faults=(every(FaultKind.DISORDER),), venues=VENUES),
)


@pytest.mark.parametrize(
    ("case", "venue"),
    [pytest.param(case, venue, id=f"{case.name}, {venue}") for case in PASSING for venue in case.venues],
)
def test_a_fault_that_passes(home_of, case, venue):
    """Nothing is lost, doubled or made up: not in the run that meets it, and after it the lake is whole."""
    home = home_of(venue)
    assert home.collect(BEFORE)["incomplete"] is None
    home.assert_whole(BEFORE)
    bars = home.stored(BTC)[0]
    home.strike(*case.faults)
    met = home.collect(DURING)
    assert sum(fault.struck for fault in case.faults) > 0
    if case.seen is None:
        assert met["incomplete"] is None
        home.assert_whole(DURING)
    else:
        assert case.seen in met["incomplete"]["what"]
        assert set(met["failed"]) == set(SYMBOLS)
        assert home.stored(BTC)[0] == bars
        assert home.gaps() == [(symbol, closed(BEFORE), 24, "not_fetched") for symbol in SYMBOLS]
    home.strike()
    if case.closes:
        assert_left_alone(home, case.seen)
    assert home.collect(AFTER)["incomplete"] is None
    home.assert_whole(AFTER)
    assert home.gaps() == []
    noted(
        case.name, venue, "whole in the same run" if case.seen is None else "refused, nothing made up, whole afterwards"
    )


@pytest.mark.parametrize("venue", VENUES)
def test_with_nothing_new_a_market_costs_one_request(home_of, venue):
    """Its last bars, which may have been revised; the venue's list and its clock are asked for once for all."""
    home = home_of(venue)
    home.collect(BEFORE)
    calls = len(home.exchange.calls)
    again = home.collect(BEFORE + MINUTE_MS)
    assert (again["requests"], again["new_rows"], again["revisions"]) == (2, 0, 0)
    assert len(home.exchange.calls) - calls <= 2 + 3 + 2
    home.assert_whole(BEFORE + MINUTE_MS)


def assert_left_alone(home, because):
    """Until its time is over the venue is not asked once; then it may be again."""
    calls = len(home.exchange.calls)
    with pytest.raises(VenueClosedError, match=f"left alone until .* UTC: .*{because}"):
        home.collect(AFTER)
    assert len(home.exchange.calls) == calls
    with home.app.engine.begin() as connection:  # the time that was asked for goes by
        connection.execute(text("UPDATE venues SET closed_until = now() - interval '1 second'"))


@pytest.mark.parametrize("venue", VENUES[:1])
def test_a_page_that_says_two_things_about_one_bar(home_of, venue):
    """It is asked for again; a venue that keeps to it is refused, and neither of both is stored."""
    home = home_of(venue)
    home.collect(BEFORE)
    home.strike(every(FaultKind.CONFLICT, symbol=BTC))
    met = home.collect(DURING)
    assert list(met["failed"]) == [BTC]
    home.assert_whole(DURING, symbols=[ETH])
    home.strike()
    home.collect(AFTER)
    home.assert_whole(AFTER)
    noted("page with a bar twice, differing", venue, "refused for that market alone, whole afterwards")


@pytest.mark.parametrize("venue", VENUES[1:])
def test_empty_pages_for_a_quarter_of_an_hour(home_of, venue):
    """What a venue is silent about is not called missing before it had time to bring it, and so it is asked again."""
    home = home_of(venue)
    home.collect(BEFORE)
    home.strike(every(FaultKind.EMPTY))
    home.collect(BEFORE + 10 * MINUTE_MS)
    assert home.gaps() == [(symbol, closed(BEFORE), 2, "not_fetched") for symbol in SYMBOLS]
    home.strike()
    home.collect(BEFORE + 15 * MINUTE_MS)
    home.assert_whole(BEFORE + 15 * MINUTE_MS)
    assert home.gaps() == []
    noted("empty pages for ten minutes", venue, "not fetched, then whole")


@pytest.mark.parametrize("venue", VENUES[1:])
def test_a_bar_that_is_revised_after_its_close(home_of, venue):
    """Both versions are kept, each known when it came: what was known at noon can be read again in the evening."""
    home = home_of(
        venue,
        lambda held: warts.revised(
            held, for_ms=4 * MINUTE_MS, start_ms=closed(BEFORE) - FIVE.ms, end_ms=closed(BEFORE)
        ),
    )
    first = home.collect(BEFORE)
    last = int(home.app.lake.watermark(BTC, FIVE))
    early = home.app.lake.candles(BTC, FIVE, start_ms=last).close[0]
    later = home.collect(BEFORE + 5 * MINUTE_MS)
    home.collect(BEFORE + 10 * MINUTE_MS)
    final = home.exchange.markets[BTC].candles.between(last, last + 1).close[0]
    assert (first["revisions"], later["revisions"]) == (0, 1)
    assert early != final
    for now_ms, close in ((BEFORE, early), (BEFORE + 5 * MINUTE_MS, final), (None, final)):
        assert home.app.lake.candles(BTC, FIVE, start_ms=last, end_ms=last + 1, as_of_ms=now_ms).close[0] == close
    home.collect(AFTER)
    home.assert_whole(AFTER)
    noted("last bar revised", venue, "a new version, known from then on; the first one stays")


@pytest.mark.parametrize("venue", VENUES[:1])
def test_a_bar_that_still_forms(home_of, venue):
    """Served by the venue at every moment of it, stored at none before its close and the settle delay."""
    home = home_of(venue)
    close = closed(BEFORE) + FIVE.ms
    for now_ms, bars in ((close - 1, 0), (close + 4999, 0), (close + 5000, 1)):
        home.collect(now_ms)
        assert int(home.app.lake.watermark(BTC, FIVE)) == closed(BEFORE) - FIVE.ms + bars * FIVE.ms
        home.assert_whole(now_ms)
    noted("bar that still forms", venue, "left out until it is final")


@pytest.mark.parametrize("venue", VENUES[:1])
def test_a_gap_of_223_bars(home_of, venue):
    """One row of the ledger, with the venue that was asked; it is not asked again at every run."""
    start = START + 100 * FIVE.ms
    home = home_of(venue, lambda held: warts.gap(held, start_ms=start))
    for now_ms in (BEFORE, DURING):
        home.collect(now_ms)
        home.assert_whole(now_ms)
        assert home.gaps() == [(BTC, start, 223, "missing_at_venue")]
    assert home.said[-1]["missing_bars"] == 223
    assert home.said[-1]["requests"] <= 2 * 4
    (row,) = [row for row in home.said[-1]["coverage"] if row["symbol"] == BTC]
    assert (row["missing"], row["rows"]) == (223, home.app.lake.candles(BTC, FIVE).open_time.size)
    noted("gap of 223 bars", venue, "223 bars missing at the venue, none invented")


@pytest.mark.parametrize("venue", VENUES[1:])
def test_funding_that_settles_more_often_from_one_hour_to_the_next(home_of, venue):
    """Every settlement is there after the run that follows it, through 8, 4 and 1 hours, stamps to the millisecond."""
    home = home_of(venue, lambda held: warts.jittered_funding(switching(held)))
    for hour in (22, 14, 9, 6, 5, 4, 3, 2):
        home.collect(BEFORE - hour * HOUR_MS)
        home.assert_whole(BEFORE - hour * HOUR_MS)
    apart = set(np.round(np.diff(home.app.lake.funding(BTC).time) / HOUR_MS).astype(int).tolist())
    assert apart == {8, 4, 1}
    noted("funding 8h, 4h, 1h with ms jitter", venue, "every settlement, stamps as the venue gave them")


def switching(held):
    """Settlements of the two days: every 8 hours, from the last half day on every 4, from its middle on every hour."""
    turns = (START, BEFORE - 20 * HOUR_MS, BEFORE - 6 * HOUR_MS, BEFORE + HOUR_MS)
    parts = [
        np.arange(-(-lo // (every_h * HOUR_MS)) * every_h * HOUR_MS, hi, every_h * HOUR_MS)
        for lo, hi, every_h in zip(turns, turns[1:], (8, 4, 1), strict=False)
    ]
    times = np.unique(np.concatenate(parts)).astype(np.int64)
    rates = np.full(times.size, 1e-4)
    return dataclasses.replace(held, funding=FundingStamps(symbol=BTC, time=times, rate=rates))


@pytest.mark.parametrize("venue", VENUES[:1])
@pytest.mark.parametrize("wart", [warts.off_grid_interest, warts.zero_interest], ids=["off the grid", "zero"])
def test_open_interest_that_is_odd(home_of, venue, wart):
    """Raw stamps are kept as they came; what they mean on the grid is for the reader."""
    home = home_of(venue, wart)
    for now_ms in (BEFORE, DURING, AFTER):
        home.collect(now_ms)
        home.assert_whole(now_ms)
    noted(f"open interest {wart.__name__.split('_')[0]}", venue, "stored as it came")


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("removed", [False, True], ids=["status", "removed"])
def test_a_market_that_is_delisted_midway(home_of, venue, removed):
    """Its history stays and ends with its last bar; it is told as delisted, and fails nothing."""
    at = BEFORE + HOUR_MS
    gone = at + 30 * MINUTE_MS if removed else None
    home = home_of(venue, lambda held: warts.delisted(held, at_ms=at, removed_ms=gone))
    home.collect(BEFORE)
    home.collect(at + 7 * MINUTE_MS)
    met = home.collect(DURING)
    assert (met["incomplete"], met["failed"], met["delisted"]) == (None, {}, [BTC])
    assert home.gaps() == []
    # Bybit lists it no more once it is closed; Binance serves it to the end, and a while longer.
    home.assert_whole(BEFORE if venue == "bybit" else DURING, symbols=[BTC])
    home.assert_whole(DURING, symbols=[ETH])
    noted(f"delisted midway ({'unknown' if removed else 'status'})", venue, "history kept, told, no failure")


@pytest.mark.parametrize("venue", VENUES[:1])
def test_a_market_that_was_delisted_before_it_was_asked_for(home_of, venue):
    """What the venue still serves of it is stored, and nothing is missing after its last bar."""
    home = home_of(venue, lambda held: warts.delisted(held, at_ms=BEFORE - HOUR_MS, removed_ms=None))
    met = home.collect(BEFORE)
    assert (met["incomplete"], met["failed"], met["delisted"]) == (None, {}, [BTC])
    assert home.gaps() == []
    home.assert_whole(BEFORE)


@pytest.mark.parametrize("venue", VENUES[:1])
def test_a_market_the_venue_never_had(home_of, venue):
    """It is refused with names that are near; the others are stored."""
    home = home_of(venue)
    met = home.collect(BEFORE, symbols=("BTCUSDC", *SYMBOLS))
    assert list(met["failed"]) == ["BTCUSDC"]
    assert "did you mean BTCUSDT" in met["incomplete"]["remedy"]
    assert met["symbols"] == list(SYMBOLS)
    home.assert_whole(BEFORE)
    noted("unknown symbol", venue, "refused with near names, the others stored")


@pytest.mark.parametrize("venue", VENUES[:1])
@pytest.mark.parametrize("seconds", [-60, 60])
def test_a_clock_that_is_wrong(home_of, venue, seconds):
    """Nothing is asked for and nothing stored while clocks differ by a minute; how much is written down."""
    home = home_of(venue)
    home.collect(BEFORE)
    calls = home.data_calls()
    home.exchange.says_offset_ms = 1000 * seconds
    with pytest.raises(
        SourceError, match=re.escape(f"clock of {venue} is {seconds:+}.0 s from ours, and 10 s are permitted")
    ):
        home.collect(DURING)
    assert home.data_calls() == calls
    assert read_venue(home.app.engine, venue).clock_skew_ms == 1000 * seconds
    home.exchange.says_offset_ms = 0
    home.collect(AFTER)
    home.assert_whole(AFTER)
    noted(f"clock {seconds:+} s", venue, "refused before anything was asked for")


@pytest.mark.parametrize("venue", VENUES[:1])
def test_a_clock_that_is_a_little_fast(home_of, venue):
    """A bar that closed by the venue's clock and not by ours is left for the next run."""
    home = home_of(venue)
    home.exchange.says_offset_ms = home.exchange.serves_offset_ms = 8000
    now_ms = closed(BEFORE) + FIVE.ms + 2000
    home.collect(now_ms)
    assert int(home.app.lake.watermark(BTC, FIVE)) == closed(BEFORE) - FIVE.ms
    noted("clock +8 s", venue, "the bar is final by the slower clock")
