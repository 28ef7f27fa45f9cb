"""Real MLflow on a real PostgreSQL."""

import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from registry.bundle import load_bundle
from registry.errors import BundleError, StoreError
from registry.mlflow_store import ForeignVersion, ModelStore
from registry.run_record import RunRecord
from tests.forked import ForkServer
from tests.registry.made_bundles import Sealed

pytestmark = pytest.mark.integration


def register(store: ModelStore, sealed: Sealed, **changes: object) -> int:
    given: dict[str, object] = {
        "params": {"training": {"folds": 5, "seed": 3}},
        "metrics": {"log_loss": 0.98, "lightgbm": {"log_loss": 1.01}, "sharpe": float("nan"), "profit_factor": None},
        "tags": {"commit": "abc"},
    }
    return store.log_and_register(sealed.directory, sealed.hash, RunRecord(**(given | changes)))


@pytest.fixture
def pyfunc(store: ModelStore) -> Iterator[object]:
    """The plain MLflow client of somebody else, pointed at the same store."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(store.tracking_uri)
        mlflow.set_registry_uri(store.tracking_uri)
        yield mlflow.pyfunc
        mlflow.set_registry_uri(None)
        mlflow.set_tracking_uri(before)


def model_directory(store: ModelStore, version: int) -> Path:
    source = store._client.get_model_version_download_uri(store.model_name, str(version))
    return Path(unquote(urlsplit(source).path))


def test_a_bundle_is_registered_once_however_often_it_is_tried(store: ModelStore, sealed: Sealed) -> None:
    """The same bundle is the same version; another bundle is the next one."""
    assert store.find_version_by_hash(sealed.hash) is None
    assert register(store, sealed) == 1
    assert register(store, sealed) == 1
    assert store.find_version_by_hash(sealed.hash) == 1
    assert [one.version for one in store.versions()] == [1]


def test_a_version_tells_what_it_is(store: ModelStore, sealed: Sealed, tmp_path: Path) -> None:
    """Tags, description, parameters, finite metrics, the data and reports can be read by a person."""
    report = tmp_path / "drift.html"
    report.write_text("<p>hello</p>")
    version = register(store, sealed, artifacts={"reports": [report]})
    found = store.version(version)
    assert (found.bundle_hash, found.synthetic) == (sealed.hash, True)
    assert found.contract == sealed.parts.contract.fingerprint
    client = store._client
    described = client.get_model_version(store.model_name, str(version))
    assert "synthetic market" in described.description
    assert "| lightgbm | 1.0100 |" in described.description
    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"training.folds": "5", "training.seed": "3"}
    assert run.data.metrics == {"log_loss": 0.98, "lightgbm.log_loss": 1.01}
    assert run.data.tags["commit"] == "abc"
    assert run.inputs.dataset_inputs[0].dataset.digest == ("s" * 40)[:36]
    assert [one.path for one in client.list_artifacts(found.run_id, "reports")] == ["reports/drift.html"]


def test_nothing_is_printed_and_nothing_appears_in_the_working_directory(
    store: ModelStore,
    sealed: Sealed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No mlruns folder, no sqlite file, no chatter."""
    monkeypatch.chdir(tmp_path)
    register(store, sealed)
    store.download(1, tmp_path / "got")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["artifacts", "got"]
    assert capfd.readouterr() == ("", "")


def test_a_download_is_the_bundle_that_was_registered(store: ModelStore, sealed: Sealed, tmp_path: Path) -> None:
    """Byte for byte, and it loads."""
    version = register(store, sealed)
    assert store.download(version, tmp_path / "got") == sealed.hash
    assert load_bundle(tmp_path / "got", expected_hash=sealed.hash).hash == sealed.hash


def test_a_download_of_touched_artifacts_is_refused(store: ModelStore, sealed: Sealed, tmp_path: Path) -> None:
    """MLflow itself would hand them over."""
    version = register(store, sealed)
    policy = model_directory(store, version) / "artifacts" / "bundle" / "policy.json"
    policy.write_bytes(policy.read_bytes().replace(b"0.4", b"0.1", 1))
    with pytest.raises(BundleError, match=r"policy\.json has other content"):
        store.download(version, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_aliases_move_and_go(store: ModelStore, sealed: Sealed, others: tuple[Sealed, ...]) -> None:
    """An alias is one pointer."""
    assert store.get_alias("champion") is None
    first, second = register(store, sealed), register(store, others[0])
    store.set_alias("champion", first)
    store.set_alias("champion", second)
    assert store.get_alias("champion") == second
    assert [one.aliases for one in store.versions()] == [(), ("champion",)]
    store.remove_alias("champion")
    store.remove_alias("champion")
    assert store.get_alias("champion") is None


def test_pyfunc_gives_the_same_bits_as_the_bundle(store: ModelStore, sealed: Sealed, pyfunc: object) -> None:
    """What the MLflow server would serve is what the worker serves."""
    import pandas as pd

    store.set_alias("champion", register(store, sealed))
    model = pyfunc.load_model(f"models:/{store.model_name}@champion")
    X = sealed.X[:200]
    frame = pd.DataFrame(X.astype(np.float64), columns=list(sealed.parts.contract.names))
    out = model.predict(frame[frame.columns[::-1]])
    assert list(out.columns) == ["p_hold", "p_buy", "p_sell"]
    expected = load_bundle(sealed.directory, expected_hash=sealed.hash).predict(X)
    assert np.array_equal(out.to_numpy(), expected)


def test_pyfunc_refuses_touched_artifacts(store: ModelStore, sealed: Sealed, pyfunc: object) -> None:
    """One flipped byte in the registered files, and MLflow cannot load the model."""
    version = register(store, sealed)
    path = model_directory(store, version) / "artifacts" / "bundle" / "model_xgboost.ubj"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"model_xgboost\.ubj has other content"):
        pyfunc.load_model(f"models:/{store.model_name}/{version}")


