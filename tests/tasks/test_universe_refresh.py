"""Today's universe comes from the venue through the real client; when it does not answer, the last one stays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import SourceError
from infra.universe import judged_in, listing_dates, newest_snapshot, read_snapshots, universe_rule
from infra.venues import read_venue
from market.timeframe import DAY_MS, HOUR_MS
from tasks.symbols import symbols_in_use
from tasks.universe import build_universe, refresh_universe
from tests.loopback_exchange import Fault, LoopbackExchange, LoopbackMarket, run_in_thread
from tests.tasks.universe_homes import day, traded

pytestmark = pytest.mark.integration

NOON = day(5.5)


def exchange():
    """Four markets, of which one is new and one is delisted on the sixth day."""
    return LoopbackExchange(
        markets={
            "AUSDT": LoopbackMarket(candles=traded("AUSDT", 0, 8, scale=9.0), listed_ms=day(-100)),
            "BUSDT": LoopbackMarket(candles=traded("BUSDT", 0, 8, scale=2.0, seed=1), listed_ms=day(-50)),
            "CUSDT": LoopbackMarket(candles=traded("CUSDT", 4, 8, scale=50.0, seed=2)),
            "DUSDT": LoopbackMarket(
                candles=traded("DUSDT", 0, 8, scale=70.0, seed=3), listed_ms=day(-50), delisted_ms=day(6.2)
            ),
            "BUSDC": LoopbackMarket(candles=traded("BUSDC", 0, 8, scale=99.0), listed_ms=day(-50)),
        },
        now_ms=NOON,
    )


@pytest.fixture
def venue():
    """The venue at noon of the sixth day, and its address."""
    made = exchange()
    with run_in_thread(made) as url:
        yield made, url


@pytest.fixture
def follow(make_home, venue):
    """A home that follows the two most traded markets of that venue, as ccxt calls it."""

    def opened(name="binanceusdm", **settings):
        return make_home(
            data__exchange=name,
            data__exchange_url=venue[1],
            **{"data__max_retries": 0, "universe__top_n": 2, "universe__min_age_days": 30, **settings},
        )

    return opened


def refreshed(app, now_ms):
    """Run the task as at this moment."""
    return refresh_universe.fn(str(app.settings.home), now_ms=now_ms)


@pytest.mark.parametrize("name", ["binanceusdm", "bybit"])
def test_the_venue_says_who_belongs_today(follow, venue, name):
    """The most traded of those that are old enough; each of the others with its reason; one request for all tickers."""
    home = follow(name)
    found = refreshed(home, NOON)
    assert (found["members"], found["source"], found["day"]) == (["AUSDT", "DUSDT"], name, "2025-02-05")
    assert (found["decided_now"], found["stale"], found["entered"]) == (True, False, ["DUSDT", "AUSDT"])
    newest = newest_snapshot(home.engine, universe_rule(home.settings))
    judged = {one.symbol: one for one in judged_in(home.engine, newest.id)}
    assert {symbol: one.reason for symbol, one in judged.items()} == {
        "DUSDT": "rank 1 of 2 by turnover",
        "AUSDT": "rank 2 of 2 by turnover",
        "BUSDT": "rank 3, beyond 2",
        "CUSDT": "listed 1 day ago, 30 asked",
    }
    assert judged["AUSDT"].age_days == 105.5
    bars = venue[0].markets["AUSDT"].candles.between(NOON - DAY_MS, NOON)
    assert judged["AUSDT"].turnover == pytest.approx(float((bars.volume * bars.close).sum()), rel=0.02)
    assert venue[0].count("ticker") == 1
    assert symbols_in_use(home) == ("AUSDT", "DUSDT")


def test_a_day_is_asked_for_once(follow, venue):
    """A second refresh of the day is answered from what is stored, though the venue has changed its mind."""
    home = follow()
    first = refreshed(home, NOON)
    asked = len(venue[0].calls)
    venue[0].markets["BUSDT"] = replace(venue[0].markets["BUSDT"], candles=traded("BUSDT", 0, 8, scale=500.0))
    venue[0].now_ms = NOON + HOUR_MS
    again = refreshed(home, NOON + HOUR_MS)
    assert again == {**first, "decided_now": False, "age_hours": 1.0}
    assert len(venue[0].calls) == asked


def test_who_comes_and_who_leaves_is_told(follow, venue):
    """The next day one market is delisted; its history keeps that it was a member."""
    home = follow()
    refreshed(home, NOON)
    venue[0].now_ms = NOON + DAY_MS
    found = refreshed(home, NOON + DAY_MS)
    assert (found["entered"], found["left"]) == (["BUSDT"], {"DUSDT": "delisted"})
    assert [one.members for one in read_snapshots(home.engine, universe_rule(home.settings))] == [
        ("AUSDT", "DUSDT"),
        ("AUSDT", "BUSDT"),
    ]


@pytest.mark.parametrize("path", ["ticker", "exchangeInfo"])
def test_a_venue_that_fails_leaves_the_last_universe(follow, venue, path):
    """The refusal says what stays and how old it is, and that it is stale once it is; nothing is written."""
    home = follow()
    refreshed(home, NOON)
    before = read_snapshots(home.engine, universe_rule(home.settings))
    venue[0].faults.append(Fault(path=path, status=503, times=9))
    for days, age in ((1, "24.0 hours old. "), (3, "72.0 hours old, which is stale. ")):
        venue[0].now_ms = NOON + days * DAY_MS
        with pytest.raises(SourceError, match="binanceusdm") as refused:
            refreshed(home, NOON + days * DAY_MS)
        assert f"the universe of 2025-02-05 with 2 markets stays, {age}" in str(refused.value)
    assert read_snapshots(home.engine, universe_rule(home.settings)) == before
    assert symbols_in_use(home) == ("AUSDT", "DUSDT")


def test_a_ban_is_remembered_and_not_asked_into(follow, venue):
    """After a 418 the venue is left alone; the next refresh sends nothing."""
    home = follow(data__max_retries=1)
    venue[0].faults.append(Fault(path="ticker", status=418, retry_after_s=3600, times=9))
    with pytest.raises(SourceError, match="there is no universe yet"):
        refreshed(home, NOON)
    try:
        assert read_venue(home.engine, "binanceusdm").closed
        asked = len(venue[0].calls)
        with pytest.raises(SourceError, match="left alone until"):
            refreshed(home, NOON)
        assert len(venue[0].calls) == asked
    finally:
        reopen(home.engine)


def test_a_wrong_clock_decides_nothing(follow):
    """A day that is not the venue's would be kept for ever."""
    home = follow()
    with pytest.raises(SourceError, match=r"the clock of binanceusdm is -86400\.0 s from ours, and 10 s are permitted"):
        refreshed(home, NOON + DAY_MS)
    assert newest_snapshot(home.engine, universe_rule(home.settings)) is None


