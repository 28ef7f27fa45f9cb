"""``lockstep gaps``: which bars are missing, whose turn is it, and what is odd about the data?"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.flow_runner import run_and_show
from cli.options import Home, Json, Symbols, command, existing_home, split_symbols
from cli.output import out, print_json, table
from market.timeframe import as_utc

__all__ = ["register"]

_SYMBOLS_SHOWN = 20
_GAPS_SHOWN = 12
_STATUS = {"not_fetched": "not fetched", "missing_at_venue": "missing at venue"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gaps")(gaps)


def gaps(
    symbols: Symbols = None,
    heal: Annotated[bool, typer.Option("--heal", help="Ask the exchange for every gap, then look again.")] = False,
    home: Home = Path(".lockstep"),
    as_json: Json = False,
) -> None:
    """Show coverage, gaps and oddities of the stored data, worst first; with --heal ask the exchange for the gaps.

    Example: lockstep gaps --symbols BTCUSDT,ETHUSDT

    Example: lockstep gaps --heal
    """
    wanted = list(split_symbols(symbols))
    if heal:
        _heal(home, wanted, as_json=as_json)
        return
    with command(as_json=as_json):
        from tasks.gap_report import examine_gaps

        found = examine_gaps(str(existing_home(home)), symbols=wanted)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _heal(home: Path, wanted: list[str], *, as_json: bool) -> None:
    def load() -> Any:
        from flows.gaps import gaps as flow

        return partial(flow, symbols=wanted)

    run_and_show(home, load, as_json=as_json, show=_show)


def _show(found: Mapping[str, Any]) -> None:
    if "healed" in found:
        _show_healed(found["healed"])
    _show_coverage(found)
    _show_gaps(found["gaps"])
    _show_findings(found["findings"])
    out.print(_venue_line(found["venue"]))


def _show_healed(healed: Mapping[str, Any]) -> None:
    line = f"healed {healed['healed_gaps']:,} gaps, {healed['healed_bars']:,} bars, by {healed['requests']:,} requests"
    others = healed["not_of_this_venue"]
    if others:
        line += f"; not asked for, as their bars came from elsewhere: {_named(others)}"
    out.print(line)


def _show_coverage(found: Mapping[str, Any]) -> None:
    rows = [
        (
            one["symbol"],
            as_utc(one["first_ms"]),
            f"{one['rows']:,}",
            f"{one['coverage']:.2%}" + ("" if one["enough"] else " too little"),
            f"{one['not_fetched']:,}",
            f"{one['missing_at_venue']:,}",
            one["warnings"],
        )
        for one in found["symbols"][:_SYMBOLS_SHOWN]
    ]
    title = (
        f"Coverage of {found['timeframe']} bars to {as_utc(found['end_ms'])} UTC ({found['min_coverage']:.0%} to train)"
    )
    columns = ("symbol", "first (UTC)", "bars", "coverage", "not fetched", "missing at venue", "warnings")
    _print(title, columns, rows, of=len(found["symbols"]), noun="symbols")


def _show_gaps(gaps: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            one["symbol"],
            as_utc(one["first_ms"]),
            as_utc(one["last_ms"]),
            f"{one['bars']:,}",
            _STATUS[one["status"]],
            "never" if one["asked_at"] is None else f"{one['asked_at'][:16].replace('T', ' ')} {one['source']}",
        )
        for one in gaps[:_GAPS_SHOWN]
    ]
    columns = ("symbol", "first bar (UTC)", "last bar (UTC)", "bars", "status", "last asked")
    _print("Open gaps, longest first", columns, rows, of=len(gaps), noun="gaps")


def _show_findings(findings: Sequence[Mapping[str, Any]]) -> None:
    """One line per kind, told of the market it concerns most."""
    by_kind: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in findings:
        by_kind.setdefault((one["severity"], one["kind"]), []).append(one)
    rows = []
    for (severity, kind), alike in by_kind.items():
        most = max(alike, key=lambda one: one["bars"])
        rows.append((severity, kind, len(alike), most["symbol"], most["words"]))
    columns = ("severity", "kind", "symbols", "most in", "what")
    _print("What is odd, and left as it is (each market with --json)", columns, rows, of=len(rows), noun="findings")


def _print(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, of: int, noun: str) -> None:
    if not rows:
        out.print(f"no {noun}")
        return
    out.print(table(title, columns, rows))
    if of > len(rows):
        out.print(f"and {of - len(rows):,} more {noun} (all with --json)")


def _venue_line(venue: Mapping[str, Any]) -> str:
    if venue["answered_at"] is None and venue["checked_at"] is None:
        return f"{venue['venue']} was never asked from this home"
    parts = [f"{venue['venue']}: last answer {venue['answered_at'] or 'none'}"]
    if venue["clock_skew_ms"] is not None:
        judged = "" if venue["clock_agrees"] else f", more than the {venue['max_clock_skew_ms']:,} ms permitted"
        parts.append(f"its clock is {venue['clock_skew_ms']:+,} ms from ours{judged}")
    if venue["closed"]:
        parts.append(f"left alone until {venue['closed_until']} ({venue['why']})")
    return "; ".join(parts)


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
