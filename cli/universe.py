"""``lockstep universe``: which markets belong, day by day, and why?"""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Home, Json, command, day_ms, existing_home
from cli.output import out, print_json, table
from market.symbols import venue_symbol
from market.timeframe import as_utc

__all__ = ["app"]

_DAYS_FROM_HOURS = 72

app = typer.Typer(help="Which markets belong to the universe, day by day, and why.", no_args_is_help=True)


@app.command("show")
def show(
    as_of: Annotated[str | None, typer.Option("--as-of", help="UTC day: 2025-01-31; the newest by default.")] = None,
    history: Annotated[str | None, typer.Option("--history", help="One market: when it entered and left.")] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Show who belongs to the universe, or the entries and exits of one market.

    Example: lockstep universe show --as-of 2025-01-31

    Example: lockstep universe show --history BTCUSDT
    """
    at = day_ms(as_of, option="--as-of")
    if at is not None and history is not None:
        raise typer.BadParameter("give --as-of or --history, not both")
    with command(as_json=as_json, quiet=True):
        from infra.bootstrap import open_app
        from infra.universe import utc_day
        from tasks.universe_report import market_history, universe_on

        with open_app(existing_home(home)) as opened:
            if history is not None:
                found = market_history(opened, venue_symbol(history))
            else:
                day = None if at is None else utc_day(at)
                found = universe_on(opened, day, now_ms=time.time_ns() // 1_000_000)
    if as_json:
        print_json(found)
    elif history is not None:
        _show_history(found)
    else:
        _show_universe(found)


@app.command("refresh")
def refresh(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Decide the universe of today from the venue's tickers, once a day.

    If the venue does not answer, the last universe stays and its age is told.

    Example: lockstep universe refresh
    """

    def load() -> Any:
        from flows.universe import refresh as flow

        return flow

    run_and_show(home, load, as_json=as_json, show=_show_refresh, makes_home=True)


@app.command("build")
def build(
    since: Annotated[str, typer.Option("--from", help="First UTC day: 2025-01-31.")],
    until: Annotated[
        str | None, typer.Option("--to", help="UTC day to stop before; by default as far as the lake holds.")
    ] = None,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Decide the universe of past days from the lake, as it was known when each day began.

    A day is decided once: asked again, it stays as it is.

    Example: lockstep universe build --from 2025-01-31 --to 2025-03-01
    """
    start, end = day_ms(since, option="--from"), day_ms(until, option="--to")
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("--from must lie before --to")

    def load() -> Any:
        from flows.universe import build as flow

        return partial(flow, start_ms=start, end_ms=end)

    run_and_show(home, load, as_json=as_json, show=_show_build)


def _show_universe(found: Mapping[str, Any]) -> None:
    if found["day"] is None:
        out.print(
            f"fixed universe {found['content_hash'][:12]}, from the {found['source']}: {_markets(found['members'])}"
        )
        out.print(", ".join(found["members"]))
        return
    shown = [one for one in found["judged"] if one["member"] or one["change"] == "left"]
    title = f"Universe of {found['day']}: {_markets(found['members'])}"
    columns = ("rank", "symbol", "change", "turnover 24 h", "price", "age (days)", "why")
    out.print(table(title, columns, [_row(one) for one in shown]))
    out.print(f"judged and out: {len(found['judged']) - len(shown)} more; --json lists each of them with its reason")
    _show_age(found)


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _number(one["rank"], "d"),
        one["symbol"],
        one["change"],
        "-" if one["turnover"] is None else f"{one['turnover'] / 1e6:,.1f} M",
        _number(one["price"], "g"),
        _number(one["age_days"], ",.0f"),
        one["reason"],
    )


def _markets(members: list[str]) -> str:
    return "1 market" if len(members) == 1 else f"{len(members)} markets"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _show_age(found: Mapping[str, Any]) -> None:
    hours = found["age_hours"]
    ago = f"{hours:.1f} hours" if hours < _DAYS_FROM_HOURS else f"{hours / 24:.0f} days"
    taken = f"from {found['source']} at {as_utc(found['as_of_ms'])} UTC, {ago} ago"
    out.print(f"{taken}, id {found['content_hash'][:12]}" + (" [yellow]stale[/]" if found["stale"] else ""))
    if found["mode"] == "fixed":
        out.print("not in use: universe.mode is fixed")


def _show_refresh(found: Mapping[str, Any]) -> None:
    made = "decided now" if found["decided_now"] else "decided before, and a day is decided once"
    out.print(f"universe of {found['day']}: {_markets(found['members'])}, {made}")
    if found["decided_now"]:
        _show_changes([{"symbol": name, "change": "entered", "reason": ""} for name in found["entered"]])
        _show_changes([{"symbol": n, "change": "left", "reason": why} for n, why in found["left"].items()])
    _show_age(found)


def _show_build(found: Mapping[str, Any]) -> None:
    out.print(
        f"universe from {found['first_day']} to {found['last_day']}: {found['decided']} days decided, "
        f"{found['kept']} were; {_markets(found['members'])} on the last"
    )
    _show_changes(found["changes"])


def _show_changes(changes: list[dict[str, Any]]) -> None:
    if changes:
        rows = [(one.get("day", ""), one["symbol"], one["change"], one["reason"]) for one in changes]
        out.print(table("Entries and exits", ("day", "symbol", "change", "why"), rows))


def _show_history(found: Mapping[str, Any]) -> None:
    rows = [(one["entered"], one["left"] or "still in", one["why"], one["why_left"] or "") for one in found["stays"]]
    out.print(table(found["symbol"], ("entered", "left", "why", "why it left"), rows))
    state = "a member" if found["member"] else "out"
    out.print(f"on {found['day']}: {state} ({found['reason']})")
