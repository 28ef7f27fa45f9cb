"""``lockstep serve``, ``halt`` and ``resume``, ``arm`` and ``disarm``: signals, or the reason for none."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.demo_text import signal_table
from cli.flow_runner import run_and_show
from cli.options import Home, Json, command, day_ms, existing_home, home_path
from cli.output import err, out, print_json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("halt")(halt)
    app.command("resume")(resume)
    app.command("arm")(arm)
    app.command("disarm")(disarm)


def serve(
    replay: Annotated[
        tuple[str, str] | None, typer.Option("--replay", help="Serve a past stretch: FROM TO (UTC), TO exclusive.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Serve what has closed since the last time, then stop.")] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait while another worker serves, and take over when it ends.")
    ] = False,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Serve signals of the promoted bundle: for ever, --once, or over a past stretch with --replay.

    Example: lockstep serve --replay 2025-10-29 2025-10-31
    """
    if replay is not None and once:
        raise typer.BadParameter("choose --once or --replay, not both")
    if standby and (once or replay is not None):
        raise typer.BadParameter("--standby is for a worker that serves for ever")
    if replay is not None:
        start, end = (day_ms(text, option="--replay") for text in replay)

        def load() -> Any:
            from flows.serve import serve_replay

            return partial(serve_replay, start_ms=start, end_ms=end)

        run_and_show(home, load, as_json=as_json, show=partial(_show, home))
    elif once:

        def load_once() -> Any:
            from flows.serve import serve_once

            return partial(serve_once, now_ms=time.time_ns() // 1_000_000)

        run_and_show(home, load_once, as_json=as_json, show=partial(_show, home))
    else:
        with command(as_json=as_json):
            _loop(existing_home(home), standby=standby)


def halt(
    reason: Annotated[str, typer.Option("--reason", help="Why trading stops; shown with every signal.")],
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Stop all signals within one bar, on every worker, until resume.

    Example: lockstep halt --reason "exchange maintenance"
    """
    _switch(home, on=True, why=reason, as_json=as_json)


def resume(
    reason: Annotated[str, typer.Option("--reason", help="Why trading may go on.")],
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Take a halt back.

    Example: lockstep resume --reason "maintenance is over"
    """
    _switch(home, on=False, why=reason, as_json=as_json)


def arm(
    reason: Annotated[str, typer.Option("--reason", help="Why this champion may trade for real; kept with your name.")],
    hours: Annotated[float, typer.Option("--hours", min=0.1, max=720, help="Until when, from now.")] = 24.0,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Give the second key for live trading: to the bundle that serves now, for some hours.

    The first key is serving.mode = live. Without this one every signal of live mode is FLAT not_armed.

    Example: lockstep arm --reason "four weeks of paper reviewed" --hours 24
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.arming import arm_champion

        with open_app(existing_home(home)) as app:
            now_ms = time.time_ns() // 1_000_000
            made = arm_champion(app, hours=hours, why=reason, who=f"{getuser()} with lockstep arm", now_ms=now_ms)
    if as_json:
        print_json({"armed": True, **asdict(made)})
    else:
        out.print(f"armed: bundle {made.bundle_hash[:12]} may trade for real for {hours:g} hours")


def disarm(
    reason: Annotated[str, typer.Option("--reason", help="Why trading for real ends.")],
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Take the second key back, within one bar on every worker.

    Example: lockstep disarm --reason "funding went wild"
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from serving.arming import disarm as take_back

        with open_app(existing_home(home)) as app:
            name = app.settings.registry.model_name
            take_back(app.engine, model_name=name, why=reason, who=f"{getuser()} with lockstep disarm")
    if as_json:
        print_json({"armed": False, "why": reason})
    else:
        out.print("disarmed: no signal is tradable for real until lockstep arm")


def _switch(home: Path, *, on: bool, why: str, as_json: bool) -> None:
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from serving.halt import set_halt

        with open_app(existing_home(home)) as app:
            set_halt(app.engine, on=on, why=why, who="lockstep")
    if as_json:
        print_json({"halted": on, "why": why})
    else:
        out.print("halted: no new signals until lockstep resume" if on else "resumed")


def _show(home: Path, result: Mapping[str, Any]) -> None:
    from infra.bootstrap import open_app
    from tasks.summary import last_signals

    reasons = ", ".join(f"{count:,} {name}" for name, count in result["reasons"].items()) or "nothing new"
    out.print(f"{result['bars']:,} bars served now, {result['already_served']:,} before; signals: {reasons}")
    with open_app(home_path(home)) as app:
        out.print(signal_table(last_signals(app)))


def _loop(home: Path, *, standby: bool) -> None:
    from tasks.live import serve_live

    err.print("serving until Ctrl-C; signals go to the table `signals`")
    serve_live(str(home), say=err.print, standby=standby)
