"""Where do the jobs of a training run, and what is sent there?

``open_runner`` gives one function, ``map_jobs(function, shared, jobs, on_done)``: in threads of this process, or on a
Dask or Ray cluster as the settings say. Jobs are small values; ``shared`` may be gigabytes, and is written once into a
scratch directory of the home that every worker maps (so a cluster of other machines must see the home under the same
path). Results come back in memory and nothing is stored on the way: a run that fails leaves nothing behind. The
function is a top-level one of this code, pure, on one thread; then the runner changes no byte of any result.
"""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TypeVar

from infra.provenance import library_versions
from infra.scratch import scratch_directory
from infra.settings import Settings
from infra.shared_values import write_shared
from learning.fold_models import FitJob, FitResult, FitWork, OnModel, RunJobs, one_blas_thread, run_job
from tasks.clusters import PATIENCE_S, Cluster, Send, dask_cluster, ray_cluster
from tasks.runner_errors import RunnerError
from tasks.worker_job import RemoteCall

__all__ = ["MapJobs", "OnDone", "fit_runner", "open_runner", "require_runner"]

S = TypeVar("S")
J = TypeVar("J")
R = TypeVar("R")
OnDone = Callable[[int, int], None]
"""Called as ``(done, total)`` from the calling thread after each job."""

_CLUSTERS: dict[str, Cluster] = {"dask": dask_cluster, "ray": ray_cluster}
_PACKAGES = {"dask": ("dask", "distributed", "prefect_dask"), "ray": ("ray", "prefect_ray")}


class MapJobs(Protocol):
    """Runs ``function(shared, job)`` for every job."""

    def __call__(self, function: Callable[[S, J], R], shared: S, jobs: Sequence[J], on_done: OnDone) -> list[R]:
        """Results in the order of ``jobs``; the first error of a job is raised as it was, and ends the run."""


def require_runner(settings: Settings) -> None:
    """Raise ``RunnerError`` unless the runner of the settings is installed and, if it has an address, answers there."""
    chosen, address = settings.execution.runner, settings.execution.address
    missing = [name for name in _PACKAGES.get(chosen, ()) if find_spec(name) is None]
    if missing:
        raise RunnerError(
            f"execution.runner is {chosen}, but {', '.join(missing)} is not installed",
            why="models cannot be fitted where the settings say",
            remedy=f"pip install 'lockstep[{chosen}]', or set execution.runner to threads",
        )
    if address:
        _require_answer(chosen, address)


@contextmanager
def open_runner(settings: Settings) -> Iterator[MapJobs]:
    """The runner of the settings for as long as the block lasts; a cluster started for it ends with it.

    Raises:
        RunnerError: it is not installed, does not answer, or a worker died.
    """
    require_runner(settings)
    cluster = _CLUSTERS.get(settings.execution.runner)
    if cluster is None:
        yield _in_threads(settings.training.threads or os.cpu_count() or 1)
        return
    workers = settings.execution.workers or os.cpu_count() or 1
    # Ray's sockets need a short path, so a local cluster's own files do not lie in the home.
    with (
        scratch_directory(Path(tempfile.gettempdir()), prefix="lockstep-cluster-") as scratch,
        cluster(settings.execution.address, workers, scratch) as send,
    ):
        yield _on_cluster(send, settings.home / "tmp")


def fit_runner(settings: Settings) -> RunJobs | None:
    """How ``train`` fits its models under these settings; none where it does so in its own threads."""
    if settings.execution.runner == "threads":
        return None

    def run(work: FitWork, jobs: Sequence[FitJob], on_model: OnModel) -> Sequence[FitResult]:
        with open_runner(settings) as map_jobs:  # no longer than models are fitted: a cluster holds memory
            return map_jobs(run_job, work, jobs, on_model)

    return run


def _in_threads(threads: int) -> MapJobs:
    def map_jobs(function: Callable[[S, J], R], shared: S, jobs: Sequence[J], on_done: OnDone) -> list[R]:
        with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
            running = [pool.submit(function, shared, job) for job in jobs]
            try:
                for done, future in enumerate(as_completed(running), start=1):
                    future.result()
                    on_done(done, len(jobs))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [future.result() for future in running]

    return map_jobs


def _on_cluster(send: Send, parent: Path) -> MapJobs:
    def map_jobs(function: Callable[[S, J], R], shared: S, jobs: Sequence[J], on_done: OnDone) -> list[R]:
        found: dict[int, R] = {}
        with scratch_directory(parent, prefix="jobs-") as directory:
            share = write_shared(shared, directory)
            call = RemoteCall(function=function, share=share, versions=library_versions())
            for number, outcome in send(call, jobs):
                found[number] = outcome.result()
                on_done(len(found), len(jobs))
        return [found[number] for number in range(len(jobs))]

    return map_jobs


def _require_answer(chosen: str, address: str) -> None:
    """Ask at the door, with a time limit: Dask's own client waits for ever for one that accepts and says nothing."""
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            if chosen == "dask" and scheme in {"", "tcp"} and not connection.recv(1):  # a scheduler speaks first
                raise ConnectionError("it hangs up")
    except (OSError, OverflowError) as error:
        raise RunnerError(
            f"no {chosen} cluster answers at {address} ({error})",
            why="there is nowhere to fit models",
            remedy="start the cluster or correct execution.address, or set execution.runner to threads",
        ) from error
