"""``lockstep backfill`` and ``collect``: market data into the lake."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Files, Home, Json, Symbols, command, day_ms, home_path, split_symbols
from cli.output import out, table
from market.timeframe import as_utc

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backfill")(backfill)
    app.command("collect")(collect)


def backfill(
    files: Files = None,
    symbols: Symbols = None,
    since: Annotated[str | None, typer.Option("--from", help="First UTC day or moment: 2025-01-31.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="UTC day or moment to stop before; now by default.")] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Bring history into the lake, from --files or from the exchange; safe to repeat and to interrupt.

    Example: lockstep backfill --files path/to/candles --symbols BTCUSDT,ETHUSDT

    Example: lockstep backfill --symbols BTC/USDT:USDT --from 2025-01-01 --to 2025-02-01
    """
    start, end = day_ms(since, option="--from"), day_ms(until, option="--to")
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("--from must lie before --to")
    wanted = split_symbols(symbols)
    if files is None and (start is None or not wanted):
        raise typer.BadParameter("from an exchange, --symbols and --from say what to bring; or give --files")

    chosen: list[str] = []
    if files is not None:
        with command(as_json=as_json, quiet=True):  # bad input is refused before any server is started
            chosen = _checked_symbols(home_path(home), files, wanted)

    def load() -> Any:
        from flows.collect import backfill_from_exchange, backfill_from_files

        if files is None:
            stop = end or time.time_ns() // 1_000_000
            return partial(backfill_from_exchange, symbols=list(wanted), start_ms=start, end_ms=stop)
        return partial(backfill_from_files, folder=str(files.absolute()), symbols=chosen, start_ms=start, end_ms=end)

    run_and_show(home, load, as_json=as_json, show=_show, makes_home=True)


def collect(symbols: Symbols = None, home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Bring what closed since the last time from the exchange, for the symbols of this home.

    Example: lockstep collect --symbols BTCUSDT,ETHUSDT
    """
    wanted = split_symbols(symbols)

    def load() -> Any:
        from flows.collect import collect as flow
        from infra.bootstrap import open_app
        from tasks.symbols import symbols_in_use

        with open_app(home_path(home)) as app:
            chosen = wanted or symbols_in_use(app)
        return partial(flow, symbols=list(chosen), now_ms=time.time_ns() // 1_000_000)

    run_and_show(home, load, as_json=as_json, show=_show, makes_home=True)


def _checked_symbols(home: Path, files: Path, wanted: tuple[str, ...]) -> list[str]:
    import os

    from infra.settings import load_settings
    from tasks.plan import timeframe_of
    from tasks.symbols import check_files, file_symbols

    timeframe = timeframe_of(load_settings(home, environ=os.environ))
    symbols = file_symbols(str(files), timeframe=timeframe, wanted=wanted)
    check_files(str(files), timeframe=timeframe, symbols=symbols)
    return list(symbols)


def _show(result: Mapping[str, Any]) -> None:
    rows = [
        (
            one["symbol"],
            as_utc(one["first_ms"]),
            as_utc(one["last_ms"]),
            f"{one['rows']:,}",
            f"{one['missing']:,}",
            f"{one['coverage']:.2%}",
        )
        for one in result["coverage"]
    ]
    out.print(table("Coverage", ("symbol", "first (UTC)", "last (UTC)", "bars", "missing", "coverage"), rows))
    out.print(f"{result['new_rows']:,} new rows from {result['source']}")
