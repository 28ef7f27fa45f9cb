"""At which stage of capital is a model, by what is stored?

Reads and writes ``capital_stages``. The last row of a model is the truth for the champion it names; for another one
it means ``paper`` at most, before any check has said so. Without a row the stage is ``observe``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, RowMapping, insert, select

from infra.capital_tables import capital_stages, worker_stops
from registry.deployments import current_champion
from serving.errors import ServingError
from serving.ramp import Clock, Stage, at_most_paper

__all__ = ["StageRow", "append_stage", "current_stage", "last_stage", "record_stop", "stage_history"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One stored change of stage or clock."""

    id: int
    clock: Clock
    reason: str
    who: str
    created_at: datetime


def current_stage(engine: Engine, model_name: str) -> Stage:
    """The stage that holds now for whoever is champion; ``observe`` without a champion or a row.

    Raises ``ServingError`` for a row nobody can read: no capital may be used on a guess.
    """
    champion = current_champion(engine, model_name)
    with engine.connect() as connection:
        last = last_stage(connection, model_name)
    if champion is None or last is None:
        return Stage.OBSERVE
    return last.clock.stage if last.clock.deployment == champion.id else at_most_paper(last.clock.stage)


def last_stage(connection: Connection, model_name: str) -> StageRow | None:
    """The newest row of a model, whichever bundle it names."""
    t = capital_stages
    query = select(t).where(t.c.model_name == model_name).order_by(t.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _read(row)


def stage_history(engine: Engine, model_name: str) -> tuple[StageRow, ...]:
    """Every row of a model, oldest first."""
    t = capital_stages
    with engine.connect() as connection:
        rows = connection.execute(select(t).where(t.c.model_name == model_name).order_by(t.c.id)).mappings()
        return tuple(_read(row) for row in rows)


def append_stage(
    connection: Connection,
    *,
    model_name: str,
    clock: Clock,
    reason: str,
    inputs: Mapping[str, object],
    who: str,
) -> int:
    """Add a row, within the caller's transaction; its id."""
    statement = insert(capital_stages).values(
        model_name=model_name,
        bundle_hash=clock.bundle_hash,
        deployment_id=clock.deployment,
        stage=clock.stage.value,
        since=datetime.fromtimestamp(clock.since_ms / 1000, UTC),
        reason=reason,
        inputs=dict(inputs),
        who=who,
    )
    return int(connection.execute(statement.returning(capital_stages.c.id)).scalar_one())


def record_stop(engine: Engine, *, model_name: str, why: str, who: str) -> None:
    """Say that a worker stops on purpose, so that the silence that follows restarts no clock."""
    with engine.begin() as connection:
        connection.execute(insert(worker_stops).values(model_name=model_name, why=why, who=who))


def _read(row: RowMapping) -> StageRow:
    if row["stage"] not in tuple(Stage):
        raise ServingError(
            f"capital stage {row['stage']!r} in row {row['id']}",
            why="nobody knows how much capital it allows, so it allows none",
            remedy="use the version of Lockstep that wrote it, or append a row that says observe",
        )
    clock = Clock(
        bundle_hash=row["bundle_hash"],
        deployment=row["deployment_id"],
        stage=Stage(row["stage"]),
        since_ms=round(row["since"].timestamp() * 1000),
    )
    return StageRow(id=row["id"], clock=clock, reason=row["reason"], who=row["who"], created_at=row["created_at"])
