"""``lockstep up``: open the Prefect and MLflow pages of a home, and run what is started from Prefect's."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Annotated

import typer

from cli.interrupts import Interrupted
from cli.options import Home, command, home_path
from cli.output import err, out
from infra.errors import InfraError

__all__ = ["register"]

_PROCESS = "deployments"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    home: Home = Path(".lockstep"),
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect page; another one if taken.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page; another one if taken.")] = 5000,
) -> None:
    """Start PostgreSQL, the Prefect server and the MLflow server of a home on loopback, until Ctrl-C.

    Flows can then be started from the Prefect page, under Deployments: they run here, in this home.

    Example: lockstep up
    """
    with command(as_json=False):
        import os

        from infra.bootstrap import open_app
        from infra.servers import mlflow_server, prefect_server
        from tasks.stores import tracking_uri

        path = home_path(home)
        with open_app(path) as app, prefect_server(path, environment=os.environ, port=prefect_port) as prefect:
            artifacts = str(path / "mlflow-artifacts")
            uri = tracking_uri(app)
            err.print("starting (about 20 seconds) ...")
            with mlflow_server(path, backend_uri=uri, artifact_root=artifacts, port=mlflow_port) as mlflow:
                prefect.wait()
                with _deployments(path, prefect.url) as process:
                    out.print(f"Prefect  {prefect.url}\nMLflow   {mlflow}\nCtrl-C stops all of it.")
                    with contextlib.suppress(Interrupted):
                        _stay(process, path)


@contextlib.contextmanager
def _deployments(home: Path, url: str) -> Iterator["Popen[bytes] | None"]:
    """A process that runs what is started on the Prefect page; None where another ``lockstep up`` of the home has it.

    It runs in this process's environment, which says where the Prefect server is and carries the settings.
    """
    from infra.processes import child_process
    from infra.seats import take_seat

    run_dir = home / "run"
    with take_seat(_PROCESS, run_dir=run_dir) as seat:
        if seat.url is not None:
            seat.settled()
            yield None
            return
        with child_process(
            _PROCESS, ["flows.deployments", str(home)], url=url, environment={}, run_dir=run_dir
        ) as process:
            seat.settled()
            try:
                yield process
            finally:
                if process.poll() is None:
                    seat.wait_for_others(lambda: None)


def _stay(process: "Popen[bytes] | None", home: Path) -> None:
    """Until a signal; the page would promise runs that never begin if the process that runs them is gone."""
    while process is None or process.poll() is None:
        time.sleep(1.0)
    log = home / "run" / f"{_PROCESS}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    raise InfraError(
        "the process that runs deployments has ended" + (f" ({lines[-1][:300]})" if lines else ""),
        why="flows started from the Prefect page would wait for ever",
        remedy=f"read {log}, then run lockstep up again",
    )
