"""How are bars served: a stretch of history, the newest bars once, or for ever?

All three run ``serving.bar.serve_bar``. ``replay`` serves history as it was known then. ``serve_once`` serves what
has closed since the last served bar, as known now, and judges staleness by the clock it is given. ``serve_forever``
waits for each close. All are safe to kill and to repeat: bars are written whole, served bars are skipped after a check
of the rows themselves, and memory (open trades, recent actions) is rebuilt from PostgreSQL.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Event

from sqlalchemy import Engine

from infra.errors import LakeError
from infra.freshness import is_fresh, max_age_ms
from infra.lake import Lake
from infra.sources.protocol import Kind
from market.timeframe import Timeframe
from serving.arming import armed_cause
from serving.bar import Seat, serve_bar
from serving.capital import capital_cause, stage_of, with_capital
from serving.drift_block import drift_cause
from serving.guards import Guards, open_guards, too_slow
from serving.kept import KeptBetweenBars
from serving.kill_switch import throw_if_due
from serving.ledger import Ledger
from serving.lineup import Lineup, ServePlan, covered
from serving.live_view import LiveView
from serving.market_view import DECISION_DELAY_MS, MarketView
from serving.progress import first_unserved
from serving.recall import recall_state
from serving.records import BarRecord
from serving.round_start import round_start
from serving.shares import policy_of_share
from serving.states import OK, UNKNOWN, State, cause_of_error, gravest, state_of
from serving.store import write_bars
from serving.summary import ServeSummary, SummaryCount
from serving.unforeseen import silent_by_error, unforeseen_error
from serving.venue_rule import VenueRule, venue_cause

__all__ = ["replay", "serve_bar", "serve_forever", "serve_once"]

_BARS_PER_WRITE = 24
_MOST_CAUGHT_UP = 288
OnProgress = Callable[[int, int], None]


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def replay(
    engine: Engine,
    lake: Lake,
    lineup: Lineup,
    *,
    plan: ServePlan,
    start_index: int,
    end_index: int,
    on_progress: OnProgress | None = None,
    delay_ms: int = DECISION_DELAY_MS,
) -> ServeSummary:
    """Serve the bars ``[start_index, end_index)`` as each was known ``delay_ms`` after its close.

    Starts at the first bar that is not wholly served. ``on_progress(done, total)`` is called after each bar. A row that
    exists is never changed. Raises ``ReplayError`` for a plan that fits no bundle, ``LakeError`` for a damaged lake.
    """
    plan.check(lineup)
    count = SummaryCount(timeframe_ms=plan.contract.timeframe_ms)
    with engine.connect() as connection:
        bundles = [one.bundle for _, one in lineup.seats()]
        first = first_unserved(connection, plan, bundles, start_index=start_index, end_index=end_index)
    count.already_served = first - start_index
    if first >= end_index:
        return count.summary()
    view = MarketView(lake, plan.symbols, plan.contract, start_index=first, end_index=end_index, delay_ms=delay_ms)
    seats = _take_seats(engine, lineup, plan, first)
    guards = open_guards(engine, lake, lineup, plan, first_index=first, end_index=end_index)
    waiting: list[BarRecord] = []
    for index in range(first, end_index):
        until_ms = view.timeframe.close_time(index) + delay_ms
        record = serve_bar(view, seats, lineup, plan, index=index)
        record = guards.check(record, view, after_ms=until_ms - view.timeframe.ms, until_ms=until_ms)
        waiting.append(record)
        count.add(record)
        if len(waiting) == _BARS_PER_WRITE or index + 1 == end_index:
            write_bars(engine, waiting, heartbeat=None)
            waiting.clear()
        if on_progress is not None:
            on_progress(index + 1 - start_index, end_index - start_index)
    return count.summary()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """Bars ``[first, end)`` to serve now, bars passed over, and what is wrong with the clock."""

    first: int
    end: int
    passed_over: int
    cause: str


def serve_once(
    engine: Engine,
    lake: Lake,
    lineup: Lineup,
    *,
    plan: ServePlan,
    now_ms: int,
    max_catch_up: int = _MOST_CAUGHT_UP,
    grace_ms: int = DECISION_DELAY_MS,
    venue: VenueRule | None = None,
    clock_ms: Callable[[], int] = _wall_clock_ms,
    began_ms: int | None = None,
    kept: KeptBetweenBars | None = None,
) -> ServeSummary:
    """Serve every bar that closed since the last served one, as known at ``now_ms``.

    A bar that no market has yet is waited for until ``grace_ms`` after its close; then it is served as missing. At most
    ``max_catch_up`` bars are caught up, older ones are passed over. Bars decided more than ``plan.max_age_bars`` bars
    after their close are FLAT ``stale_data``, and so is a symbol whose newest stored bar is that old. ``venue`` is the
    rule of the venue behind these markets; None where there is none. ``clock_ms`` only measures how long a decision
    took, the first one since ``began_ms`` on that clock (None: since this call). A bar stopped by an error nobody
    foresaw is recorded as that and ends the round. ``kept`` is what the same caller keeps from round to round; without
    it everything is read anew, and the rows are the same.
    """
    kept = kept or KeptBetweenBars(lake)
    began_ms = clock_ms() if began_ms is None else began_ms
    plan.check(lineup)
    timeframe = Timeframe(plan.contract.timeframe_ms)
    count = SummaryCount(timeframe_ms=timeframe.ms)
    with engine.connect() as connection:
        start = round_start(connection, plan)
    halted, decided_ms = start.halted, now_ms if start.decided_ms is None else start.decided_ms
    marks = _watermarks(kept.view, plan)
    due = _due(marks, timeframe, start.served_ms, now_ms=now_ms, max_catch_up=max_catch_up, grace_ms=grace_ms)
    count.passed_over = due.passed_over
    if due.first >= due.end:
        return count.summary()
    recall = partial(_take_seats, engine, lineup, plan, resumed_ms=start.resumed_ms)
    seats = kept.seats.take(engine, lineup, plan, start=start, before_index=due.first, recall=recall)
    seen = _look(engine, lake, kept, lineup, plan, due, now_ms=now_ms, decided_ms=decided_ms)
    limit_ms = max_age_ms(Kind.CANDLES, timeframe=timeframe, max_age_bars=plan.max_age_bars)
    stale = [
        s for s, mark in marks.items() if mark is not None and not is_fresh(mark, now_ms=now_ms, limit_ms=limit_ms)
    ]
    asked = venue_cause(engine, venue, now_ms=now_ms, max_age_ms=limit_ms)
    stage = stage_of(engine, plan)
    allowed = gravest((_allowed(engine, lineup, plan, now_ms=now_ms), capital_cause(stage)))
    for index in range(due.first, due.end):
        late = not is_fresh(timeframe.close_time(index), now_ms=now_ms, limit_ms=limit_ms)
        standing = gravest(("halted" if halted else OK, due.cause, asked, allowed, "stale_data" if late else OK))
        error: Exception | None = None
        if isinstance(seen, Exception):
            record = silent_by_error(lineup, plan, index=index, standing=standing, error=seen)
        else:
            try:
                record = serve_bar(seen.view, seats, lineup, plan, index=index, standing_cause=standing, stale=stale)
                record = seen.guards.check(record, seen.view, after_ms=decided_ms, until_ms=now_ms)
                record = with_capital(record, plan, stage, seats)
            except Exception as raised:  # noqa: BLE001  fail closed: the bar is FLAT and says what stopped it
                error = raised
                record = silent_by_error(lineup, plan, index=index, standing=standing, error=raised)
        record = too_slow(record, plan, took_ms=clock_ms() - began_ms)
        write_bars(engine, [record], heartbeat=plan.component)
        count.add(record)
        thrown = throw_if_due(
            engine,
            record,
            model_name=plan.model_name,
            timeframe_ms=timeframe.ms,
            max_error_bars=plan.max_error_bars,
        )
        halted = halted or thrown is not None
        if error is not None:
            return count.summary()  # memory may be half changed: the next round begins from what is recorded
        began_ms, decided_ms = clock_ms(), now_ms
    if not isinstance(seen, Exception):
        kept.seats.wrote(count.summary())
    return count.summary()


def serve_forever(
    engine: Engine,
    lake: Lake,
    *,
    plan_for: Callable[[Lineup], ServePlan],
    timeframe: Timeframe,
    adopt: Callable[[Lineup | None], Lineup],
    stop: Event,
    settle_delay_ms: int,
    poll_s: float = 1.0,
    pause: Callable[[float], object] | None = None,
    venue: VenueRule | None = None,
    on_bar: Callable[[ServeSummary], None] | None = None,
    on_error: Callable[[Exception, str], None] | None = None,
    clock_ms: Callable[[], int] = _wall_clock_ms,
) -> None:
    """Serve each bar ``settle_delay_ms`` after its close until ``stop`` is set.

    ``adopt`` is asked before every round who serves, with what is loaded now; it must return at once when nothing has
    changed. ``plan_for`` says what to serve for it, asked when a bar is due. ``pause`` waits for news, at most the
    ``poll_s`` seconds it is given; None only waits. ``venue`` is the rule of the venue behind these markets. While the
    database is down or its disk is full nothing is said and every round tries again. An error nobody foresaw makes the
    bar FLAT, is counted, and serving goes on with the next one. Every error is handed to ``on_error`` with its cause.
    """
    tell: Callable[[Exception, str], object] = on_error or (lambda _error, _cause: None)
    lineup: Lineup | None = None
    done = -1
    kept = KeptBetweenBars(lake)
    while not stop.is_set():
        now_ms = clock_ms()
        newest = timeframe.index_of(now_ms - settle_delay_ms) - 1
        try:
            lineup = adopt(lineup)
            if newest <= done:
                kept.view.absorb()
            else:
                plan = plan_for(lineup)
                if not plan.symbols:  # a share that is empty now
                    done = newest
                    continue
                clock = {"now_ms": now_ms, "began_ms": now_ms}
                summary = serve_once(
                    engine, lake, lineup, plan=plan, venue=venue, clock_ms=clock_ms, kept=kept, **clock
                )
                if summary.last_index is not None:
                    done = summary.last_index
                    if on_bar is not None:
                        on_bar(summary)
                    kept.view.check()
                if summary.unforeseen:
                    tell(unforeseen_error(summary), UNKNOWN)
        except Exception as error:  # noqa: BLE001  the worker outlives every error; each is told and has its cause
            tell(error, cause_of_error(error))
            if cause_of_error(error) == UNKNOWN:
                try:
                    plan = plan_for(lineup or Lineup())
                    _record_unforeseen(engine, lineup or Lineup(), plan, error, now_ms=now_ms - settle_delay_ms)
                except Exception as lost:  # noqa: BLE001  nothing is said of this bar yet: the next round tries again
                    tell(lost, cause_of_error(lost))
        (pause or stop.wait)(poll_s)


def _take_seats(
    engine: Engine, lineup: Lineup, plan: ServePlan, before_index: int, *, resumed_ms: int | None = None
) -> list[Seat]:
    seats = []
    with engine.connect() as connection:
        for role, one in lineup.seats():
            ledger = Ledger(
                bundle_hash=one.bundle.hash,
                contract=plan.contract_id,
                spec=one.bundle.label_spec,
                timeframe=Timeframe(plan.contract.timeframe_ms),
            )
            policy = policy_of_share(one.bundle.policy, plan.shares)
            state = recall_state(
                connection,
                ledger,
                policy,
                plan.symbols,
                before_index=before_index,
                resumed_ms=resumed_ms,
                of=plan.share_of_bundle(one.bundle),
            )
            seats.append(
                Seat(
                    role=role,
                    version=one.version,
                    bundle=one.bundle,
                    policy=policy,
                    state=state,
                    ledger=ledger,
                    covered=covered(one.bundle, plan.symbols),
                )
            )
    return seats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """The markets of the bars due, and what must hold of them."""

    view: MarketView
    guards: Guards


def _look(
    engine: Engine,
    lake: Lake,
    kept: KeptBetweenBars,
    lineup: Lineup,
    plan: ServePlan,
    due: _Due,
    *,
    now_ms: int,
    decided_ms: int,
) -> _Seen | Exception:
    """The markets, or the error that keeps them from being seen; raises for a database that is away."""
    try:
        view = kept.view.open(plan, first=due.first, end=due.end, as_of_ms=now_ms)
        changed = kept.view.may_have_changed(plan, after_ms=decided_ms)
        bars = {"first_index": due.first, "end_index": due.end}
        guards = open_guards(engine, lake, lineup, plan, changed=changed, ring=kept.seats.ring, **bars)
        kept.seats.ring = guards.ring
    except Exception as error:  # fail closed: what cannot be seen is FLAT with its cause
        if state_of(cause_of_error(error)) is State.HALT:
            raise
        return error
    return _Seen(view=view, guards=guards)


def _watermarks(kept: LiveView, plan: ServePlan) -> Mapping[str, int | None]:
    """The close of the newest bar of each symbol; none at all while the lake cannot be read."""
    try:
        return kept.watermarks(plan)
    except LakeError:
        return {}


def _allowed(engine: Engine, lineup: Lineup, plan: ServePlan, *, now_ms: int) -> str:
    """Whether a person armed this champion where that is needed, and drift does not keep it silent."""
    if lineup.champion is None:
        return OK
    name, serves = plan.model_name, lineup.champion.bundle.hash
    armed = OK
    if plan.arming_needed:
        armed = armed_cause(engine, model_name=name, bundle_hash=serves, now_ms=now_ms)
    hours = plan.drift_block_hours
    return gravest(
        (armed, drift_cause(engine, model_name=name, bundle_hash=serves, now_ms=now_ms, max_age_hours=hours))
    )


def _record_unforeseen(engine: Engine, lineup: Lineup, plan: ServePlan, error: Exception, *, now_ms: int) -> None:
    """Say of every bar that is due that an error nobody foresaw stopped the round."""
    with engine.connect() as connection:
        served_ms = round_start(connection, plan).served_ms
    timeframe = Timeframe(plan.contract.timeframe_ms)
    due = _due({}, timeframe, served_ms, now_ms=now_ms, max_catch_up=_MOST_CAUGHT_UP, grace_ms=0)
    for index in range(due.first, due.end):
        record = silent_by_error(lineup, plan, index=index, standing=OK, error=error)
        write_bars(engine, [record], heartbeat=plan.component)


def _due(
    marks: Mapping[str, int | None],
    timeframe: Timeframe,
    served_ms: int | None,
    *,
    now_ms: int,
    max_catch_up: int,
    grace_ms: int,
) -> _Due:
    newest_closed = timeframe.index_of(now_ms) - 1
    newest_stored = max((mark for mark in marks.values() if mark is not None), default=0) // timeframe.ms - 1
    waiting = newest_stored < newest_closed and now_ms - timeframe.close_time(newest_closed) <= grace_ms
    last = newest_closed - 1 if waiting else newest_closed
    first = last if served_ms is None else served_ms // timeframe.ms + 1
    oldest = last - max_catch_up + 1
    return _Due(
        first=max(first, oldest),
        end=last + 1,
        passed_over=max(oldest - first, 0),
        cause="clock_skew" if newest_stored > newest_closed else OK,
    )
