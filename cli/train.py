"""``lockstep train``: walk-forward, seal, register as challenger."""

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.demo_text import score_table
from cli.flow_runner import run_and_show
from cli.options import Home, Json, Symbols, command, existing_home, split_symbols
from cli.output import out, print_json, table
from market.timeframe import as_utc

__all__ = ["register"]


class Mode(StrEnum):
    """Who names the side."""

    DIRECTION = "direction"
    META = "meta"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)
    app.command("trials")(trials)


def train(
    symbols: Symbols = None,
    days: Annotated[int | None, typer.Option(min=1, help="Newest days before the shadow stretch to train on.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="direction, or meta: the primary rule names the side.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=0, help="Tuning trials a kind of model, inside the first training window.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Most minutes to tune.")] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Train on everything before the shadow stretch; the result is the challenger.

    What is chosen here replaces the settings for this training alone. The same data and settings are trained once:
    asked again, the finished training answers.

    Example: lockstep train --symbols BTCUSDT,ETHUSDT --days 90 --trials 20
    """
    chosen = list(split_symbols(symbols))

    def load() -> Any:
        from flows.train import train as flow

        named = None if mode is None else mode.value
        return partial(flow, symbols=chosen or None, days=days, mode=named, trials=trials, minutes=minutes)

    run_and_show(home, load, as_json=as_json, show=_show)


def trials(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Show the ledger of everything that was tried, by data snapshot.

    Deflated Sharpe counts these: the more was tried on the same data, the better the best of it looks by chance.

    Example: lockstep trials
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.trials import ledger

        with open_app(existing_home(home)) as opened:
            found = ledger(opened.engine)
    if as_json:
        print_json({"snapshots": found})
        return
    rows = [
        (
            one["snapshot_id"][:12],
            "synthetic" if one["synthetic"] else "real",
            len(one["symbols"]),
            as_utc(one["last_ms"]),
            one["counted"],
            ", ".join(f"{count} {state}" for state, count in one["states"].items()) or "-",
        )
        for one in found
    ]
    heads = ("snapshot", "data", "symbols", "to (UTC)", "counted", "states")
    out.print(table("Trials by data snapshot", heads, rows))


def _show(run: Mapping[str, Any]) -> None:
    made = "trained now" if run["trained_now"] else "trained before, on the same data and settings"
    out.print(f"version {run['version']} of {run['model_name']}, bundle {run['bundle_hash'][:12]}, {made}")
    universe = run["evaluation"]["universe"]
    out.print(f"universe {universe['id'][:12]} ({universe['mode']})")
    for symbol, why in run["evaluation"]["left_out"].items():
        out.print(f"left out: {symbol} ({why})")
    on_gpu = [name for name, device in run["evaluation"].get("devices", {}).items() if device != "cpu"]
    if on_gpu:
        out.print(f"fitted on the GPU: {', '.join(on_gpu)} (bytes differ from run to run); all others on the CPU")
    for one in run["evaluation"].get("tuning", []):
        out.print(_tuned(one))
    out.print(score_table(run["evaluation"]["strategies"]))
    if run["report"] is not None:
        out.print(f"report: {run['report']}", soft_wrap=True)


def _tuned(one: Mapping[str, Any]) -> str:
    """One study in a line: how much was tried, what came out on the inner splits, and what is used."""
    found = "the settings failed" if one["default_loss"] is None else f"settings {one['default_loss']:.4f}"
    best = "" if one["loss"] is None else f", best {one['loss']:.4f}"
    used = "the best is used" if one["used"] else "the settings stay"
    tried = one["complete"] + one["pruned"] + one["failed"]
    return (
        f"tuned {one['kind']} in window {one['window']}: {tried} trials ({one['pruned']} pruned), "
        f"log loss of {found}{best}: {used}"
    )
