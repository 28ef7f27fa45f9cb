"""What does one training leave in MLflow?

A finished run: parameters, metrics, tags, the data it was made from, reports, the model directory under ``model``, and
beneath it one finished run for each fold and each trial. Written through a client, so no global or "active" run of
MLflow is touched. What a killed attempt for the same bundle left running, children included, the next one ends as
KILLED.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from registry.load import LoadedBundle
from registry.model_card import day, flatten
from registry.run_record import ChildRun, RunRecord

__all__ = ["log_run"]

_CHILDREN_AT_A_TIME = 4


def log_run(
    client: Any,
    experiment_id: str,
    bundle: LoadedBundle,
    record: RunRecord,
    *,
    tags: Mapping[str, str],
    model: Callable[[Path], None],
) -> tuple[str, str]:
    """(run id, artifact uri) of a new finished run; ``model`` writes the model directory to the path it is given.

    ``tags`` are the bundle's, which every run of it carries.
    """
    _end_leftovers(client, experiment_id, bundle.hash)
    name = record.name or f"{bundle.facts['model_name']}-{bundle.hash[:8]}"
    own = {**_origin(record), **record.tags, **tags}
    began = int((time.time() - record.seconds) * 1000)
    run = client.create_run(experiment_id, start_time=began, tags=own, run_name=name)
    run_id = str(run.info.run_id)
    try:
        _log_numbers(client, run_id, record)
        _log_data(client, run_id, bundle)
        _log_children(client, experiment_id, run_id, record, bundle.hash)
        for folder, paths in record.artifacts.items():
            for path in paths:
                client.log_artifact(run_id, str(path), folder or None)
        with tempfile.TemporaryDirectory(prefix="lockstep-model-") as scratch:
            made = Path(scratch) / "model"
            model(made)
            client.log_artifacts(run_id, str(made), "model")
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id, status="FINISHED")
    return run_id, str(run.info.artifact_uri)


def _origin(record: RunRecord) -> dict[str, str]:
    """The tags that MLflow's pages show in columns of their own."""
    shown = {"mlflow.user": "lockstep", "mlflow.source.name": "lockstep train", "mlflow.source.type": "LOCAL"}
    if record.description:
        shown["mlflow.note.content"] = record.description[:8000]
    commit = record.tags.get("commit", "").removesuffix("+changes")
    if commit not in ("", "unknown"):
        shown["mlflow.source.git.commit"] = commit
    return shown


def _log_numbers(client: Any, run_id: str, record: RunRecord) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in _numbers(record.metrics)]
    metrics += [
        Metric(name, float(value), now, step)
        for name, values in record.series.items()
        for step, value in values.items()
        if value is not None and math.isfinite(value)
    ]
    params = _params(record.params)
    for at in range(0, max(len(params), 1), 100):
        first = metrics[:900] if at == 0 else []
        client.log_batch(run_id, params=params[at : at + 100], metrics=first)
    for at in range(900, len(metrics), 900):
        client.log_batch(run_id, metrics=metrics[at : at + 900])


def _params(params: Mapping[str, object]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, str(value)[:6000]) for name, value in flatten(params).items()]


def _numbers(metrics: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    for name, value in flatten(metrics).items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def _log_data(client: Any, run_id: str, bundle: LoadedBundle) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    facts = bundle.facts
    symbols = facts["symbols"] if isinstance(facts["symbols"], list) else [facts["symbols"]]
    period = f"{day(facts['train_start_ms'])} to {day(facts['train_end_ms'])}"
    shown = {
        "num_rows": facts.get("training_rows"),
        "symbols": len(symbols),
        "names": symbols,
        "period": period,
        **{name: facts[name] for name in ("timeframe", "train_start_ms", "train_end_ms", "synthetic")},
    }
    columns = [{"name": name, "type": "double", "required": True} for name in bundle.contract.names]
    described = Dataset(
        name=f"lake {facts['timeframe']}, {len(symbols)} symbols, {period}",
        digest=str(facts["snapshot_id"])[:36],
        source_type="lockstep-lake",
        source=json.dumps({"snapshot_id": facts["snapshot_id"]}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(shown),
    )
    client.log_inputs(run_id, datasets=[DatasetInput(described, [InputTag("mlflow.data.context", "training")])])


def _log_children(client: Any, experiment_id: str, run_id: str, record: RunRecord, bundle_hash: str) -> None:
    """A few at a time: each is three short questions to the database or server, which waits more than it works."""
    if not record.children:
        return
    with ThreadPoolExecutor(_CHILDREN_AT_A_TIME) as pool:
        list(pool.map(lambda child: _log_child(client, experiment_id, run_id, child, bundle_hash), record.children))


def _log_child(client: Any, experiment_id: str, parent_id: str, child: ChildRun, bundle_hash: str) -> None:
    from mlflow.entities import Metric

    tags = {
        "mlflow.parentRunId": parent_id,
        "mlflow.user": "lockstep",
        "mlflow.source.name": "lockstep train",
        "mlflow.source.type": "LOCAL",
        "kind": child.kind,
        "bundle_hash": bundle_hash,
    }
    run_id = str(client.create_run(experiment_id, tags=tags, run_name=child.name).info.run_id)
    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in _numbers(child.metrics)]
    client.log_batch(run_id, metrics=metrics[:900], params=_params(child.params)[:100])
    client.set_terminated(run_id, status=child.state)


def _end_leftovers(client: Any, experiment_id: str, bundle_hash: str) -> None:
    query = f"tags.bundle_hash = '{bundle_hash}' and attributes.status = 'RUNNING'"
    while found := client.search_runs([experiment_id], query):
        for run in found:
            client.set_terminated(run.info.run_id, status="KILLED")
