"""What do stored rows say about a champion since its stage began?

Reads signals, predictions, paper trades, heartbeats, planned stops and checks of the watch; changes nothing. Only what
was served on the clock (run ``live``) counts, never a replay. Times are ms UTC. Trades count by what was said of them.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Double, and_, func, or_, select

from infra.capital_tables import worker_stops
from infra.tables import bundles, heartbeats, paper_trades, predictions, signals, trigger_checks
from learning.paper_results import Booked, daily_drawdown, drawdown
from market.barriers import Barrier, Side
from market.timeframe import Timeframe
from serving.halt import is_halted
from serving.ramp_gates import Evidence
from serving.silences import missing_bars, unplanned_end
from serving.states import CHAMPION_ERRORS

__all__ = ["BREAKERS", "FEATURE_FAULTS", "LOAD_FAULTS", "RAMP_CHECK", "Window", "read_evidence"]

RAMP_CHECK = "ramp"
"""The name under which checks of the ramp are stored: they are no evidence about the champion."""
FEATURE_FAULTS = ("contract_mismatch", "feature_invalid")
LOAD_FAULTS = ("bundle_refused", "no_champion", *sorted(CHAMPION_ERRORS))
BREAKERS = ("daily_loss", "drawdown", "guard_paused", "halted")


class Window(NamedTuple):
    """Which model and bundle are looked at, from when to when, and how long its worker may be silent."""

    model_name: str
    bundle_hash: str
    deployment: int
    since_ms: int
    now_ms: int
    timeframe: Timeframe
    max_silence_bars: int


def read_evidence(connection: Connection, window: Window) -> Evidence:
    """Everything the gates ask, of ``[since_ms, now_ms]``, in one connection (one snapshot, if the caller's is)."""
    return Evidence(
        bundle_hash=window.bundle_hash,
        deployment=window.deployment,
        synthetic=connection.scalar(select(bundles.c.synthetic).where(bundles.c.bundle_hash == window.bundle_hash)),
        fired=_fired(connection, window),
        **_served(connection, window),
        **_said(connection, window),
        **_trades(connection, window),
    )


def _served(connection: Connection, window: Window) -> dict[str, Any]:
    """Bars, silences and faults from the signals; None where nothing was served."""
    s = signals.c
    live = and_(
        s.model_name == window.model_name,
        s.run == "live",
        s.decided_at >= _moment(window.since_ms),
        s.decided_at <= _moment(window.now_ms),
    )

    def of(*reasons: str) -> Any:
        return func.bool_or(s.reason.in_(reasons))

    # A bundle other than the champion may be refused while the champion serves on; that is no fault of its own.
    other = or_(s.bundle_hash.is_(None), s.bundle_hash != window.bundle_hash)
    refused = and_(s.reason.in_(LOAD_FAULTS), or_(s.reason != "bundle_refused", other))
    query = (
        select(
            s.bar_ms,
            func.max(s.decided_at).label("written"),
            of(*FEATURE_FAULTS).label("features"),
            func.bool_or(refused).label("load"),
            of(*BREAKERS).label("trip"),
        )
        .where(live)
        .group_by(s.bar_ms)
        .order_by(s.bar_ms)
    )
    bars = connection.execute(query).all()
    beating = _beating(connection, window)
    if not bars:
        return {"bars": 0, "beating": beating}
    trips = sum(row.trip for row in bars) + is_halted(connection)
    return {
        "bars": len(bars),
        "missing_bars": missing_bars([row.bar_ms for row in bars], bar_length_ms=window.timeframe.ms),
        "beating": beating,
        "restarted_ms": unplanned_end(
            [_ms(row.written) for row in bars],
            _stops(connection, window),
            since_ms=window.since_ms,
            longest_ms=_longest_ms(window),
        ),
        "feature_errors": sum(row.features for row in bars),
        "load_failures": sum(row.load for row in bars),
        "trips": trips,
    }


def _said(connection: Connection, window: Window) -> dict[str, Any]:
    """How far the models agreed and how sure they were, where at least one voted for a side."""
    p = predictions.c
    share, nan = p.steps["share"].astext.cast(Double), float("nan")
    voted = and_(
        p.bundle_hash == window.bundle_hash,
        p.run == "live",
        p.decided_at >= _moment(window.since_ms),
        p.decided_at <= _moment(window.now_ms),
        share > 0.0,
    )
    sure = func.avg(p.confidence).filter(p.confidence != nan)
    row = connection.execute(
        select(func.count().label("rows"), func.avg(share).label("share"), sure.label("sure")).where(voted)
    ).one()
    return {"predictions": row.rows, "consensus": row.share, "confidence": row.sure}


def _trades(connection: Connection, window: Window) -> dict[str, Any]:
    """Closed trades that were said, each decided in the window."""
    t = paper_trades.c
    query = select(t.settled_ms, t.net, t.size, t.side, t.barrier).where(
        t.bundle_hash == window.bundle_hash,
        t.bar_ms >= window.since_ms,
        t.settled_ms <= window.now_ms - window.timeframe.ms,
        t.size > 0,
    )
    rows = connection.execute(query.order_by(t.settled_ms, t.symbol, t.bar_ms)).all()
    closed = [row for row in rows if row.net is not None]
    found: dict[str, Any] = {"trades": len(closed), "unresolved": len(rows) - len(closed)}
    if not closed:
        return found
    booked = [Booked(row.settled_ms + window.timeframe.ms - 1, row.size * row.net) for row in closed]
    return found | {
        "profit": sum(one.result for one in booked),
        "drawdown": drawdown(booked),
        "daily_drawdown": daily_drawdown(booked),
        "stop_share": sum(row.barrier == Barrier.STOP for row in closed) / len(closed),
        "buy_share": sum(row.side == Side.LONG for row in closed) / len(closed),
    }


def _fired(connection: Connection, window: Window) -> tuple[str, ...]:
    c = trigger_checks.c
    query = select(c.name).where(
        c.model_name == window.model_name,
        c.bundle_hash == window.bundle_hash,
        c.name != RAMP_CHECK,
        c.verdict == "fired",
        c.created_at >= _moment(window.since_ms),
        c.created_at <= _moment(window.now_ms),
    )
    return tuple(connection.scalars(query.distinct().order_by(c.name)))


def _beating(connection: Connection, window: Window) -> bool | None:
    """Whether every worker that beat since the clock began still does; None where none ever did."""
    h = heartbeats.c
    of_workers = or_(h.component == "worker", h.component.like("worker % of %"))
    beats = connection.scalars(select(h.at).where(of_workers, h.at >= _moment(window.since_ms))).all()
    if not beats:
        return None
    return min(_ms(at) for at in beats) >= window.now_ms - _longest_ms(window)


def _stops(connection: Connection, window: Window) -> list[int]:
    c = worker_stops.c
    query = select(c.created_at).where(c.model_name == window.model_name, c.created_at >= _moment(window.since_ms))
    return [_ms(at) for at in connection.scalars(query.order_by(c.created_at))]


def _longest_ms(window: Window) -> int:
    """A bar is written up to one bar after the one before; beyond ``max_silence_bars`` more the worker is gone."""
    return (window.max_silence_bars + 1) * window.timeframe.ms


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
