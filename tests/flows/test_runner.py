"""Models fitted on a cluster are those of threads, byte for byte; what is missing is said before any work."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.settings import load_settings
from learning.training import train
from market.errors import LockstepError
from tasks import runner
from tasks.runner import require_runner, runner_of
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config

pytestmark = pytest.mark.integration


def app_with(home: Path, **execution):
    """As much of an open home as a runner asks for."""
    overrides = {f"execution.{name}": value for name, value in execution.items()}
    return SimpleNamespace(settings=load_settings(home, environ={}, overrides=overrides))


def trained(run_jobs, *, on_progress=lambda *_call: None, **changes):
    """The bytes of a small training whose models are fitted by this runner."""
    panel = planted_panel(edge=1.0, bars=1600, symbols=2)
    config = tiny_config(folds=2, **changes)
    found = train(
        panel, CONTRACT, SPEC, config, train_end_index=FIRST + 1500, run_jobs=run_jobs, on_progress=on_progress
    )
    return [part.payload for part in found.models], found.scored.ensemble.tobytes(), found.evaluation


@pytest.fixture(scope="module", autouse=True)
def _prefect(tmp_path_factory):
    """A real server, which the workers report to, as every command has one."""
    from flows.session import flow_session

    with flow_session(tmp_path_factory.mktemp("prefect")) as server:
        server.wait()
        yield


@pytest.fixture(scope="module", params=["dask", "ray"])
def cluster(request, tmp_path_factory):
    """A local cluster, and the home whose training uses it."""
    home = tmp_path_factory.mktemp(request.param)
    with runner_of(app_with(home, runner=request.param, workers=1)) as run_jobs:
        yield run_jobs, home


def test_a_local_cluster_gives_the_bytes_of_threads(cluster):
    """Models, predictions and facts are equal, and progress is told."""
    run_jobs, _ = cluster
    told = []
    found = trained(run_jobs, on_progress=lambda *call: told.append(call))
    assert found == trained(None)
    assert [call for call in told if call[0] == "fit"] == [("fit", done, 9) for done in range(1, 10)]


def test_a_job_that_fails_tells_its_own_reason(cluster):
    """The first failure ends the training with what went wrong, not with a cluster's complaint."""
    run_jobs, _ = cluster
    with pytest.raises(Exception, match="num_leaves"):
        trained(run_jobs, models=("lightgbm",), lightgbm_leaves=1)


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_missing_extra_is_said_before_any_work(monkeypatch, name):
    """Which library, why, and what to install."""
    monkeypatch.setattr(runner, "find_spec", lambda _package: None)
    with pytest.raises(LockstepError, match=rf"execution\.runner is {name} .* install lockstep\[{name}\]"):
        require_runner(name)
    require_runner("threads")


def test_threads_need_no_cluster(tmp_path):
    """The default runner is this process."""
    with runner_of(app_with(tmp_path)) as run_jobs:
        assert run_jobs is None


def test_a_cluster_that_is_not_there_is_refused(tmp_path, monkeypatch):
    """Within seconds, and nothing else is used in its place."""
    monkeypatch.setattr(runner, "_CONNECT_S", 1)
    app = app_with(tmp_path, runner="dask", address="tcp://127.0.0.1:9")
    with pytest.raises(LockstepError, match=r"no dask cluster at tcp://127\.0\.0\.1:9"), runner_of(app):
        pytest.fail("it connected")
