"""``lockstep shadow``, ``promote`` and ``rollback``: who serves, and why."""

from collections.abc import Mapping
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.demo_text import gate_table
from cli.flow_runner import run_and_show, show_lines
from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("shadow")(shadow)
    app.command("promote")(promote)
    app.command("rollback", context_settings={"token_normalize_func": _present_name})(rollback)


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


def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why, kept with the deployment.")],
    to: Annotated[int | None, typer.Option(help="Version to return to; the one before by default.")] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Return to an earlier champion.

    Example: lockstep rollback --reason "confidence fell after the listing"
    """
    with command(as_json=as_json):
        from infra.bootstrap import open_app
        from registry.promotion import rollback as roll
        from tasks.stores import model_store

        with open_app(existing_home(home)) as app:
            deployed = roll(
                app.engine,
                model_store(app),
                model_name=app.settings.registry.model_name,
                why=reason,
                who="lockstep rollback",
                to_version=to,
                serving_mode=app.settings.serving.mode,
            )
    result = {"version": deployed.version, "bundle_hash": deployed.bundle_hash, "why": reason}
    if as_json:
        print_json(result)
    else:
        out.print(f"version {deployed.version} serves again ({deployed.bundle_hash[:12]})")


def _present_name(option: str) -> str:
    """``--why``, as the option was first called, still works."""
    return "reason" if option == "why" else option


def _show(result: Mapping[str, Any]) -> None:
    out.print(gate_table(result["gates"]))
    done = "promoted" if result["promoted"] else result["verdict"]
    out.print(f"\n{done}: {result['reason']}")
