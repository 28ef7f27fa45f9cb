"""Is this home well, and what is true of it right now?

Read from stored rows and by doing the thing (a row is written and read, a bundle is loaded and predicts), never from
file names or process lists.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.bootstrap import App, open_app
from market.errors import LockstepError
from registry.deployments import current_champion
from serving.arming import read_arming
from serving.errors import ServingError
from serving.states import CAUSES
from serving.status import status
from tasks.plan import contract_of, timeframe_of, venue_rule
from tasks.stores import bundle_cache, model_store
from tasks.symbols import followed_symbols

__all__ = ["app_status", "examine", "home_status"]

_LEAST_FREE_BYTES = 2 * 1024**3


def home_status(home: Path, *, now_ms: int) -> dict[str, Any]:
    """The status of the home's active model at ``now_ms``."""
    with open_app(home) as app:
        found = app_status(app, now_ms=now_ms)
        arming = _arming(app, now_ms)
        cause = CAUSES.get(str(found["reason"]))
        return {
            **found,
            "meaning": "unknown" if cause is None else cause.meaning,
            "remedy": "" if cause is None else cause.remedy,
            "mode": app.settings.serving.mode,
            "armed": arming,
            "home": str(app.settings.home),
        }


def app_status(app: App, *, now_ms: int) -> dict[str, object]:
    """``serving.status`` under these settings."""
    return status(
        app.engine,
        app.lake,
        model_name=app.settings.registry.model_name,
        timeframe=timeframe_of(app.settings),
        symbols=followed_symbols(app),
        now_ms=now_ms,
        max_age_bars=app.settings.serving.max_age_bars,
        universe_max_age_hours=_universe_max_age_hours(app),
        venue=venue_rule(app.settings),
        arming_needed=app.settings.serving.mode == "live",
    )


def _arming(app: App, now_ms: int) -> dict[str, object] | None:
    """Whom a person armed, until when and why; None where nobody did, or it is over."""
    try:
        found = read_arming(app.engine, app.settings.registry.model_name)
    except ServingError as bad:
        return {"refused": bad.what}
    return None if found is None or now_ms >= found.until_ms else asdict(found)


def examine(home: Path) -> list[dict[str, Any]]:
    """One line per check: ``check``, ``ok``, ``detail``; opening the home checks versions and database first."""
    try:
        with open_app(home) as app:
            checks: list[tuple[str, Callable[[App], str]]] = [
                ("lake", _lake),
                ("registry", _registry),
                ("bundle", _bundle),
                ("disk", _disk),
            ]
            first = [
                {"check": "versions", "ok": True, "detail": "the installed libraries are a set that works"},
                {"check": "database", "ok": True, "detail": "a row was written and read back"},
            ]
            return first + [_try(name, check, app) for name, check in checks]
    except LockstepError as error:
        return [{"check": "home", "ok": False, "detail": str(error)}]


def _universe_max_age_hours(app: App) -> int | None:
    """None where the universe is a fixed list, which does not age."""
    kept = app.settings.universe.mode == "turnover"
    return app.settings.universe.max_age_hours if kept else None


def _try(name: str, check: Callable[[App], str], app: App) -> dict[str, Any]:
    try:
        return {"check": name, "ok": True, "detail": check(app)}
    except LockstepError as error:
        return {"check": name, "ok": False, "detail": str(error)}


def _lake(app: App) -> str:
    timeframe = timeframe_of(app.settings)
    symbols = app.lake.symbols(timeframe)
    bars = sum(len(app.lake.candles(symbol, timeframe)) for symbol in symbols)
    return f"{len(symbols)} symbols, {bars:,} bars of {timeframe.name}, every file readable"


def _registry(app: App) -> str:
    versions = model_store(app).versions()
    aliases = [f"{alias} = {one.version}" for one in versions for alias in one.aliases]
    return f"{len(versions)} version(s) of {app.settings.registry.model_name}; {', '.join(aliases) or 'no alias'}"


def _bundle(app: App) -> str:
    champion = current_champion(app.engine, app.settings.registry.model_name)
    if champion is None:
        return "no champion, so nothing is served"
    bundle_cache(app).load(champion.bundle_hash, running=contract_of(app.settings))
    return f"version {champion.version} loads and reproduces its golden bars"


def _disk(app: App) -> str:
    free = shutil.disk_usage(app.settings.home).free
    if free < _LEAST_FREE_BYTES:
        raise LockstepError(
            f"{free / 1024**3:.1f} GiB free at {app.settings.home}",
            why="the lake and the database stop when the disk is full",
            remedy="free at least 2 GiB",
        )
    return f"{free / 1024**3:.0f} GiB free"
