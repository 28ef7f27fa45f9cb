"""Which pages can a person open, and how do their servers start and stop?

Prefect's server (flows, runs, artifacts) and MLflow's (runs, versions, aliases), both on loopback, both children of
this process: they end with it, and no earlier than other commands of the home that use them. A ``PREFECT_API_URL`` in
the environment names a server of the user's own and is used as it is.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.environment import mlflow_environment, prefect_environment
from infra.processes import child_process, free_port, wait_until_healthy
from infra.seats import take_seat

__all__ = ["PrefectServer", "mlflow_server", "prefect_server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefectServer:
    """A server that is starting: ``url`` is its page, ``wait`` returns when it answers."""

    url: str
    wait: Callable[[], None]


@contextmanager
def prefect_server(
    home: Path, *, environment: Mapping[str, str], port: int | None = 4200, on_wait: Callable[[], None] = lambda: None
) -> Iterator[PrefectServer]:
    """Start Prefect's server on loopback, or use the home's running one, and point this process at it.

    It takes about ten seconds to answer: do other work first, and call ``wait`` before the first flow. At the end it
    waits for other commands that use the server, after calling ``on_wait``.
    """
    own = environment.get("PREFECT_API_URL")
    if own:
        yield _running(home, own.rstrip("/"), timeout_s=10.0)
        return
    run_dir = home / "run"
    with take_seat("prefect", run_dir=run_dir) as seat:
        if seat.url is not None:
            seat.settled()
            yield _running(home, f"{seat.url}/api", timeout_s=120.0)
            return
        with _own_prefect(home, run_dir, port) as started:
            seat.settled()
            try:
                yield started
            finally:
                seat.wait_for_others(on_wait)


def _running(home: Path, api: str, *, timeout_s: float) -> PrefectServer:
    """A server that somebody else started, with this process pointed at it."""
    os.environ.update(prefect_environment(home) | {"PREFECT_API_URL": api})

    def wait() -> None:
        wait_until_healthy(f"{api}/health", process=None, name="Prefect", log=None, timeout_s=timeout_s)

    return PrefectServer(url=api.removesuffix("/api"), wait=wait)


@contextmanager
def _own_prefect(home: Path, run_dir: Path, port: int | None) -> Iterator[PrefectServer]:
    port = free_port(port)
    url = f"http://127.0.0.1:{port}"
    variables = prefect_environment(home) | {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
    }
    arguments = ["uvicorn", "--factory", "prefect.server.api.server:create_app"]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with child_process("prefect", arguments, url=url, environment=variables, run_dir=run_dir) as process:
        os.environ.update(variables)
        log = run_dir / "prefect.log"
        yield PrefectServer(
            url=url,
            wait=lambda: wait_until_healthy(f"{url}/api/health", process=process, name="Prefect", log=log),
        )


@contextmanager
def mlflow_server(home: Path, *, backend_uri: str, artifact_root: str, port: int | None = 5000) -> Iterator[str]:
    """Start MLflow's server on loopback over the given store, or use the home's running one; yields its address."""
    run_dir = home / "run"
    with take_seat("mlflow", run_dir=run_dir) as seat:
        if seat.url is not None:
            seat.settled()
            yield seat.url
            return
        with _own_mlflow(run_dir, backend_uri=backend_uri, artifact_root=artifact_root, port=port) as url:
            seat.settled()
            try:
                yield url
            finally:
                seat.wait_for_others(lambda: None)


@contextmanager
def _own_mlflow(run_dir: Path, *, backend_uri: str, artifact_root: str, port: int | None) -> Iterator[str]:
    port = free_port(port)
    base = f"http://127.0.0.1:{port}"
    arguments = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--artifacts-destination", artifact_root]
    # The store's address can hold a password, so it travels in the environment, not on the command line.
    variables = mlflow_environment() | {
        "MLFLOW_BACKEND_STORE_URI": backend_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with child_process("mlflow", arguments, url=base, environment=variables, run_dir=run_dir) as process:
        wait_until_healthy(f"{base}/health", process=process, name="MLflow", log=run_dir / "mlflow.log")
        yield base
