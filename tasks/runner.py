"""Where are the models of a training fitted: in this process's threads, or on a cluster of Dask or Ray?

One Prefect task a model, through the task runner of the settings. The matrix of features is written once and mapped
into memory by every worker, so a job is small; on a cluster of several machines the home's ``tmp`` folder must be
shared between them. Every job is fitted on one thread, and the bytes are those that threads give. Without an address a
local cluster is started for the training and stopped after it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed

from infra.bootstrap import App
from infra.scratch import scratch_directory
from learning.binned import BinnedPanel, FitData
from learning.config import TrainingConfig
from learning.fold_models import FitJob, FitResult, FitWork, OnModel, RunJobs, TrainingWindow, one_blas_thread, run_job
from learning.search_space import Params
from market.errors import LockstepError
from registry.predictors import ModelKind

__all__ = ["fit_elsewhere", "require_runner", "runner_of"]

_PACKAGES = {"dask": "prefect_dask", "ray": "prefect_ray"}
_CONNECT_S = 15
_BINNED: dict[str, BinnedPanel] = {}
"""The one panel this worker process has mapped and binned, by the path of its matrix."""


def require_runner(runner: str) -> None:
    """Raise, before any work, when the libraries of the chosen runner are not installed."""
    package = _PACKAGES.get(runner)
    if package is not None and find_spec(package) is None:
        raise LockstepError(
            f"execution.runner is {runner} and {package.replace('_', '-')} is not installed",
            why="models would have to be fitted somewhere else than where the settings say",
            remedy=f"install lockstep[{runner}], or set execution.runner to threads",
        )


@contextmanager
def runner_of(app: App) -> Iterator[RunJobs | None]:
    """Who runs the jobs of a training: None for this process's threads, else a cluster, up while the block runs."""
    execution = app.settings.execution
    require_runner(execution.runner)
    if execution.runner == "threads":
        yield None
        return
    with (
        _connected(execution.runner, execution.address, lambda: _cluster(app)) as cluster,
        scratch_directory(app.settings.home / "tmp", prefix="matrix-") as scratch,
    ):

        def run(work: FitWork, jobs: Sequence[FitJob], on_model: OnModel) -> Sequence[FitResult]:
            return _run_on(cluster, work, jobs, on_model, scratch / "X.npy")

        yield run


@task(name="fit", cache_policy=NO_CACHE, persist_result=False)
def fit_elsewhere(
    path: str,
    data: FitData,
    window: TrainingWindow,
    kind: ModelKind,
    config: TrainingConfig,
    replaced: Params,
) -> FitResult:
    """One model of one window in whatever process this is; ``data`` lacks its matrix, which lies at ``path``."""
    if path not in _BINNED:
        _BINNED.clear()
        _BINNED[path] = BinnedPanel(replace(data, X=np.load(path, mmap_mode="r", allow_pickle=False)))
    work = FitWork(binned=_BINNED[path], windows=(window,), config=config, replaced=({kind: replaced},))
    with one_blas_thread():
        return run_job(work, FitJob(window=0, kind=kind))


def _run_on(cluster: Any, work: FitWork, jobs: Sequence[FitJob], on_model: OnModel, path: Path) -> Sequence[FitResult]:
    data = work.binned.data
    np.save(path, np.ascontiguousarray(data.X), allow_pickle=False)
    light = replace(data, X=np.empty((0, data.X.shape[1]), dtype=np.float32))
    sent = {}
    for job in jobs:
        arguments = {
            "path": str(path),
            "data": light,
            "window": work.windows[job.window],
            "kind": job.kind,
            "config": work.config,
            "replaced": dict(work.replaced[job.window].get(job.kind, {})),
        }
        sent[cluster.submit(fit_elsewhere, parameters=arguments)] = job
    done = []
    for future in as_completed(list(sent)):
        found: FitResult = future.result()
        done.append(replace(found, job=sent[future]))
        on_model(len(done), len(jobs))
    return done


def _cluster(app: App) -> Any:
    """Prefect's task runner for these settings, not yet started."""
    execution = app.settings.execution
    workers = execution.workers or app.settings.training.threads or None
    if execution.runner == "dask":
        from prefect_dask.task_runners import DaskTaskRunner

        if execution.address:
            import distributed

            connect: Any = distributed.Client
            with connect(execution.address, timeout=_CONNECT_S):  # Prefect's own connects at the first job only
                pass
            return DaskTaskRunner(address=execution.address)
        local = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "silence_logs": 50}
        return DaskTaskRunner(cluster_kwargs=local | ({"n_workers": workers} if workers else {}))
    from prefect_ray.task_runners import RayTaskRunner

    if execution.address:
        return RayTaskRunner(address=execution.address)
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    return RayTaskRunner(init_kwargs=quiet | ({"num_cpus": workers} if workers else {}))


@contextmanager
def _connected(runner: str, address: str, make: Callable[[], Any]) -> Iterator[Any]:
    try:
        cluster = make().__enter__()
    except Exception as error:
        raise LockstepError(
            f"no {runner} cluster at {address or 'this machine'} ({type(error).__name__}: {str(error)[:200]})",
            why="execution.runner asks for it, and nothing else is used in its place",
            remedy="start the cluster, correct execution.address, or set execution.runner to threads",
        ) from error
    try:
        yield cluster
    finally:
        cluster.__exit__(None, None, None)
