"""``lockstep rollback``, ``watch`` and ``drill``: taking a champion back, and whether that would work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json, table

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("rollback", context_settings={"token_normalize_func": _present_name})(rollback)
    app.command("watch")(watch)
    app.command("drill")(drill)


def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why, kept with the deployment.")],
    to: Annotated[int | None, typer.Option(help="Version to return to; the one before by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show, change nothing.")] = False,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Return to an earlier champion, loaded with every check before anything changes; MLflow may be down.

    Example: lockstep rollback --reason "confidence fell after the listing"
    """
    with command(as_json=as_json):
        from infra.bootstrap import open_app
        from tasks.rolling_back import roll_back

        with open_app(existing_home(home)) as app:
            found = roll_back(app, why=reason, who="lockstep rollback", to_version=to, dry_run=dry_run)
    before, target = found.before, found.target
    result = {
        "version": target.version,
        "bundle_hash": target.bundle_hash,
        "from_version": before.version,
        "from_hash": before.bundle_hash,
        "why": reason,
        "changed": found.done is not None,
        "check_s": round(found.check_s, 3),
        "change_s": round(found.change_s, 3),
    }
    if as_json:
        print_json(result)
        return
    words = "would serve" if dry_run else "serves"
    out.print(f"version {target.version} {words} again instead of version {before.version} ({target.bundle_hash[:12]})")


def watch(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Check the champion by stored rows: harm, parity, degraded bars. Rolls back, or halts, where one fires.

    Exits with 1 where one did. The setting rollback.automatic = false only tells.

    Example: lockstep watch
    """

    def load() -> Any:
        from flows.champion import watch as flow

        return flow

    if run_and_show(home, load, as_json=as_json, show=_show_checks)["verdict"] == "fired":
        raise typer.Exit(1)


def drill(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Roll back and forward in a scratch home with the bundles of this one; the seconds of each step.

    Example: lockstep drill
    """

    def load() -> Any:
        from flows.champion import drill as flow

        return flow

    run_and_show(home, load, as_json=as_json, show=_show_drill)


def _present_name(option: str) -> str:
    """``--why``, as the option was first called, still works."""
    return "reason" if option == "why" else option


def _show_checks(result: Mapping[str, Any]) -> None:
    if not result["checks"]:
        out.print(result["reason"])
        return
    rows = [(one["verdict"], one["name"], one["reason"]) for one in result["checks"]]
    out.print(table(f"Champion version {result['version']}", ("", "check", "in words"), rows))
    out.print(f"\n{result['verdict']}: {result['action'] or 'nothing had to be done'}")


def _show_drill(result: Mapping[str, Any]) -> None:
    rows = [(name, f"{seconds:.2f}") for name, seconds in result["steps_s"].items()]
    out.print(table("Rollback drill", ("step", "seconds"), rows))
    also = " with a stand-in for an earlier champion" if result["stand_in"] else ""
    out.print(f"\npassed{also}: after every step the right bundle served, loaded with every check")
