"""How is Lockstep, right now?

A plain, JSON-ready dict for the command line, the API and the dashboard. Reads only: nothing is started or written.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select

from infra.freshness import Freshness, is_fresh, market_freshness, max_age_ms, universe_freshness
from infra.lake import Lake
from infra.sources.protocol import Kind
from infra.tables import bundles, drift_runs, heartbeats, outcomes, paper_trades, parity_runs, predictions, signals
from market.symbols import is_synthetic
from market.timeframe import Timeframe
from registry.challenger import last_challenger
from registry.look import last_look
from registry.promotion import current_champion
from serving.arming import armed_cause
from serving.halt import is_halted
from serving.states import OK, State, gravest, state_of
from serving.venue_rule import VenueRule, venue_cause

__all__ = ["named_challenger", "status"]


def status(
    engine: Engine,
    lake: Lake,
    *,
    model_name: str,
    timeframe: Timeframe,
    symbols: Sequence[str],
    now_ms: int,
    max_age_bars: int = 2,
    universe_max_age_hours: int | None = None,
    venue: VenueRule | None = None,
    arming_needed: bool = False,
) -> dict[str, object]:
    """Champion, challenger, last bar, state and reason, freshness, open paper trades, halt switch, last verdicts.

    ``registry`` is what the last look at MLflow found, with its age; None before the first.

    ``state`` is that of the last served bar, FLAT ``stale_data`` when it, or the newest bar of every symbol, closed
    more than ``max_age_bars`` bars ago, FLAT ``no_champion`` when nothing serves, FLAT when the ``venue``'s rule is
    broken or, in live mode (``arming_needed``), nobody armed the champion, HALT while the switch is on.
    ``universe_max_age_hours`` is None where no universe is kept.
    """
    champion = current_champion(engine, model_name)
    limit_ms = max_age_ms(Kind.CANDLES, timeframe=timeframe, max_age_bars=max_age_bars)
    fresh = list(market_freshness(lake, symbols, timeframe, now_ms=now_ms, max_age_bars=max_age_bars))
    asked = venue_cause(engine, venue, now_ms=now_ms, max_age_ms=limit_ms)
    serves = None if champion is None else champion.bundle_hash
    armed = armed_cause(engine, model_name=model_name, bundle_hash=serves, now_ms=now_ms) if arming_needed else OK
    look = last_look(engine, model_name)
    named = last_challenger(engine, model_name)
    with engine.connect() as connection:
        if universe_max_age_hours is not None:
            fresh.append(universe_freshness(connection, now_ms=now_ms, max_age_hours=universe_max_age_hours))
        last = _last_bar(connection, model_name)
        halted = is_halted(connection)
        closed_ms = None if last is None else timeframe.close_time(last["bar_ms"] // timeframe.ms)
        silent = all(len(one.stale) == len(symbols) for one in fresh if one.source == Kind.CANDLES)
        stale = silent or not is_fresh(closed_ms, now_ms=now_ms, limit_ms=limit_ms)
        reason = gravest(
            (
                "halted" if halted else OK,
                OK if champion is not None else "no_champion",
                asked,
                armed,
                "stale_data" if stale else OK,
                OK if last is None or (last["reason"] == "halted" and not halted) else last["reason"],
            )
        )
        facts = None if champion is None else _bundle(connection, champion.bundle_hash)
        known = select(predictions.c.bundle_hash).where(predictions.c.model_name == model_name)
        ours = paper_trades.c.bundle_hash.in_(known.distinct())
        return {
            "model_name": model_name,
            "champion": None
            if champion is None
            else {
                "version": champion.version,
                "bundle_hash": champion.bundle_hash,
                "since": champion.created_at.isoformat(),
                "train_end_ms": None if facts is None else facts["train_end_ms"],
                "synthetic": None if facts is None else facts["synthetic"],
            },
            "challenger": named_challenger(
                connection, model_name, None if champion is None else champion.bundle_hash, named
            ),
            "state": state_of(reason).name,
            "reason": reason,
            "halted": halted,
            "last_bar_ms": None if last is None else last["bar_ms"],
            "last_bar_age_s": None if closed_ms is None else (now_ms - closed_ms) / 1000.0,
            "last_bar_reasons": {} if last is None else last["reasons"],
            "lake_last_bar_ms": _watermark(lake, symbols, timeframe),
            "freshness": {one.source: _age(one) for one in fresh},
            "symbols": list(symbols),
            "synthetic": any(is_synthetic(symbol) for symbol in symbols),
            "open_paper_trades": _count(connection, paper_trades, ours & paper_trades.c.exit_ms.is_(None)),
            "counts": {
                "signals": _count(connection, signals, signals.c.model_name == model_name),
                "predictions": _count(connection, predictions, predictions.c.model_name == model_name),
                "paper_trades": _count(connection, paper_trades, ours),
                "outcomes": _count(connection, outcomes, None),
            },
            "registry": look,
            "drift": _last_drift(connection, model_name),
            "parity": _last_parity(connection, model_name),
            "heartbeats": _beats(connection),
        }


def _last_bar(connection: Connection, model_name: str) -> dict[str, Any] | None:
    newest = select(func.max(signals.c.bar_ms)).where(signals.c.model_name == model_name).scalar_subquery()
    rows = connection.execute(
        select(signals.c.bar_ms, signals.c.reason, func.count().label("n"))
        .where(signals.c.model_name == model_name, signals.c.bar_ms == newest)
        .group_by(signals.c.bar_ms, signals.c.reason)
        .order_by(signals.c.reason)
    ).all()
    if not rows:
        return None
    reasons = {row.reason: row.n for row in rows}
    # One symbol's hole is no trouble of the whole: the whole is as good as its best symbol.
    best = min(reasons, key=lambda reason: (state_of(reason), reason))
    return {"bar_ms": rows[0].bar_ms, "reason": best if state_of(best) > State.FULL else OK, "reasons": reasons}


def _bundle(connection: Connection, bundle_hash: str) -> dict[str, Any] | None:
    row = connection.execute(select(bundles).where(bundles.c.bundle_hash == bundle_hash)).first()
    return None if row is None else {"train_end_ms": row.train_end_ms, "synthetic": row.synthetic}


def named_challenger(
    connection: Connection, model_name: str, champion_hash: str | None, named: int | None
) -> dict[str, object] | None:
    """The bundle whom MLflow's alias last named; where nobody looked yet, the newest one after the champion."""
    version = 0
    if champion_hash is not None:
        version = connection.scalar(select(bundles.c.version).where(bundles.c.bundle_hash == champion_hash)) or 0
    theirs = bundles.c.version > version if named is None else bundles.c.version == named
    row = connection.execute(
        select(bundles)
        .where(bundles.c.model_name == model_name, theirs)
        .order_by(bundles.c.version.desc(), bundles.c.created_at.desc())
        .limit(1)
    ).first()
    if row is None or row.bundle_hash == champion_hash:
        return None
    return {
        "version": row.version,
        "bundle_hash": row.bundle_hash,
        "since": row.created_at.isoformat(),
        "synthetic": row.synthetic,
    }


