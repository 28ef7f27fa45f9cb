"""``lockstep parity`` and ``drift``: is the system still what it was when it was tested?"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Home, Json
from cli.output import out, table

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("parity")(parity)
    app.command("drift")(drift)


def parity(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Recompute every served feature row in batch and compare bytes; exits with 1 below 100 %.

    Example: lockstep parity --json
    """

    def load() -> Any:
        from flows.monitor import parity as flow

        return flow

    result = run_and_show(home, load, as_json=as_json, show=show_parity)
    if result["identical"] != result["rows"]:
        raise typer.Exit(1)


def drift(
    html: Annotated[bool, typer.Option("--html", help="Also write Evidently's page into the home.")] = False,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Compare what was served last with what the model was trained on.

    Example: lockstep drift --html
    """

    def load() -> Any:
        from flows.monitor import drift as flow

        return partial(flow, html=html)

    run_and_show(home, load, as_json=as_json, show=_show_drift)


def show_parity(result: Mapping[str, Any]) -> None:
    """Rows, identical rows and the first mismatch."""
    out.print(f"{result['identical']:,} of {result['rows']:,} rows are byte for byte identical")
    if result["first_mismatch"] is not None:
        out.print(f"first mismatch: {result['first_mismatch']}")


def _show_drift(result: Mapping[str, Any]) -> None:
    out.print(f"{result['verdict']}: {result['reason']}")
    rows = [
        (
            one["name"],
            one["verdict"],
            f"{one['psi']:.3f}" if one["psi"] is not None else "-",
            f"{one['psi_threshold']:.3f}" if one["psi_threshold"] is not None else "-",
            f"{one['ks']:.3f}" if one["ks"] is not None else "-",
        )
        for one in result["features"][:10]
    ]
    if "page" in result:
        out.print(f"Evidently's page: {result['page']}")
    out.print(table("Furthest from training", ("feature", "verdict", "PSI", "limit", "KS"), rows))
