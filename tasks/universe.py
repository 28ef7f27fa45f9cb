"""How is the universe of a day decided, once?

Today from the venue, a past day from what the lake held when that day began. Each day is decided once: asked again, the
stored answer is given, whatever has arrived since. A refresh that fails changes nothing, the last universe stays and
its age is told.
"""

import time
from datetime import date, timedelta
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.errors import SourceError
from infra.heartbeats import beat
from infra.sources.exchange import ExchangeSource
from infra.universe import (
    LAKE_SOURCE,
    UniverseSnapshot,
    judged_in,
    listing_dates,
    newest_snapshot,
    store_snapshot,
    stored_days,
    universe_rule,
    utc_day,
)
from market.errors import LockstepError
from market.timeframe import DAY_MS, HOUR_MS, as_utc
from market.universe import MarketFacts, UniverseRule, select_universe
from tasks.plan import timeframe_of
from tasks.progress import report
from tasks.universe_facts import LakeMarkets, day_start_ms, first_bars, lake_facts, venue_facts
from tasks.universe_report import described
from tasks.venue import check_clock, exchange_options, require_same_clock, venue_session

__all__ = ["build_universe", "refresh_universe"]

_DAYS_AT_ONCE = 31  # of all markets in memory together


@task(cache_policy=NO_CACHE)
def refresh_universe(home: str, *, now_ms: int | None = None) -> dict[str, Any]:
    """Decide the universe of today from the venue's tickers, unless that was done; None takes this machine's clock."""
    with open_app(home) as app:
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        rule, day = universe_rule(app.settings), utc_day(now)
        last = newest_snapshot(app.engine, rule, day=day)
        found = last if last is not None and last.day == day else None
        if found is None:
            try:
                found = _decide(app, rule, day, _ask_venue(app, now), app.settings.data.exchange, as_of_ms=now)
            except SourceError as error:
                raise _still(error, last, app, now_ms=now) from error
        beat(app.engine, "universe", {"day": str(found.day), "members": len(found.members)})
        return {**described(app, found, now_ms=now), "decided_now": found != last}


@task(cache_policy=NO_CACHE)
def build_universe(home: str, *, start_ms: int, end_ms: int | None = None) -> dict[str, Any]:
    """Decide the days that begin in ``[start_ms, end_ms)`` from the lake, oldest first; None goes as far as it holds.

    Days that were decided before stay as they are. Raises for a day whose 24 hours before are not in the lake.
    """
    with open_app(home) as app:
        rule, markets = universe_rule(app.settings), _markets(app)
        days = _days(app, markets, start_ms, end_ms)
        first, last = utc_day(days[0]), utc_day(days[-1])
        kept = stored_days(app.engine, rule, start=first, end=last + timedelta(days=1))
        still_open = [day_ms for day_ms in days if utc_day(day_ms) not in kept]
        changes: list[dict[str, object]] = []
        for done in range(0, len(still_open), _DAYS_AT_ONCE):
            report("universe", done, len(still_open))
            part = still_open[done : done + _DAYS_AT_ONCE]
            for day_ms, facts in zip(part, lake_facts(markets, part), strict=True):
                _require_bars(facts, day_ms)
                as_of_ms = markets.as_of_ms(day_ms)
                changes += _changes(app, _decide(app, rule, utc_day(day_ms), facts, LAKE_SOURCE, as_of_ms=as_of_ms))
        report("universe", len(still_open), len(still_open))
        newest = newest_snapshot(app.engine, rule, day=last)
        return {
            "rule": rule.fingerprint,
            "first_day": str(first),
            "last_day": str(last),
            "decided": len(days) - len(kept),
            "kept": len(kept),
            "members": [] if newest is None else list(newest.members),
            "changes": changes,
        }