def _last_drift(connection: Connection, model_name: str) -> dict[str, object] | None:
    row = connection.execute(
        select(drift_runs).where(drift_runs.c.model_name == model_name).order_by(drift_runs.c.id.desc()).limit(1)
    ).first()
    if row is None:
        return None
    return {"verdict": row.verdict, "rows": row.rows, "last_ms": row.last_ms, "at": row.created_at.isoformat()}


def _last_parity(connection: Connection, model_name: str) -> dict[str, object] | None:
    row = connection.execute(
        select(parity_runs).where(parity_runs.c.model_name == model_name).order_by(parity_runs.c.id.desc()).limit(1)
    ).first()
    if row is None:
        return None
    return {
        "rows": row.rows,
        "identical": row.identical,
        "first_mismatch": row.first_mismatch,
        "last_ms": row.last_ms,
        "at": row.created_at.isoformat(),
    }


def _age(one: Freshness) -> dict[str, object]:
    return {
        "fresh": one.fresh,
        "watermark_ms": one.watermark_ms,
        "age_s": None if one.age_ms is None else one.age_ms / 1000.0,
        "max_age_s": one.max_age_ms / 1000.0,
        "oldest_symbol": one.symbol,
        "stale": list(one.stale),
    }


def _beats(connection: Connection) -> dict[str, object]:
    rows = connection.execute(select(heartbeats).order_by(heartbeats.c.component))
    return {row.component: {"at": row.at.isoformat(), "detail": row.detail} for row in rows}


def _count(connection: Connection, table: Table, where: Any) -> int:
    query = select(func.count()).select_from(table)
    return int(connection.scalar(query if where is None else query.where(where)) or 0)


def _watermark(lake: Lake, symbols: Sequence[str], timeframe: Timeframe) -> int | None:
    marks = [mark for mark in (lake.watermark(symbol, timeframe) for symbol in symbols) if mark is not None]
    return max(marks, default=None)
