"""What does one training leave in MLflow?

A finished run: parameters, metrics, tags, the data it was made from, reports, and the model directory under
``model``. Written through a client, so no global or "active" run of MLflow is touched. A run that was killed on the way
is left as KILLED by the next attempt for the same bundle.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.load import LoadedBundle
from registry.model_card import flatten

__all__ = ["log_run"]


def log_run(
    client: Any,
    experiment_id: str,
    bundle: LoadedBundle,
    *,
    params: Mapping[str, object],
    metrics: Mapping[str, object],
    tags: Mapping[str, str],
    artifacts: Sequence[Path],
    model: Callable[[Path], None],
) -> tuple[str, str]:
    """(run id, artifact uri) of a new finished run; ``model`` writes the model directory to the path it is given."""
    _end_leftovers(client, experiment_id, bundle.hash)
    run = client.create_run(experiment_id, tags=dict(tags), run_name=f"{bundle.facts['model_name']}-{bundle.hash[:8]}")
    run_id = str(run.info.run_id)
    try:
        _log_numbers(client, run_id, params, metrics)
        _log_data(client, run_id, bundle.facts)
        for path in artifacts:
            client.log_artifact(run_id, str(path), "reports")
        with tempfile.TemporaryDirectory(prefix="lockstep-model-") as scratch:
            made = Path(scratch) / "model"
            model(made)
            client.log_artifacts(run_id, str(made), "model")
    except BaseException:
        client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id, status="FINISHED")
    return run_id, str(run.info.artifact_uri)


def _log_numbers(client: Any, run_id: str, params: Mapping[str, object], metrics: Mapping[str, object]) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    all_params = [Param(name, str(value)[:6000]) for name, value in flatten(params).items()]
    numbers = {
        name: float(value)
        for name, value in flatten(metrics).items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    all_metrics = [Metric(name, value, now, 0) for name, value in numbers.items()]
    for at in range(0, len(all_params), 100):
        client.log_batch(run_id, params=all_params[at : at + 100])
    for at in range(0, len(all_metrics), 1000):
        client.log_batch(run_id, metrics=all_metrics[at : at + 1000])


def _log_data(client: Any, run_id: str, facts: Mapping[str, object]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    names = ("symbols", "timeframe", "train_start_ms", "train_end_ms", "synthetic")
    described = Dataset(
        name="candles, funding, open interest",
        digest=str(facts["snapshot_id"])[:36],
        source_type="lockstep-lake",
        source=json.dumps({"snapshot_id": facts["snapshot_id"]}),
        profile=json.dumps({name: facts[name] for name in names}),
    )
    client.log_inputs(run_id, datasets=[DatasetInput(described, [InputTag("mlflow.data.context", "training")])])


def _end_leftovers(client: Any, experiment_id: str, bundle_hash: str) -> None:
    query = f"tags.bundle_hash = '{bundle_hash}' and attributes.status = 'RUNNING'"
    for run in client.search_runs([experiment_id], query):
        client.set_terminated(run.info.run_id, status="KILLED")
