"""What MLflow serves is what the worker serves: ``mlflow models serve`` as a process of its own, asked over HTTP."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.environment import mlflow_environment
from infra.processes import child_process, free_port, wait_until_healthy
from registry.bundle import load_bundle
from registry.mlflow_store import ModelStore
from tests.registry.kinds import SERVER, Tracking
from tests.registry.made_bundles import Sealed

pytestmark = [pytest.mark.integration, SERVER]


@pytest.fixture(scope="module")
def scoring(tracking: Tracking, shelf: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The champion of the shelf as MLflow's own server serves it."""
    shelf.set_alias("champion", 1)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    run_dir = tmp_path_factory.mktemp("scoring")
    arguments = ["mlflow", "models", "serve", "--model-uri", f"models:/{shelf.model_name}@champion"]
    arguments += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # as in an activated environment
    variables = mlflow_environment() | {"MLFLOW_TRACKING_URI": tracking.uri, "PATH": path}
    with child_process("scoring", arguments, url=url, environment=variables, run_dir=run_dir) as process:
        wait_until_healthy(f"{url}/ping", process=process, name="scoring", log=run_dir / "scoring.log")
        yield f"{url}/invocations"


def ask(url: str, body: object) -> object:
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_the_rest_answer_is_the_workers_prediction_digit_for_digit(scoring: str, sealed: Sealed) -> None:
    """Every float64 of the JSON reads back as the very number, also for rows with missing values."""
    missing = np.isnan(sealed.X).any(axis=1)
    X = np.concatenate([sealed.X[~missing][:20], sealed.X[missing][:20]]) if missing.any() else sealed.X[:40]
    assert len(X) >= 20
    data = [[None if np.isnan(value) else float(value) for value in row] for row in X]
    answer = ask(scoring, {"dataframe_split": {"columns": list(sealed.parts.contract.names), "data": data}})
    expected = load_bundle(sealed.directory, expected_hash=sealed.hash).predict(X)
    names = ("p_hold", "p_buy", "p_sell")
    assert [[row[name] for name in names] for row in answer["predictions"]] == expected.tolist()


def test_the_registered_input_example_can_be_sent_as_it_is(
    scoring: str, shelf: ModelStore, sealed: Sealed, tmp_path: Path
) -> None:
    """Golden rows: what they predict was proven when the bundle was sealed."""
    from mlflow.artifacts import download_artifacts

    source = shelf._client.get_model_version_download_uri(shelf.model_name, "1")
    found = download_artifacts(
        artifact_uri=f"{source}/serving_input_example.json", dst_path=str(tmp_path), tracking_uri=shelf.tracking_uri
    )
    answer = ask(scoring, json.loads(Path(found).read_text()))
    golden = sealed.parts.golden
    expected = load_bundle(sealed.directory, expected_hash=sealed.hash).predict(golden.features[:2])
    assert [list(row.values()) for row in answer["predictions"]] == expected.tolist()


def test_a_request_without_a_feature_is_refused(scoring: str, sealed: Sealed) -> None:
    """The signature is enforced: nothing is filled in."""
    names = list(sealed.parts.contract.names)[1:]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(scoring, {"dataframe_split": {"columns": names, "data": [[0.0] * len(names)]}})
