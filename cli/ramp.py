"""``lockstep ramp``: how much capital may the champion use, and what is missing for more?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

__all__ = ["app"]

app = typer.Typer(help="The stages of capital.", no_args_is_help=True)


@app.command("show")
def show(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Show the stage of capital and how it came about, newest first; changes nothing.

    Example: lockstep ramp show
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.ramp import show_ramp

        with open_app(existing_home(home)) as opened:
            found: Mapping[str, Any] = show_ramp(opened)
    if as_json:
        print_json(found)
        return
    out.print(_allowed(found))
    rows = [(one["at"][:19], one["stage"], one["bundle_hash"][:12], one["reason"]) for one in found["history"]]
    out.print(table("How it came about", ("at (UTC)", "stage", "bundle", "why"), rows))


@app.command("check")
def check(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Judge the champion by stored rows and move it to another stage where that is due.

    Example: lockstep ramp check --json
    """

    def load() -> Any:
        from flows.ramp import ramp as flow

        return flow

    run_and_show(home, load, as_json=as_json, show=_show_check)


def _show_check(result: Mapping[str, Any]) -> None:
    if result["verdict"] == "none":
        out.print(result["reason"])
        return
    marks = {True: "passed", False: "missed", None: "unknown"}
    rows = [(marks[one["passed"]], one["name"], one["detail"]) for one in result["gates"]]
    if rows:
        out.print(table("Gates of the stage it was at", ("", "gate", "in words"), rows))
    moved = f"{result['from_stage'] or 'none'} -> {result['stage']}" if result["verdict"] == "fired" else "no change"
    out.print(f"\n{moved}: {result['reason']}\n{_allowed(result)}")


def _allowed(result: Mapping[str, Any]) -> str:
    cap = result["max_positions"]
    positions = "as many positions as its policy allows" if cap is None else f"at most {cap} positions"
    return f"{result['stage']}: {result['capital_share']:.0%} of the capital, {positions}"
