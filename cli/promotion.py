"""``lockstep shadow`` and ``promote``: who serves, and why."""

from collections.abc import Mapping
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.demo_text import gate_table
from cli.flow_runner import run_and_show, show_lines
from cli.options import Home, Json
from cli.output import out

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("shadow")(shadow)
    app.command("promote")(promote)


def shadow(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Replay challenger and champion over bars neither has seen, through the worker's own code.

    Example: lockstep shadow
    """

    def load() -> Any:
        from flows.promote import shadow as flow

        return flow

    run_and_show(home, load, as_json=as_json, show=show_lines)


def promote(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge and show, change nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Promote past failed gates of statistics, never past those of integrity.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="The reason for --force, kept with your name.")] = "",
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Let the gates judge the challenger; promote it, or say which gate refused it. A refusal exits with 1.

    So does having neither challenger nor champion.

    Example: lockstep promote --dry-run
    """
    if force != bool(why.strip()):
        raise typer.BadParameter("--force needs --why with the reason, and --why is for --force alone")

    def load() -> Any:
        from flows.promote import promote as flow

        who = f"{getuser()} with lockstep promote --force" if force else "lockstep promote"
        return partial(flow, dry_run=dry_run, who=who, force_why=why.strip())

    result = run_and_show(home, load, as_json=as_json, show=_show)
    if result["verdict"] == "refuse" or (result["verdict"] == "none" and result["champion_hash"] is None):
        raise typer.Exit(1)


def _show(result: Mapping[str, Any]) -> None:
    out.print(gate_table(result["gates"]))
    done = "promoted" if result["promoted"] else result["verdict"]
    out.print(f"\n{done}: {result['reason']}")
