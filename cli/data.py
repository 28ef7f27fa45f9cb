"""``lockstep backfill`` and ``collect``: market data into the lake."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Files, Home, Json, Symbols, command, day_ms, home_path, split_symbols
from cli.output import out, table
from market.timeframe import as_utc
from tasks.moments import moment_of

__all__ = ["register"]

Exchange = Annotated[
    str | None,
    typer.Option(
        "--exchange",
        help="Venue to ask instead of data.exchange: binanceusdm or bybit. One history has one venue; bars from files "
        "may be carried on by the venue they came from.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backfill")(backfill)
    app.command("collect")(collect)


def backfill(
    files: Files = None,
    symbols: Symbols = None,
    since: Annotated[str | None, typer.Option("--from", help="First UTC day or moment: 2025-01-31.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="UTC day or moment to stop before; now by default.")] = None,
    exchange: Exchange = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Bring history into the lake, from --files or from an exchange; safe to repeat and to interrupt.

    What a venue has answered for is not asked again. What fails is told, and the rest is kept.

    Example: lockstep backfill --files path/to/candles --symbols BTCUSDT,ETHUSDT

    Example: lockstep backfill --symbols BTC/USDT:USDT --from 2025-01-01 --to 2025-02-01 --exchange bybit
    """
    start, end = day_ms(since, option="--from"), day_ms(until, option="--to")
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("--from must lie before --to")
    if start is not None and start >= datetime.now(UTC).timestamp() * 1000:
        raise typer.BadParameter(f"{since} lies in the future: nothing has traded then", param_hint="--from")
    if files is not None and exchange is not None:
        raise typer.BadParameter("give --files or --exchange, not both")
    wanted = split_symbols(symbols)
    if files is None and (start is None or not wanted):
        raise typer.BadParameter("from an exchange, --symbols and --from say what to bring; or give --files")
    if files is not None:
        with command(as_json=as_json, quiet=True):  # bad input is refused before any server is started
            wanted = _checked_symbols(home_path(home), files, wanted)

    def load() -> Callable[[str], dict[str, Any]]:
        from flows.collect import backfill as flow

        return lambda path: flow(
            path,
            symbols=list(wanted),
            since=_moment(start),
            until=_moment(end),
            exchange=exchange,
            files=None if files is None else str(files.absolute()),
        )

    run_and_show(home, load, as_json=as_json, show=_show, makes_home=True)


def collect(symbols: Symbols = None, home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Bring what is due from the exchange, for the symbols of this home.

    New and revised bars, funding, open interest, and the mark price of each hour.

    Example: lockstep collect --symbols BTCUSDT,ETHUSDT
    """
    wanted = split_symbols(symbols)

    def load() -> Callable[[str], dict[str, Any]]:
        from flows.collect import collect as flow

        return lambda path: flow(path, symbols=list(wanted) or None)

    run_and_show(home, load, as_json=as_json, show=_show, makes_home=True)


def _moment(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else moment_of(time_ms)


def _checked_symbols(home: Path, files: Path, wanted: tuple[str, ...]) -> tuple[str, ...]:
    import os

    from infra.settings import load_settings
    from tasks.plan import timeframe_of
    from tasks.symbols import check_files, file_symbols

    timeframe = timeframe_of(load_settings(home, environ=os.environ))
    symbols = file_symbols(str(files), timeframe=timeframe, wanted=wanted)
    check_files(str(files), timeframe=timeframe, symbols=symbols)
    return symbols


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
    if rows:
        out.print(table("Coverage", ("symbol", "first (UTC)", "last (UTC)", "bars", "missing", "coverage"), rows))
    out.print(f"{result['new_rows']:,} new rows from {result['source']}{_in_words(result)}")
    if result.get("delisted"):
        out.print(f"delisted, with what was stored of them kept: {', '.join(result['delisted'])}")
    if result.get("open_gaps"):
        out.print(f"{result['open_gaps']:,} open gaps of {result['missing_bars']:,} bars; lockstep gaps shows them")
    for symbol, kinds in result.get("failed", {}).items():
        out.print(f"failed: {symbol}: {'; '.join(kinds.values())}", markup=False)


def _in_words(result: Mapping[str, Any]) -> str:
    if "requests" not in result:
        return ""
    return f", {result['revisions']:,} revised, in {result['requests']:,} requests"
