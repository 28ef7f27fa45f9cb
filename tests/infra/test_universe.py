"""Snapshots of the universe on a real database: written once, read as of a date, never changed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select

from infra.settings import load_settings
from infra.tables import universe_members, universe_snapshots
from infra.universe import (
    judged_in,
    listing_dates,
    newest_snapshot,
    read_snapshots,
    store_snapshot,
    stored_days,
    symbol_days,
    universe_rule,
    utc_day,
)
from market.timeframe import DAY_MS
from market.universe import MarketFacts, UniverseRule, members_hash, select_universe

pytestmark = pytest.mark.integration

DAY = date(2025, 3, 1)
DAY_START = 1_740_787_200_000
RULE = UniverseRule(top_n=2, min_turnover=0.0, min_price=0.0, min_age_days=0, quote="USDT", include=(), exclude=())


@pytest.fixture
def rule(request):
    """A rule that no other test uses, so that each test has a universe of its own."""
    return replace(RULE, exclude=(f"{request.node.name.upper()}",))


def decided(rule, turnovers, *, previous=(), as_of_ms=DAY_START):
    """Judgements over these turnovers; None for a market that is traded no more."""
    listed = as_of_ms - 40 * DAY_MS
    facts = [
        MarketFacts(symbol=name, turnover_24h=value, price=2.0, listed_ms=listed, active=value is not None)
        for name, value in turnovers.items()
    ]
    return select_universe(facts, rule, previous=previous, as_of_ms=as_of_ms)


def stored(engine, rule, turnovers, *, days=0, previous=(), source="lake"):
    """One snapshot, ``days`` after the first."""
    at = DAY_START + days * DAY_MS
    judged = decided(rule, turnovers, previous=previous, as_of_ms=at)
    day = DAY + timedelta(days=days)
    return store_snapshot(engine, rule=rule, day=day, source=source, as_of_ms=at, judged=judged)


def test_the_first_decision_of_a_day_is_kept(engine, rule):
    """Other facts for the same day change nothing, and the answer says what is stored."""
    first = stored(engine, rule, {"AUSDT": 3.0, "BUSDT": 2.0, "CUSDT": 1.0})
    again = stored(engine, rule, {"AUSDT": 1.0, "BUSDT": 2.0, "CUSDT": 3.0, "DUSDT": 9.0})
    assert again == first == newest_snapshot(engine, rule)
    assert first.members == ("AUSDT", "BUSDT")
    assert first.content_hash == members_hash(first.members)
    assert [one.symbol for one in judged_in(engine, first.id)] == ["AUSDT", "BUSDT", "CUSDT"]


def test_what_was_judged_comes_back_as_it_was(engine, rule):
    """Members by rank, then the others; numbers that nobody knew stay unknown."""
    judged = decided(rule, {"AUSDT": 1.0, "BUSDT": 2.5, "CUSDT": None, "DUSDT": 0.5}, previous=("DUSDT",))
    made = store_snapshot(engine, rule=rule, day=DAY, source="lake", as_of_ms=DAY_START, judged=judged)
    found = judged_in(engine, made.id)
    assert [one.symbol for one in found] == ["BUSDT", "AUSDT", "DUSDT", "CUSDT"]
    assert {one.symbol: one for one in found} == {one.symbol: one for one in judged}
    assert found[-1].turnover is None


def test_two_at_once_store_one_snapshot(engine, rule):
    """Eight deciders with different facts: one wins whole, all are given the same."""

    def one(k):
        return stored(engine, rule, {f"M{k}USDT": 1.0, f"N{k}USDT": 2.0})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert len({answer.id for answer in answers}) == 1
    winner = answers[0].members[0][1]
    assert answers[0].members == (f"M{winner}USDT", f"N{winner}USDT")
    with engine.connect() as connection:
        of_rule = universe_snapshots.c.rule == rule.fingerprint
        assert connection.scalar(select(func.count()).select_from(universe_snapshots).where(of_rule)) == 1
        mine = universe_members.c.snapshot_id == answers[0].id
        assert connection.scalar(select(func.count()).select_from(universe_members).where(mine)) == 2


def test_a_failure_halfway_leaves_nothing(engine, rule):
    """A market judged twice cannot be stored; neither can the snapshot it belongs to."""
    judged = decided(rule, {"AUSDT": 1.0})
    with pytest.raises(Exception, match="universe_members_pkey"):
        store_snapshot(engine, rule=rule, day=DAY, source="lake", as_of_ms=DAY_START, judged=judged * 2)
    assert newest_snapshot(engine, rule) is None
    assert stored(engine, rule, {"AUSDT": 1.0}).members == ("AUSDT",)


def test_a_day_without_members_is_a_decision_too(engine, rule):
    """It is stored and found, with nobody in it."""
    assert stored(engine, rule, {"AUSDT": None}).members == ()
    assert stored(engine, replace(rule, top_n=9), {}).members == ()
    assert newest_snapshot(engine, rule).members == ()


def test_the_universe_as_of_a_date(engine, rule):
    """The last snapshot of that day or before; a rule of other numbers has a universe of its own."""
    stored(engine, rule, {"AUSDT": 1.0})
    stored(engine, rule, {"BUSDT": 1.0}, days=3)
    other = replace(rule, top_n=1)
    stored(engine, other, {"CUSDT": 1.0}, days=1)
    at = {days: newest_snapshot(engine, rule, day=DAY + timedelta(days=days)) for days in (-1, 0, 2, 3, 9)}
    assert at[-1] is None
    assert [at[days].members for days in (0, 2, 3, 9)] == [("AUSDT",), ("AUSDT",), ("BUSDT",), ("BUSDT",)]
    assert [one.day for one in read_snapshots(engine, rule)] == [DAY, DAY + timedelta(days=3)]
    assert stored_days(engine, rule, start=DAY, end=DAY + timedelta(days=3)) == {DAY}
    assert newest_snapshot(engine, other).members == ("CUSDT",)


def test_the_history_of_a_market_has_its_entries_and_exits(engine, rule):
    """Day by day with the reasons, the days after it was delisted included."""
    stored(engine, rule, {"AUSDT": 1.0})
    stored(engine, rule, {"AUSDT": 1.0, "BUSDT": 5.0}, days=1, previous=("AUSDT",))
    stored(engine, rule, {"AUSDT": 1.0, "BUSDT": None}, days=2, previous=("AUSDT", "BUSDT"))
    days = symbol_days(engine, rule, "BUSDT")
    assert [(one.day.day, one.member, one.reason) for one in days] == [
        (1, False, None),
        (2, True, "rank 1 of 2 by turnover"),
        (3, False, "delisted"),
    ]
    assert symbol_days(engine, rule, "NOPEUSDT") == ()


def test_a_listing_date_is_taken_from_venues_only(engine, rule):
    """The lake's first bar is no listing; the earliest word of a venue is."""
    stored(engine, rule, {"LISTEDUSDT": 1.0, "BARSUSDT": 1.0}, source="binanceusdm")
    stored(engine, replace(rule, top_n=7), {"LISTEDUSDT": 1.0, "ONLYUSDT": 1.0}, days=-9)
    dates = listing_dates(engine)
    assert dates["LISTEDUSDT"] == DAY_START - 40 * DAY_MS
    assert "ONLYUSDT" not in dates


def test_the_rule_is_that_of_the_settings(tmp_path):
    """Every number, and names in no order."""
    given = {"universe.top_n": 7, "universe.min_price": 0.05, "universe.include": ["ETHUSDT", "BTCUSDT"]}
    rule = universe_rule(load_settings(tmp_path, environ={}, overrides=given))
    assert (rule.top_n, rule.min_price, rule.min_age_days, rule.quote) == (7, 0.05, 30, "USDT")
    assert rule.include == ("BTCUSDT", "ETHUSDT")
    turned = given | {"universe.include": ["BTCUSDT", "ETHUSDT"]}
    assert universe_rule(load_settings(tmp_path, environ={}, overrides=turned)).fingerprint == rule.fingerprint
    assert utc_day(DAY_START - 1) == DAY - timedelta(days=1)
