"""``lockstep features``: compute, read and check the feature rows."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show, show_lines
from cli.monitor import show_parity
from cli.options import Home, Json, Symbols, command, existing_home, split_symbols
from cli.output import out, print_json, table
from market.errors import LockstepError
from market.symbols import venue_symbol

__all__ = ["app"]

app = typer.Typer(help="The unified features: build, show, verify.", no_args_is_help=True)


@app.command("build")
def build(symbols: Symbols = None, home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Compute the features of everything in the lake; finished blocks are kept.

    Example: lockstep features build --symbols BTCUSDT,ETHUSDT
    """
    chosen = list(split_symbols(symbols))

    def load() -> Any:
        from flows.features import build_features

        return partial(build_features, symbols=chosen)

    run_and_show(home, load, as_json=as_json, show=show_lines)


@app.command("show")
def show(
    symbol: Annotated[str, typer.Argument(help="BTCUSDT or BTC/USDT:USDT")],
    last: Annotated[int, typer.Option(min=1, max=500, help="How many of the newest rows.")] = 1,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Show the newest feature rows beside their formulae.

    Example: lockstep features show BTC/USDT:USDT --last 5
    """
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from tasks.features import newest_rows
        from tasks.plan import timeframe_of

        with open_app(existing_home(home)) as opened:
            # A misspelt name is told before any rule about the history of the right ones.
            name = _held(venue_symbol(symbol), opened.lake.symbols(timeframe_of(opened.settings)))
            rows = newest_rows(opened, name, last=last)
    if as_json:
        print_json(rows)
    else:
        _show(rows)


@app.command("verify")
def verify(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Recompute every served row in batch and compare bytes; exits with 1 below 100 %.

    Example: lockstep features verify --json
    """

    def load() -> Any:
        from flows.monitor import parity

        return parity

    result = run_and_show(home, load, as_json=as_json, show=show_parity)
    if result["identical"] != result["rows"]:
        raise typer.Exit(1)


def _held(symbol: str, held: Sequence[str]) -> str:
    """The symbol, which the lake must hold; an empty lake is told by whoever reads it."""
    if symbol in held or not held:
        return symbol
    near = get_close_matches(symbol, held, n=3, cutoff=0.5)
    others = f"backfill it, or choose one of {', '.join(held[:12])}"
    raise LockstepError(
        f"{symbol}: no bars in the lake",
        why="its features cannot be computed",
        remedy=f"did you mean {' or '.join(near)}?" if near else others,
    )


def _show(rows: Mapping[str, Any]) -> None:
    columns = ("feature", *(row["bar"] for row in rows["rows"]), "formula")
    lines: list[tuple[object, ...]] = [("(valid)", *(row["reason"] or "yes" for row in rows["rows"]), "")]
    for name, formula in rows["formulas"].items():
        values = [row["values"][name] for row in rows["rows"]]
        lines.append((name, *("-" if value is None else f"{value:.6g}" for value in values), formula))
    out.print(table(f"{rows['symbol']}, contract {rows['contract']}", columns, lines))