def test_a_bundle_that_does_not_load_is_not_registered(store: ModelStore, copied: Path, sealed: Sealed) -> None:
    """No run, no version."""
    (copied / "facts.json").unlink()
    with pytest.raises(BundleError, match=r"facts\.json is missing"):
        store.log_and_register(copied, sealed.hash, RunRecord())
    assert store.versions() == ()


def test_a_registry_that_is_down_says_so(tmp_path: Path) -> None:
    """A StoreError with what to do, not a trace from three libraries."""
    gone = ModelStore(
        f"postgresql+psycopg://nobody@/mlflow?host={tmp_path}", artifact_root=tmp_path, model_name="model"
    )
    with pytest.raises(StoreError, match="MLflow failed at the list of versions"):
        gone.versions()


def test_a_version_that_is_no_bundle_is_listed_as_such_and_refused(
    store: ModelStore, sealed: Sealed, tmp_path: Path
) -> None:
    """Something else registered under the name hides no bundle and is not taken for one."""
    register(store, sealed)
    store._client.create_model_version(store.model_name, source="file:///tmp/x")
    store.set_alias("challenger", 2)
    bundle, foreign = store.versions()
    assert (bundle.version, bundle.bundle_hash) == (1, sealed.hash)
    assert isinstance(foreign, ForeignVersion)
    assert (foreign.version, foreign.aliases) == (2, ("challenger",))
    for ask in (lambda: store.version(2), lambda: store.download(2, tmp_path / "got")):
        with pytest.raises(StoreError, match=r"version 2 of 'model-\d+' is not a Lockstep bundle"):
            ask()


def test_a_version_that_does_not_exist_is_named_beside_those_that_do(
    store: ModelStore, sealed: Sealed, tmp_path: Path
) -> None:
    """The registry is not blamed for a number that was mistyped, whether nothing is there or something is."""
    with pytest.raises(StoreError, match=r"version 99 .* does not exist: nothing is registered .* train first"):
        store.version(99)
    register(store, sealed)
    for at in range(2, 13):
        store._client.create_model_version(store.model_name, source="file:///tmp/x")
        assert store.has_version(at)
    store._client.delete_model_version(store.model_name, "12")
    for ask in (lambda: store.version(12), lambda: store.download(12, tmp_path / "got")):
        with pytest.raises(StoreError, match=r"version 12 .* does not exist: its versions are \.\.\. 2, 3, .*, 11\. "):
            ask()
    assert not store.has_version(12)


_KILLED = """
import os, signal, sys
from registry.mlflow_store import ModelStore
from registry.run_record import ChildRun, RunRecord
store = ModelStore(sys.argv[1], artifact_root=sys.argv[2], model_name=sys.argv[3])
client = store._client
method = sys.argv[6]
plain = getattr(client, method)
def killed(*arguments, **named):
    if sys.argv[7] == "after":
        plain(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(client, method, killed)
folds = [ChildRun(name=f"fold {n}", kind="fold") for n in range(3)]
store.log_and_register(sys.argv[4], sys.argv[5], RunRecord(params={"a": 1}, children=folds))
"""


@pytest.mark.parametrize(
    ("method", "when"),
    [
        ("create_run", "after"),
        ("log_artifacts", "after"),
        ("create_model_version", "before"),
        ("create_model_version", "after"),
    ],
)
def test_killed_while_registering_a_second_try_gives_one_version(
    store: ModelStore, sealed: Sealed, forks: ForkServer, method: str, when: str
) -> None:
    """SIGKILL at each step: afterwards there is one version of the bundle, and no run is left running."""
    arguments = [store.tracking_uri, str(store.artifact_root), store.model_name, str(sealed.directory), sealed.hash]
    done = forks.run(_KILLED, *arguments, method, when)
    assert done.code == -signal.SIGKILL, done.err
    version = register(store, sealed)
    assert [one.bundle_hash for one in store.versions()] == [sealed.hash]
    assert version == 1
    experiment = store._client.get_experiment_by_name(store.model_name)
    statuses = {run.info.status for run in store._client.search_runs([experiment.experiment_id])}
    assert "RUNNING" not in statuses
