"""``lockstep status`` and ``doctor``: what is true right now, and is everything as it should be?"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from cli.options import Home, Json, command, existing_home
from cli.output import out, print_json
from market.timeframe import as_utc

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("status")(status)
    app.command("doctor")(doctor)


def status(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Tell who serves, in which state and why, from stored rows only.

    Example: lockstep status --json
    """
    with command(as_json=as_json, quiet=True):
        from tasks.health import home_status

        found = home_status(existing_home(home), now_ms=time.time_ns() // 1_000_000)
    if as_json:
        print_json(found)
    else:
        _show(found)


def doctor(home: Home = Path(".lockstep"), as_json: Json = False) -> None:
    """Check versions, database, lake, registry, disk and the serving bundle; exits with 1 if one is not well.

    Example: lockstep doctor
    """
    with command(as_json=as_json, quiet=True):
        from tasks.health import examine

        found = examine(existing_home(home))
    if as_json:
        print_json({"checks": found, "well": all(one["ok"] for one in found)})
    else:
        for one in found:
            mark = "[green]ok[/] " if one["ok"] else "[red]not[/]"
            out.print(f"{mark} {one['check']:<12} {one['detail']}")
    if not all(one["ok"] for one in found):
        raise typer.Exit(1)


def _show(found: Mapping[str, Any]) -> None:
    champion = found["champion"]
    served = "none" if champion is None else f"version {champion['version']} ({champion['bundle_hash'][:12]})"
    lines = {
        "model": found["model_name"] + (" (synthetic market)" if found["synthetic"] else ""),
        "champion": served,
        "challenger": "none" if found["challenger"] is None else f"version {found['challenger']['version']}",
        "state": f"{found['state']} ({found['reason']}: {found['meaning']})",
        "last bar": "none served" if found["last_bar_ms"] is None else f"{as_utc(found['last_bar_ms'])} UTC",
        "lake to": "empty" if found["lake_last_bar_ms"] is None else f"{as_utc(found['lake_last_bar_ms'])} UTC",
        **{name.replace("_", " "): _age(one) for name, one in found["freshness"].items()},
        "halted": "yes" if found["halted"] else "no",
        "mode": found["mode"] + (_armed(found["armed"]) if found["mode"] == "live" else ""),
        "open trades": found["open_paper_trades"],
        "registry": _registry(found["registry"]),
        "parity": "never audited"
        if found["parity"] is None
        else f"{found['parity']['identical']:,} of {found['parity']['rows']:,} rows identical",
        "drift": "never measured" if found["drift"] is None else found["drift"]["verdict"],
        "counts": ", ".join(f"{count:,} {name}" for name, count in found["counts"].items()),
    }
    for name, value in lines.items():
        out.print(f"{name:<14} {value}")


def _armed(armed: Mapping[str, Any] | None) -> str:
    if armed is None:
        return ", not armed"
    if "refused" in armed:
        return f", not armed: {armed['refused']}"
    return f", armed for {armed['bundle_hash'][:12]} until {as_utc(armed['until_ms'])} UTC by {armed['who']}"


def _registry(look: Mapping[str, Any] | None) -> str:
    """What the last look at MLflow found, and when that was."""
    if look is None:
        return "not looked at yet"
    found = look["detail"] if look["cause"] != "ok" else look["note"] or "as it should be"
    told = found if look["cause"] == "ok" else f"{look['cause']}: {found}"
    return f"{told} (looked {_span(look['age_s'])} ago)"


def _age(one: Mapping[str, Any]) -> str:
    """``fresh, 3 min old of 10 min`` or what is stale, with the market that is furthest behind."""
    if one["watermark_ms"] is None:
        age = "nothing stored"
    elif one["age_s"] < -one["max_age_s"]:
        age = f"{_span(-one['age_s'])} in the future"
    else:
        age = f"{_span(one['age_s'])} old of at most {_span(one['max_age_s'])}"
    whose = f" ({one['oldest_symbol']})" if one["oldest_symbol"] else ""
    others = f"; {len(one['stale']):,} symbols are stale" if len(one["stale"]) > 1 else ""
    return f"{'fresh' if one['fresh'] else 'stale'}, {age}{whose}{others}"


def _span(seconds: float) -> str:
    if abs(seconds) < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if abs(seconds) < 48 * 3600 else f"{seconds / 86400:.0f} days"
