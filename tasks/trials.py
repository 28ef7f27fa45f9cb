"""What was ever tried on which data?

The trial ledger in PostgreSQL: one row a configuration, whoever tried it, never deleted. Deflated Sharpe asks how many
were looked at on a data snapshot; a failed trial showed nothing, so it is kept and not counted.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import array, insert

from infra.tables import snapshots, trials
from learning.tuning_study import Trial
from tasks.training_evidence import json_ready

__all__ = ["count_trials", "enter_trial", "enter_tuning_trial", "ledger", "tuning_name", "tuning_trials"]

_FAILED = "fail"


def enter_trial(
    engine: Engine,
    *,
    snapshot_id: str,
    run_key: str,
    name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, object],
    state: str = "complete",
) -> None:
    """Enter a trial once; the same name of the same run changes nothing."""
    row = {
        "snapshot_id": snapshot_id,
        "run_key": run_key,
        "name": name,
        "params": dict(params),
        "metrics": dict(metrics),
        "state": state,
    }
    with engine.begin() as connection:
        connection.execute(insert(trials).values(**row).on_conflict_do_nothing())


def tuning_name(window: int, trial: Trial) -> str:
    """How a tuning trial is called in the ledger; ``window`` counts from 0."""
    return f"tune window {window + 1} {trial.kind} {trial.number}"


def enter_tuning_trial(engine: Engine, *, snapshot_id: str, run_key: str, window: int, trial: Trial) -> None:
    """Enter one tuning trial; a trial without a loss has none."""
    loss = trial.loss if math.isfinite(trial.loss) else None
    enter_trial(
        engine,
        snapshot_id=snapshot_id,
        run_key=run_key,
        name=tuning_name(window, trial),
        params=trial.params,
        metrics=json_ready({"inner_log_loss": loss, "split_log_losses": list(trial.losses)}),
        state=trial.state,
    )


def count_trials(engine: Engine, snapshot_id: str) -> int:
    """How many configurations were looked at on this data, by whatever training.

    A snapshot of another length or choice of markets that ends at the same bar is the same data: its newest windows are
    judged by the same bars, and trying twenty lengths of history is twenty trials.
    """
    with engine.connect() as connection:
        mine = connection.execute(select(snapshots).where(snapshots.c.id == snapshot_id)).one_or_none()
        same = trials.c.snapshot_id == snapshot_id
        if mine is not None:
            other = snapshots.c
            ends_there = (other.timeframe == mine.timeframe) & (other.last_ms == mine.last_ms)
            shared = (other.synthetic == mine.synthetic) & other.symbols.has_any(array(mine.symbols))
            same |= trials.c.snapshot_id.in_(select(other.id).where(ends_there, shared))
        query = select(func.count()).select_from(trials).where(same, trials.c.state != _FAILED)
        return int(connection.execute(query).scalar_one())


def tuning_trials(engine: Engine, run_key: str) -> Sequence[Mapping[str, Any]]:
    """Name, params, metrics and state of every tuning trial of one training, in the order they were entered."""
    query = select(trials.c.name, trials.c.params, trials.c.metrics, trials.c.state)
    query = query.where(trials.c.run_key == run_key, trials.c.name.startswith("tune ")).order_by(trials.c.id)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def ledger(engine: Engine) -> list[dict[str, Any]]:
    """One entry a data snapshot, oldest first: what it is, how many trials of each state, and every trial."""
    with engine.connect() as connection:
        known = connection.execute(select(snapshots).order_by(snapshots.c.created_at)).mappings().all()
        rows = connection.execute(select(trials).order_by(trials.c.id)).mappings().all()
    found = []
    for one in known:
        mine = [row for row in rows if row["snapshot_id"] == one["id"]]
        states = [row["state"] for row in mine]
        found.append(
            {
                "snapshot_id": one["id"],
                "symbols": one["symbols"],
                "first_ms": one["first_ms"],
                "last_ms": one["last_ms"],
                "synthetic": one["synthetic"],
                "counted": sum(state != _FAILED for state in states),
                "states": {state: states.count(state) for state in sorted(set(states))},
                "trials": [
                    {name: row[name] for name in ("run_key", "name", "state", "params", "metrics")} for row in mine
                ],
            }
        )
    return found
