"""Real MLflow on a real PostgreSQL."""

import re
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from registry.bundle import load_bundle
from registry.cards import DecisionCard
from registry.decision_notes import NotedDecision, note_decision
from registry.errors import BundleError, StoreError
from registry.mlflow_store import ForeignVersion, ModelStore
from registry.run_record import ChildRun, RunRecord
from tests.forked import ForkServer
from tests.registry.kinds import BOTH, Tracking
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


def test_a_bundle_is_registered_once_however_often_it_is_tried(store: ModelStore, sealed: Sealed) -> None:
    """The same bundle is the same version; another bundle is the next one."""
    assert store.find_version_by_hash(sealed.hash) is None
    assert register(store, sealed) == 1
    assert register(store, sealed) == 1
    assert store.find_version_by_hash(sealed.hash) == 1
    assert [one.version for one in store.versions()] == [1]


@BOTH
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
    assert re.search(r"\| lightgbm\s+\| 1\.0100\s+\|", described.description)
    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"training.folds": "5", "training.seed": "3"}
    assert run.data.metrics == {"log_loss": 0.98, "lightgbm.log_loss": 1.01}
    assert run.data.tags["commit"] == "abc"
    assert run.inputs.dataset_inputs[0].dataset.digest == ("s" * 40)[:36]
    assert [one.path for one in client.list_artifacts(found.run_id, "reports")] == ["reports/drift.html"]


def test_folds_and_trials_are_runs_beneath_the_training(store: ModelStore, sealed: Sealed) -> None:
    """Found through their parent, with numbers, parameters and state; a second registration adds none."""
    children = [ChildRun(name=f"fold {n}", kind="fold", metrics={"log_loss": n, "skill": None}) for n in (1, 2)]
    children += [ChildRun(name="trial 1", kind="trial", params={"leaves": 7}, state="FAILED")]
    series = {"fold/log_loss": {1: 0.9, 2: None, 3: 0.8}}
    given = {"children": children, "series": series, "name": "a name", "description": "**told**", "seconds": 60.0}
    assert [register(store, sealed, **given), register(store, sealed, **given)] == [1, 1]
    client, parent = store._client, store.version(1).run_id
    experiment = client.get_experiment_by_name(store.model_name)
    beneath = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    found = {run.info.run_name: run for run in beneath}
    assert sorted(found) == ["fold 1", "fold 2", "trial 1"]
    assert len(client.search_runs([experiment.experiment_id])) == 4
    assert found["fold 2"].data.metrics == {"log_loss": 2.0}
    assert (found["trial 1"].data.params, found["trial 1"].info.status) == ({"leaves": "7"}, "FAILED")
    run = client.get_run(parent)
    assert (run.info.run_name, run.data.tags["mlflow.note.content"]) == ("a name", "**told**")
    assert run.info.end_time - run.info.start_time >= 60_000
    assert [(one.step, one.value) for one in client.get_metric_history(parent, "fold/log_loss")] == [(1, 0.9), (3, 0.8)]


def test_experiment_and_model_are_described_once_and_an_operators_words_stay(store: ModelStore, sealed: Sealed) -> None:
    """What somebody wrote there is not overwritten by the next training."""
    register(store, sealed)
    client = store._client
    experiment = client.get_experiment_by_name(store.model_name)
    assert "one run each" in experiment.tags["mlflow.note.content"]
    assert "lockstep promote" in store._model().description
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "mine")
    assert store._experiment() == experiment.experiment_id
    assert client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"] == "mine"


def test_the_card_says_what_a_reader_needs_before_trusting_it(store: ModelStore, sealed: Sealed) -> None:
    """What, data, label, event rule, classes, contract, trials, limits and how to verify, within MLflow's length."""
    card = store._client.get_model_version(store.model_name, str(register(store, sealed))).description
    bundle = load_bundle(sealed.directory, expected_hash=sealed.hash)
    for told in (
        "MADEUSDT",
        "s" * 40,
        "bars ahead",
        "direction mode, every",
        "0 HOLD (40.0%)",
        "3 by this training",
        "Limits",
    ):
        assert told in card
    for told in (bundle.contract.fingerprint, sealed.hash, "lockstep models verify", "synthetic market"):
        assert told in card
    assert len(card) <= 5000


@BOTH
def test_decisions_stand_on_the_version_they_judged(store: ModelStore, sealed: Sealed) -> None:
    """The last one in the tags, the last five in the card, each once, in no more than MLflow keeps."""
    version = register(store, sealed)
    before = store._client.get_model_version(store.model_name, str(version)).description
    for card_id in (1, 2, 2, 3, 4, 5, 6):
        store.add_decision(version, NotedDecision(card_id=card_id, verdict="refuse", reason=f"reason\n{card_id} " * 90))
    found = store._client.get_model_version(store.model_name, str(version))
    assert (found.tags["decision_card"], found.tags["decision"]) == ("6", "refuse")
    assert found.tags["decision_reason"].startswith("reason 6 reason 6")
    assert re.findall(r"^- card (\d+), refuse: reason", found.description, flags=re.MULTILINE) == list("65432")
    assert found.description[:500] == before[:500]
    assert len(found.description) <= 5000
    assert [one.decision for one in store.versions()] == ["refuse (card 6)"]