def _decide(
    app: App, rule: UniverseRule, day: date, facts: tuple[MarketFacts, ...], source: str, *, as_of_ms: int
) -> UniverseSnapshot:
    before = newest_snapshot(app.engine, rule, day=day - timedelta(days=1))
    judged = select_universe(facts, rule, previous=() if before is None else before.members, as_of_ms=as_of_ms)
    if source != LAKE_SOURCE and not any(one.member for one in judged):
        raise SourceError(
            f"none of {len(facts)} markets of {source} in {rule.quote} meets the conditions of the universe",
            why="an empty universe would be kept for the whole day",
            remedy="look at the settings of the group universe, then run lockstep universe refresh again",
        )
    return store_snapshot(app.engine, rule=rule, day=day, source=source, as_of_ms=as_of_ms, judged=judged)


def _ask_venue(app: App, now_ms: int) -> tuple[MarketFacts, ...]:
    """What the venue says now, if it may be asked and its clock is ours: the day would be a wrong one otherwise."""
    source = ExchangeSource(exchange_options(app.settings))
    with venue_session(app.engine, source) as session:
        check = check_clock(app.engine, session, source.name, now_ms=now_ms)
        require_same_clock(app, check, source.name, why="a universe would be kept under a moment that is not its own")
        tickers = session.tickers()
        return venue_facts(session.listings(), tickers, quote=app.settings.universe.quote, now_ms=now_ms)


def _still(error: SourceError, last: UniverseSnapshot | None, app: App, *, now_ms: int) -> SourceError:
    """The same refusal, with what it means for the universe."""
    if last is None:
        return SourceError(error.what, why=f"{error.why}; there is no universe yet", remedy=error.remedy)
    hours = (now_ms - last.as_of_ms) / HOUR_MS
    flag = ", which is stale" if hours > app.settings.universe.max_age_hours else ""
    stays = f"the universe of {last.day} with {len(last.members)} markets stays, {hours:.1f} hours old{flag}"
    return SourceError(error.what, why=f"{error.why}; {stays}", remedy=error.remedy)


def _markets(app: App) -> LakeMarkets:
    timeframe, data = timeframe_of(app.settings), app.settings.data
    firsts = first_bars(app.lake, timeframe)
    if not firsts:
        raise LockstepError(
            f"the lake holds no {timeframe.name} candles",
            why="the universe of a past day is decided from its bars",
            remedy="run lockstep backfill for every market that may belong to it",
        )
    return LakeMarkets(
        lake=app.lake,
        timeframe=timeframe,
        firsts=firsts,
        listed=listing_dates(app.engine),
        settle_delay_ms=data.settle_delay_s * 1000,
        min_coverage=data.min_coverage,
    )


def _days(app: App, markets: LakeMarkets, start_ms: int, end_ms: int | None) -> list[int]:
    """Starts of the days asked for; raises for those that the lake cannot know."""
    timeframe = markets.timeframe
    marks = [app.lake.watermark(symbol, timeframe) for symbol in markets.firsts]
    last = day_start_ms(max(mark for mark in marks if mark is not None) + timeframe.ms)
    first = day_start_ms(min(markets.firsts.values())) + DAY_MS
    stop = last + 1 if end_ms is None else end_ms
    days = list(range(-(-start_ms // DAY_MS) * DAY_MS, stop, DAY_MS))
    if not days or days[0] < first or days[-1] > last:
        raise LockstepError(
            f"the universe from {as_utc(start_ms)} to {as_utc(stop)} UTC cannot be built",
            why=f"the lake knows the 24 hours before each day from {utc_day(first)} to {utc_day(last)} only",
            remedy=f"run lockstep universe build --from {utc_day(first)} --to {utc_day(last + DAY_MS)}, or backfill",
        )
    return days


def _require_bars(facts: tuple[MarketFacts, ...], day_ms: int) -> None:
    if not any(one.active for one in facts):
        raise LockstepError(
            f"no bar of the 24 hours before {utc_day(day_ms)} is in the lake",
            why="every market would be taken for delisted, and a day is decided only once",
            remedy="backfill that day, then run this again; the days before it are decided",
        )


def _changes(app: App, snapshot: UniverseSnapshot) -> list[dict[str, object]]:
    return [
        {"day": str(snapshot.day), "symbol": one.symbol, "change": one.change, "reason": one.reason}
        for one in judged_in(app.engine, snapshot.id)
        if one.change in ("entered", "left")
    ]
