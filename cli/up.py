"""``lockstep up``: open the Prefect and MLflow pages of a home."""

import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from cli.interrupts import Interrupted
from cli.options import Home, command, home_path
from cli.output import err, out

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    home: Home = Path(".lockstep"),
    prefect_port: Annotated[int, typer.Option(help="Port of the Prefect page; another one if taken.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow page; another one if taken.")] = 5000,
) -> None:
    """Start PostgreSQL, the Prefect server and the MLflow server of a home on loopback, until Ctrl-C.

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
                out.print(f"Prefect  {prefect.url}\nMLflow   {mlflow}\nCtrl-C stops both.")
                with contextlib.suppress(Interrupted):
                    while True:
                        time.sleep(3600)
