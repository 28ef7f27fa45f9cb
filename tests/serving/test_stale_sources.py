"""When a source stops, does everything that speaks of the market know it at the same moment?"""

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import text

from infra.lake import Lake
from infra.venues import record_check
from serving.status import status
from serving.venue_rule import VenueRule, venue_cause
from serving.worker import serve_once
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME, SmallMarket
from tests.serving.replays import lineup_of, plan_for, said
from tests.serving.test_status import deploy, promote

VENUE = "venue"
CLOSE = TIMEFRAME.close_time(END_INDEX - 1)
LIMIT = 2 * TIMEFRAME.ms


def rule(*, live: bool = False) -> VenueRule:
    """Two seconds of skew are permitted."""
    return VenueRule(venue=VENUE, max_clock_skew_ms=2000, answer_needed=live)


def answered(engine, at_ms: int) -> None:
    """The venue answered at this moment."""
    moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO venues (venue, answered_at) VALUES (:venue, :at)"), {"venue": VENUE, "at": moment}
        )


def serve(engine, lake: Lake, market: SmallMarket, bundles, *, now_ms: int, venue: VenueRule | None = None):
    """One round of the worker."""
    return serve_once(engine, lake, lineup_of(bundles), plan=plan_for(market, run="live"), now_ms=now_ms, venue=venue)


def told(engine, lake: Lake, *, now_ms: int, **options) -> dict:
    """The status at this moment."""
    return status(engine, lake, model_name="m", timeframe=TIMEFRAME, symbols=SYMBOLS, now_ms=now_ms, **options)


@pytest.fixture
def promoted(engine, bundles):
    """A champion."""
    deploy(engine, bundles[0], version=1)
    promote(engine, bundles[0], version=1)


def test_when_collection_stops_status_and_worker_turn_stale_together(engine, market, bundles, promoted):
    """At the limit both speak, one millisecond later both say stale, by the same watermark."""
    serve(engine, market.lake, market, bundles, now_ms=CLOSE + 6000)
    last = told(engine, market.lake, now_ms=CLOSE + LIMIT)
    assert (last["reason"], last["freshness"]["candles"]["fresh"]) == ("ok", True)
    late = told(engine, market.lake, now_ms=CLOSE + LIMIT + 1)
    assert (late["state"], late["reason"]) == ("FLAT", "stale_data")
    candles = late["freshness"]["candles"]
    assert (candles["fresh"], candles["watermark_ms"], candles["age_s"]) == (False, CLOSE, 600.001)
    assert candles["stale"] == list(SYMBOLS)
    # The worker: the bars that did not come are recorded, none of them may speak.
    at_limit = serve(engine, market.lake, market, bundles, now_ms=CLOSE + LIMIT)
    assert set(at_limit.reasons) == {"gap"}
    after = serve(engine, market.lake, market, bundles, now_ms=CLOSE + LIMIT + 120_000)
    assert after.reasons == {"stale_data": 3}
    assert {row.action for row in said(engine) if row.bar_ms > TIMEFRAME.open_time(END_INDEX - 1)} == {0}
    assert after.last_index == END_INDEX + 1


class _Behind(Lake):
    """The real lake, in which one market's bars ended earlier."""

    def __init__(self, lake: Lake, symbol: str, bars: int) -> None:
        super().__init__(lake.root)
        self._behind = {symbol: bars}

    def watermark(self, symbol, timeframe):
        """Its newest bar."""
        newest = super().watermark(symbol, timeframe)
        return None if newest is None else newest - self._behind.get(symbol, 0) * timeframe.ms


def test_one_market_that_stops_is_stale_alone(engine, market, bundles, promoted):
    """Its signal is flat and names the cause, the others speak; the status is as good as its best market."""
    lake = _Behind(market.lake, SYMBOLS[1], 2)
    serve(engine, lake, market, bundles, now_ms=CLOSE + 6000)
    assert {row.symbol: row.reason for row in said(engine)} == {
        SYMBOLS[0]: "ok",
        SYMBOLS[1]: "stale_data",
        SYMBOLS[2]: "ok",
    }
    found = told(engine, lake, now_ms=CLOSE + 6000)
    assert found["reason"] == "ok"
    assert found["freshness"]["candles"]["stale"] == [SYMBOLS[1]]
    assert found["freshness"]["candles"]["oldest_symbol"] == SYMBOLS[1]


def test_every_source_has_its_age_in_the_status(engine, market):
    """Candles, funding and open interest always; the universe where one is kept."""
    found = told(engine, market.lake, now_ms=CLOSE)
    assert set(found["freshness"]) == {"candles", "funding", "open_interest"}
    assert found["freshness"]["open_interest"]["max_age_s"] == 900
    kept = told(engine, market.lake, now_ms=CLOSE, universe_max_age_hours=48)
    assert kept["freshness"]["universe"] == {
        "fresh": False,
        "watermark_ms": None,
        "age_s": None,
        "max_age_s": 48 * 3600,
        "oldest_symbol": None,
        "stale": [],
    }


def test_live_signals_need_a_venue_that_was_asked(engine, market, bundles, promoted):
    """Never asked, or not within the age of the candles: no signal in live mode; paper goes on without."""
    now = CLOSE + 6000
    assert serve(engine, market.lake, market, bundles, now_ms=now, venue=rule(live=True)).reasons == {
        "venue_unchecked": 3
    }
    assert {row.state for row in said(engine)} == {"FLAT"}
    assert told(engine, market.lake, now_ms=now, venue=rule(live=True))["reason"] == "venue_unchecked"
    assert venue_cause(engine, rule(), now_ms=now, max_age_ms=LIMIT) == "ok"
    answered(engine, now - LIMIT)
    assert venue_cause(engine, rule(live=True), now_ms=now, max_age_ms=LIMIT) == "ok"
    assert venue_cause(engine, rule(live=True), now_ms=now + 1, max_age_ms=LIMIT) == "venue_unchecked"


def test_with_a_recent_answer_live_signals_go_out(engine, market, bundles, promoted):
    """Served in live mode after a good check: the champion speaks."""
    now = CLOSE + 6000
    answered(engine, now - 1000)
    assert serve(engine, market.lake, market, bundles, now_ms=now, venue=rule(live=True)).reasons == {"ok": 3}


@pytest.mark.parametrize(
    ("skew_ms", "cause"), [(2000, "ok"), (-2000, "ok"), (2001, "clock_skew"), (-2001, "clock_skew")]
)
def test_a_venue_whose_clock_is_not_ours_stops_signals(engine, market, bundles, promoted, skew_ms, cause):
    """In every mode, ahead and behind, beyond the setting and not at it."""
    record_check(engine, VENUE, clock_skew_ms=skew_ms)
    now = CLOSE + 6000
    assert serve(engine, market.lake, market, bundles, now_ms=now, venue=rule()).reasons == {cause: 3}
    assert told(engine, market.lake, now_ms=now, venue=rule())["reason"] == cause


def test_funding_that_stops_shows_its_own_age(engine, market):
    """Nine hours after the last settlement of an eight-hour market, not earlier."""
    newest = int(np.max(market.lake.funding(SYMBOLS[0]).time))
    hour = 3_600_000
    assert told(engine, market.lake, now_ms=newest + 9 * hour)["freshness"]["funding"]["fresh"]
    assert not told(engine, market.lake, now_ms=newest + 9 * hour + 1)["freshness"]["funding"]["fresh"]
