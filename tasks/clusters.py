"""How do Dask and Ray start, take jobs and stop?

Prefect's task runners own the cluster: one of this machine, started for the run and stopped after it whatever happens,
or a running one by its address. Jobs are handed to the cluster itself, as plain functions: its workers need this code
and these libraries, no Prefect server, and none of the settings and secrets that a task run carries along.
A local cluster listens only to those who have its key, keeps its files in ``scratch``, and does not try a job again
when a worker died: on one machine that is a lack of memory, which comes again.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from infra.environment import ray_environment
from tasks.runner_errors import RunnerError
from tasks.worker_job import Outcome, RemoteCall, run_remotely

__all__ = ["LOOK_S", "PATIENCE_S", "Cluster", "Send", "dask_cluster", "ray_cluster"]

Send = Callable[[RemoteCall, Sequence[object]], Iterator[tuple[int, Outcome]]]
"""Runs the call for every job and yields (position, outcome) in the order in which they end."""
Cluster = Callable[[str, int, Path], AbstractContextManager[Send]]
"""Opened with ``address`` (empty: a local one), ``workers`` of a local one, ``scratch`` for its files."""

PATIENCE_S = 10.0
"""How long a cluster may take to answer."""
_TRIES = 4
"""A job on a cluster of many machines may lose its worker this often less one; Dask's scheduler has its own number."""
LOOK_S = 20.0
"""How often a wait that goes on looks whether any worker is left."""


@contextmanager
def dask_cluster(address: str, workers: int, scratch: Path) -> Iterator[Send]:
    """Dask through ``prefect_dask.DaskTaskRunner``: one process a worker, one thread each."""
    import dask
    from prefect_dask import DaskTaskRunner

    local = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "processes": True,
        "memory_limit": None,  # mapped arrays count as memory of every worker
        "dashboard_address": "127.0.0.1:0",
        "local_directory": str(scratch),
        "security": True,
        "silence_logs": logging.CRITICAL + 1,
    }
    patience = {"timeout": PATIENCE_S}
    known = {"address": address, "client_kwargs": patience} if address else {"cluster_kwargs": local}
    runner = DaskTaskRunner(**known)
    quiet = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with dask.config.set(quiet), runner:
        try:
            client = runner.client
            client.wait_for_workers(1, timeout=PATIENCE_S)
        except Exception as error:
            raise _unreachable("Dask", address, error) from error

        def send(call: RemoteCall, jobs: Sequence[object]) -> Iterator[tuple[int, Outcome]]:
            return _from_dask(client, call, jobs)

        yield send


def _from_dask(client: Any, call: RemoteCall, jobs: Sequence[object]) -> Iterator[tuple[int, Outcome]]:
    from distributed import wait

    waiting = {client.submit(run_remotely, call, job, pure=False): n for n, job in enumerate(jobs)}
    while waiting:
        try:
            with client.as_current():
                ended = wait(list(waiting), timeout=LOOK_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if not client.scheduler_info(n_workers=0)["total_threads"]:
                raise _deserted("Dask") from None
            continue
        for future in ended:
            number = waiting.pop(future)
            try:
                outcome = future.result()
            except Exception as error:
                raise _died(jobs[number], error) from error
            yield number, outcome


@contextmanager
def ray_cluster(address: str, workers: int, scratch: Path) -> Iterator[Send]:
    """Ray through ``prefect_ray.RayTaskRunner``: one core a job."""
    if not address:
        os.environ.update(ray_environment(_ray_token()))
    from prefect_ray import RayTaskRunner

    options: dict[str, object] = {"log_to_driver": False, "logging_level": logging.CRITICAL + 1}
    if not address:
        options |= {
            "num_cpus": workers,
            "include_dashboard": False,
            "object_store_memory": 256 * 1024**2,
            "_temp_dir": str(scratch),
            "_node_ip_address": "127.0.0.1",
        }
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # Ray prints there that a worker died, into what may be JSON
        try:
            stack.enter_context(RayTaskRunner(address=address or "local", init_kwargs=options))
        except Exception as error:
            raise _unreachable("Ray", address, error) from error
        yield lambda call, jobs: _from_ray(call, jobs, tries=_TRIES if address else 1)


def _from_ray(call: RemoteCall, jobs: Sequence[object], *, tries: int) -> Iterator[tuple[int, Outcome]]:
    import ray

    run = ray.remote(run_remotely).options(num_cpus=1, max_retries=tries - 1)
    shared = ray.put(call)
    waiting = {run.remote(shared, job): n for n, job in enumerate(jobs)}
    while waiting:
        ended, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK_S)
        if not ended and not ray.cluster_resources().get("CPU"):
            raise _deserted("Ray")
        for reference in ended:
            number = waiting.pop(reference)
            try:
                outcome = ray.get(reference)
            except Exception as error:
                raise _died(jobs[number], error) from error
            yield number, outcome


@cache
def _ray_token() -> str:
    """One key for all local clusters of this process: Ray reads it once."""
    return token_hex(32)


def _unreachable(name: str, address: str, error: Exception) -> RunnerError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return RunnerError(
        f"no {name} cluster answers at {address} ({reason})" if address else f"{name} does not start here ({reason})",
        why="there is nowhere to fit models",
        remedy=f"start it or correct execution.address; with execution.runner = threads no {name} is needed"
        if address
        else "run it again, or set execution.runner to threads",
    )


def _died(job: object, error: Exception) -> RunnerError:
    return RunnerError(
        f"the worker died that ran {job} ({type(error).__name__})",
        why="most often because memory ran out; nothing of this run was kept",
        remedy="lower execution.workers or add memory, and run it again",
    )


def _deserted(name: str) -> RunnerError:
    return RunnerError(
        f"the {name} cluster has no workers left",
        why="the jobs that are missing would never run; nothing of this run was kept",
        remedy="start workers and run it again",
    )
