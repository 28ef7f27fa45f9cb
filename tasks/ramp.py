"""How much capital may the champion use now: who looks, and where is it written?

One check at a time reads the stored evidence, asks the state machine (``serving.ramp``) and writes its verdict with all
numbers, and the new stage where there is one, in one transaction: killed anywhere, the stage before is the truth.
"""

from collections.abc import Mapping
from dataclasses import asdict
from time import time_ns
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import Connection, insert

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from infra.settings_ramp import RampSettings
from infra.tables import trigger_checks
from registry.deployments import Deployment, current_champion
from serving.ramp import HOUR_MS, Clock, Move, Stage, next_stage, position_cap, size_share, stage_hours
from serving.ramp_gates import Evidence
from serving.stages import append_stage, current_stage, last_stage, stage_history
from tasks.plan import timeframe_of
from tasks.ramp_evidence import RAMP_CHECK, Window, read_evidence

__all__ = ["check_ramp", "evaluate_ramp", "show_ramp"]

WHO = "automatic"


@task(cache_policy=NO_CACHE)
def check_ramp(home: str) -> dict[str, object]:
    """Judge the stage of a home's champion now, and change it where that is due."""
    with open_app(home) as app:
        return evaluate_ramp(app, now_ms=time_ns() // 1_000_000)


def evaluate_ramp(app: App, *, now_ms: int) -> dict[str, object]:
    """The same for an open home at a given time; raises ``LockHeldError`` while another check runs."""
    model_name = app.settings.registry.model_name
    with exclusive(app.engine, f"ramp of {model_name}"):
        champion = current_champion(app.engine, model_name)
        if champion is None:
            return {"verdict": "none", "reason": "There is no champion.", "stage": Stage.OBSERVE.value, "gates": []}
        with (
            app.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
            connection.begin(),
        ):
            row = last_stage(connection, model_name)
            clock = None if row is None else row.clock
            evidence = None if clock is None else _evidence(app, connection, champion, clock, now_ms)
        move = _first(champion, now_ms) if clock is None else _next(clock, evidence, now_ms, app.settings.ramp)
        with app.engine.begin() as connection:
            _write(connection, champion, clock, move, evidence)
    return _result(move, clock, champion, app.settings.ramp)


def show_ramp(app: App) -> dict[str, object]:
    """The stage now, what it allows, and how it came about, newest first; changes nothing."""
    model_name = app.settings.registry.model_name
    stage = current_stage(app.engine, model_name)
    history = [
        {
            "stage": row.clock.stage.value,
            "bundle_hash": row.clock.bundle_hash,
            "since_ms": row.clock.since_ms,
            "reason": row.reason,
            "who": row.who,
            "at": row.created_at.isoformat(),
        }
        for row in reversed(stage_history(app.engine, model_name))
    ]
    return {"model_name": model_name, **_allowed(stage, app.settings.ramp), "history": history}


def _evidence(app: App, connection: Connection, champion: Deployment, clock: Clock, now_ms: int) -> Evidence:
    """Since the clock began; at full capital of the newest hours only."""
    since_ms = clock.since_ms
    if clock.stage is Stage.CAPITAL_FULL:
        since_ms = max(since_ms, now_ms - round(stage_hours(clock.stage, app.settings.ramp) * HOUR_MS))
    return read_evidence(
        connection,
        Window(
            model_name=champion.model_name,
            bundle_hash=champion.bundle_hash,
            deployment=champion.id,
            since_ms=since_ms,
            now_ms=now_ms,
            timeframe=timeframe_of(app.settings),
            max_silence_bars=app.settings.ramp.max_silence_bars,
        ),
    )


def _first(champion: Deployment, now_ms: int) -> Move:
    clock = Clock(bundle_hash=champion.bundle_hash, deployment=champion.id, stage=Stage.OBSERVE, since_ms=now_ms)
    return Move(verdict="fired", clock=clock, reason="the first check of this model: it begins at observe")


def _next(clock: Clock, evidence: Evidence | None, now_ms: int, settings: RampSettings) -> Move:
    if evidence is None:
        raise AssertionError("a clock without evidence")
    return next_stage(clock, evidence, now_ms=now_ms, settings=settings)


def _write(
    connection: Connection, champion: Deployment, before: Clock | None, move: Move, evidence: Evidence | None
) -> None:
    """The check, and the stage where it changed."""
    inputs = _inputs(move, evidence)
    action = None
    if move.verdict == "fired":
        action = f"{'none' if before is None else before.stage.value} -> {move.clock.stage.value}"
        append_stage(
            connection, model_name=champion.model_name, clock=move.clock, reason=move.reason, inputs=inputs, who=WHO
        )
    connection.execute(
        insert(trigger_checks).values(
            model_name=champion.model_name,
            name=RAMP_CHECK,
            bundle_hash=champion.bundle_hash,
            verdict=move.verdict,
            reason=move.reason,
            inputs=inputs,
            action=action,
        )
    )


def _inputs(move: Move, evidence: Evidence | None) -> Mapping[str, object]:
    known: dict[str, Any] = {} if evidence is None else asdict(evidence) | {"fired": list(evidence.fired)}
    return {"evidence": known, "gates": [asdict(one) for one in move.gates]}


def _result(move: Move, before: Clock | None, champion: Deployment, settings: RampSettings) -> dict[str, object]:
    return {
        "verdict": move.verdict,
        "reason": move.reason,
        "version": champion.version,
        "bundle_hash": champion.bundle_hash,
        "from_stage": None if before is None else before.stage.value,
        **_allowed(move.clock.stage, settings),
        "since_ms": move.clock.since_ms,
        "gates": [asdict(one) for one in move.gates],
    }


def _allowed(stage: Stage, settings: RampSettings) -> dict[str, object]:
    return {
        "stage": stage.value,
        "capital_share": size_share(stage),
        "max_positions": position_cap(stage, settings),
        "hours": stage_hours(stage, settings),
    }