def test_a_registry_that_is_down_undoes_no_decision(tmp_path: Path) -> None:
    """It is only not shown there."""
    gone = ModelStore(f"postgresql+psycopg://nobody@/mlflow?host={tmp_path}", artifact_root=None, model_name="m")
    card = DecisionCard(
        model_name="m", bundle_hash="b", champion_hash=None, verdict="refuse", reason="no", gates=(), evidence={}
    )
    assert not note_decision(gone, 1, 1, card)


@BOTH
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
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["got"]
    assert capfd.readouterr() == ("", "")


def test_a_download_is_the_bundle_that_was_registered(store: ModelStore, sealed: Sealed, tmp_path: Path) -> None:
    """Byte for byte, and it loads."""
    version = register(store, sealed)
    assert store.download(version, tmp_path / "got") == sealed.hash
    assert load_bundle(tmp_path / "got", expected_hash=sealed.hash).hash == sealed.hash


@BOTH
def test_a_download_of_touched_artifacts_is_refused(
    store: ModelStore, tracking: Tracking, sealed: Sealed, tmp_path: Path
) -> None:
    """MLflow itself would hand them over."""
    version = register(store, sealed)
    policy = tracking.model_directory(store, version) / "artifacts" / "bundle" / "policy.json"
    policy.write_bytes(policy.read_bytes().replace(b"0.4", b"0.1", 1))
    with pytest.raises(BundleError, match=r"policy\.json has other content"):
        store.download(version, tmp_path / "got")
    assert not (tmp_path / "got").exists()


@BOTH
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


def test_pyfunc_refuses_touched_artifacts(
    store: ModelStore, tracking: Tracking, sealed: Sealed, pyfunc: object
) -> None:
    """One flipped byte in the registered files, and MLflow cannot load the model."""
    version = register(store, sealed)
    path = tracking.model_directory(store, version) / "artifacts" / "bundle" / "model_xgboost.ubj"
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
    store._client.create_model_version(store.model_name, source="s3://somebody/else")
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
        store._client.create_model_version(store.model_name, source="s3://somebody/else")
        assert store.has_version(at)
    store._client.delete_model_version(store.model_name, "12")
    for ask in (lambda: store.version(12), lambda: store.download(12, tmp_path / "got")):
        with pytest.raises(StoreError, match=r"version 12 .* does not exist: its versions are \.\.\. 2, 3, .*, 11\. "):
            ask()
    assert not store.has_version(12)


_KILLED = """
import itertools, os, signal, sys
from registry.mlflow_store import ModelStore
from registry.run_record import ChildRun, RunRecord
store = ModelStore(sys.argv[1], artifact_root=sys.argv[2], model_name=sys.argv[3])
client = store._client
method = sys.argv[6]
plain = getattr(client, method)
calls = itertools.count(1)
def killed(*arguments, **named):
    if sys.argv[7] != "before":
        made = plain(*arguments, **named)
        if sys.argv[7] == "after the third" and next(calls) < 3:
            return made
    os.kill(os.getpid(), signal.SIGKILL)
setattr(client, method, killed)
folds = [ChildRun(name=f"fold {n}", kind="fold") for n in range(3)]
store.log_and_register(sys.argv[4], sys.argv[5], RunRecord(params={"a": 1}, children=folds))
"""


@pytest.mark.parametrize(
    ("method", "when"),
    [
        ("create_run", "after"),
        ("create_run", "after the third"),
        ("log_batch", "before"),
        ("log_artifacts", "after"),
        ("create_model_version", "before"),
        ("create_model_version", "after"),
    ],
)
def test_killed_while_registering_a_second_try_gives_one_version(
    store: ModelStore, sealed: Sealed, forks: ForkServer, method: str, when: str
) -> None:
    """SIGKILL at each step: then there is one version of the bundle, and no run, fold or parent, is left running."""
    arguments = [store.tracking_uri, str(store.artifact_root), store.model_name, str(sealed.directory), sealed.hash]
    done = forks.run(_KILLED, *arguments, method, when)
    assert done.code == -signal.SIGKILL, done.err
    version = register(store, sealed)
    assert [one.bundle_hash for one in store.versions()] == [sealed.hash]
    assert version == 1
    experiment = store._client.get_experiment_by_name(store.model_name)
    runs = store._client.search_runs([experiment.experiment_id])
    assert "RUNNING" not in {run.info.status for run in runs}
    if when == "after the third":
        beneath = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
        assert "KILLED" in {run.info.status for run in beneath}
