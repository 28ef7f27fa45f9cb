"""Threads, Dask and Ray give the same bytes; what cannot run says so before it begins, and what fails says why."""

import json
import os
import socket
from functools import partial

import numpy as np
import pytest

import tasks.clusters
import tasks.runner
from infra.errors import SettingsError
from infra.provenance import library_versions
from infra.settings import load_settings
from infra.shared_values import write_shared
from learning.errors import HistoryError
from learning.fold_models import run_job
from learning.training import train
from tasks.runner import fit_runner, open_runner, require_runner
from tasks.runner_errors import RunnerError
from tasks.worker_job import RemoteCall, run_remotely
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config
from tests.tasks.runner_jobs import Table, die, refuse, refuse_oddly, row_sum

TABLE = Table(X=np.arange(200_000, dtype=np.float32).reshape(200, 1000), name="table")


def settings(home, **execution):
    return load_settings(home, environ={}, overrides={"execution": execution, "training": {"threads": 2}})


def nobody(done, total):
    """Hear of progress and forget it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home without anything in it."""
    return tmp_path_factory.mktemp("runner") / "home"


@pytest.fixture(scope="module")
def dask(home):
    """A local Dask cluster of two processes."""
    with open_runner(settings(home, runner="dask", workers=2)) as map_jobs:
        yield map_jobs


@pytest.fixture(scope="module")
def ray(home):
    """A local Ray cluster of two processes, where Ray is installed."""
    pytest.importorskip("ray")
    with open_runner(settings(home, runner="ray", workers=2)) as map_jobs:
        yield map_jobs


@pytest.fixture(scope="module")
def threads(home):
    """Two threads of this process."""
    with open_runner(settings(home)) as map_jobs:
        yield map_jobs


@pytest.fixture(params=["threads", "dask", "ray"])
def map_jobs(request):
    """Each runner in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["dask", "ray"])
def cluster(request):
    """Each runner that has processes of its own."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def panel():
    """A market whose answer is known."""
    return planted_panel(bars=1600, symbols=2)


def everything(panel, run_jobs):
    """All that a bundle is made of, and all that is stored about how good it was."""
    config = tiny_config(threads=2, folds=2)
    result = train(panel, CONTRACT, SPEC, config, train_end_index=FIRST + 1500, run_jobs=run_jobs)
    models = [(one.name, one.payload, one.calibration.matrix.tobytes(), one.class_weight) for one in result.models]
    arrays = [result.scored.models, result.scored.ensemble, result.weights, result.importance, result.trades.net]
    return models, [array.tobytes() for array in arrays], json.dumps(result.evaluation), result.policy


@pytest.fixture(scope="module")
def in_this_process(panel):
    """The training as it is without any runner."""
    return everything(panel, None)


def test_a_training_is_the_same_bytes_on_every_runner(panel, in_this_process, map_jobs):
    """Models, out-of-fold predictions, trades and scores, byte by byte, and progress counts every model once."""
    heard = []

    def run_jobs(work, jobs, on_model):
        return map_jobs(run_job, work, jobs, lambda *call: heard.append(call))

    assert everything(panel, run_jobs) == in_this_process
    assert heard == [(n, 9) for n in range(1, 10)]


def test_training_takes_the_runner_of_the_settings(home, monkeypatch):
    """Threads leave it to training itself; for the others the jobs go through the runner, closed again after them."""
    assert fit_runner(settings(home)) is None
    sent = []

    class _Runner:
        def __enter__(self):
            return lambda function, work, jobs, on_model: sent.append((function, work, jobs)) or ["fitted"]

        def __exit__(self, *error):
            sent.append("closed")

    monkeypatch.setattr(tasks.runner, "open_runner", lambda chosen: _Runner())
    assert fit_runner(settings(home, runner="dask"))("work", ["job"], nobody) == ["fitted"]
    assert sent == [(run_job, "work", ["job"]), "closed"]


def test_results_come_in_the_order_of_the_jobs(map_jobs):
    """Whichever ends first."""
    rows = [7, 3, 199, 0, 50]
    found = map_jobs(row_sum, TABLE, rows, nobody)
    assert [total for _, total, _, _ in found] == [float(TABLE.X[row].sum()) for row in rows]


def test_a_cluster_maps_what_it_shares_and_clears_it_away(cluster, home):
    """Other processes see the table read-only from the home's scratch, of which nothing is left."""
    found = cluster(row_sum, TABLE, list(range(20)), nobody)
    assert os.getpid() not in {process for _, _, process, _ in found}
    assert not any(writeable for *_, writeable in found)
    assert list((home / "tmp").iterdir()) == []