def test_a_rule_that_nobody_meets_is_refused(follow):
    """Instead of an empty universe for the whole day; with another rule the day is still open."""
    home = follow(universe__min_price=1e6)
    with pytest.raises(SourceError, match="none of 4 markets of binanceusdm in USDT meets the conditions"):
        refreshed(home, NOON)
    assert newest_snapshot(home.engine, universe_rule(home.settings)) is None


def test_the_venues_listing_dates_serve_past_days(follow):
    """In the lake a market seems as young as its first bar; the venue has said how old it is."""
    home = follow()
    refreshed(home, NOON)
    assert listing_dates(home.engine)["AUSDT"] == day(-100)
    home.lake.append_candles(traded("AUSDT", 0, 4), source="files")
    home.lake.append_candles(traded("ZUSDT", 0, 4), source="files")
    done = build_universe.fn(str(home.settings.home), start_ms=day(1))
    assert done["members"] == ["AUSDT"]
    judged = judged_in(home.engine, newest_snapshot(home.engine, universe_rule(home.settings), day=date(3)).id)
    assert [(one.symbol, one.reason) for one in judged] == [
        ("AUSDT", "rank 1 of 2 by turnover"),
        ("ZUSDT", "listed 3 days ago, 30 asked"),
    ]


def date(n):
    """The UTC date of day ``n``."""
    return datetime.fromtimestamp(day(n) / 1000, tz=UTC).date()


def reopen(engine):
    """Let the venue be asked again: the other tests of this room use the same database."""
    from sqlalchemy import update

    from infra.tables import venues

    with engine.begin() as connection:
        connection.execute(update(venues).values(closed_until=datetime.now(tz=UTC) - timedelta(days=1)))