def test_an_error_of_a_job_is_raised_as_it_was(map_jobs):
    """Its own class and its three parts, not those of the cluster."""
    with pytest.raises(HistoryError) as caught:
        map_jobs(refuse, TABLE, [0, 1, 2], nobody)
    assert str(caught.value) == "table has no row 1: it was never written. What to do: write it."


def test_an_error_says_where_in_the_worker_it_was_raised(cluster, home):
    """The worker's traceback comes along, also for an error that cannot be sent itself; the scratch is cleared."""
    with pytest.raises(HistoryError) as caught:
        cluster(refuse, TABLE, [1], nobody)
    assert "in refuse" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="_OddError: 5 and 6"):
        cluster(refuse_oddly, TABLE, [5], nobody)
    assert list((home / "tmp").iterdir()) == []


def test_a_worker_that_dies_fails_the_run_which_can_be_run_again(cluster, home):
    """The refusal names the job, nothing is left behind, and the same runner then does other jobs."""
    with pytest.raises(RunnerError, match=r"the worker died that ran 1 .*lower execution.workers"):
        cluster(die, TABLE, [0, 1, 2], nobody)
    assert list((home / "tmp").iterdir()) == []
    assert len(cluster(row_sum, TABLE, [1, 2, 3], nobody)) == 3


@pytest.mark.parametrize(("runner", "package"), [("dask", "prefect_dask"), ("ray", "ray")])
def test_a_missing_extra_is_named_before_anything_begins(home, monkeypatch, runner, package):
    """With the command that installs it."""
    monkeypatch.setattr(tasks.runner, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(RunnerError, match=rf"{package} is not installed.*pip install 'lockstep\[{runner}\]'"):
        require_runner(settings(home, runner=runner))
    require_runner(settings(home))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize(("runner", "scheme"), [("dask", "tcp://"), ("ray", "ray://"), ("dask", "")])
def test_an_address_where_nobody_listens_is_refused_at_once(home, runner, scheme):
    """Before any data is read."""
    address = f"{scheme}127.0.0.1:{free_port()}"
    with pytest.raises(RunnerError, match=rf"no {runner} cluster answers at {address} .*correct execution.address"):
        require_runner(settings(home, runner=runner, address=address))


def test_an_address_of_something_else_is_refused_in_bounded_time(home, monkeypatch):
    """A listener that never speaks: Dask's own client would wait for it without end."""
    monkeypatch.setattr(tasks.runner, "PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RunnerError, match=rf"no dask cluster answers at {address} \(timed out\)"):
            require_runner(settings(home, runner="dask", address=address))


@pytest.fixture
def running():
    """A Dask cluster that somebody else started, and its address."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster


def test_a_running_cluster_is_used_by_its_address_and_left_running(home, running):
    """Also by one with more threads than one a worker."""
    with open_runner(settings(home, runner="dask", address=running.scheduler_address)) as map_jobs:
        assert len(map_jobs(row_sum, TABLE, list(range(10)), nobody)) == 10
    assert running.scheduler.workers


def test_a_cluster_without_workers_is_refused(home, running, monkeypatch):
    """At the start, and when the last one leaves: jobs would wait for ever."""
    monkeypatch.setattr(tasks.clusters, "PATIENCE_S", 0.3)
    monkeypatch.setattr(tasks.clusters, "LOOK_S", 0.1)
    chosen = settings(home, runner="dask", address=running.scheduler_address)
    with open_runner(chosen) as map_jobs:
        running.sync(running.scheduler.remove_worker, next(iter(running.scheduler.workers)), stimulus_id="test")
        with pytest.raises(RunnerError, match="the Dask cluster has no workers left"):
            map_jobs(row_sum, TABLE, [1], nobody)
    with pytest.raises(RunnerError, match="no Dask cluster answers"), open_runner(chosen):
        pass


def test_a_worker_with_other_libraries_is_refused(tmp_path):
    """Other versions would fit other bytes in silence."""
    call = partial(RemoteCall, function=row_sum, share=write_shared(TABLE, tmp_path))
    wanted = library_versions()
    assert run_remotely(call(versions=wanted), 0).result()[0] == "table"
    refused = run_remotely(call(versions=wanted | {"lightgbm": "1.0"}), 0)
    with pytest.raises(RunnerError, match=r"a worker has lightgbm .*, this process has 1.0"):
        refused.result()


def test_an_address_needs_a_cluster(home):
    """Threads have none, and half an address is none."""
    with pytest.raises(SettingsError, match="an address needs the runner dask or ray"):
        settings(home, address="tcp://127.0.0.1:8786")
    with pytest.raises(SettingsError, match=r"execution\.address"):
        settings(home, runner="dask", address="127.0.0.1")
