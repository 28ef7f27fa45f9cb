"""Which market does a demo run on, and what must the home remember of that?

The choice is written into the home's settings file, so that every later command in the home works on the same symbols,
reference market and registered model. A home can hold a synthetic and a real market: their symbols and models have
different names and never mix.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings, load_settings, write_home_settings
from infra.settings_groups import FeatureSettings
from infra.sources.files import FileSource
from infra.sources.synthetic import synthetic_symbols
from infra.versions import check_versions
from market.errors import LockstepError
from market.symbols import is_synthetic
from market.timeframe import DAY_MS
from tasks.plan import plan_stretches, timeframe_of
from tasks.symbols import SYNTHETIC_START_MS, file_symbols

__all__ = ["DemoPlan", "plan_demo"]

SYNTHETIC_SUFFIX = "-synthetic"
_SYNTHETIC_DAYS = 90
_SYNTHETIC_COUNT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """Symbols to bring in (the reference market among them) and the window, None where the source decides."""

    symbols: tuple[str, ...]
    folder: str | None
    days: int
    start_ms: int | None
    end_ms: int | None


def plan_demo(home: Path, *, files: Path | None, symbols: tuple[str, ...], days: int | None) -> DemoPlan:
    """Check what was asked for and that it is enough, remember it in the home, and say what to bring in."""
    check_versions()
    settings = load_settings(home, environ=os.environ)
    model = settings.registry.model_name.removesuffix(SYNTHETIC_SUFFIX)
    if files is None:
        return _synthetic(settings, model, symbols=symbols, days=days or _SYNTHETIC_DAYS)
    return _from_files(settings, model, folder=files, symbols=symbols, days=days or settings.data.history_days)


def _synthetic(settings: Settings, model: str, *, symbols: tuple[str, ...], days: int) -> DemoPlan:
    known = synthetic_symbols(_SYNTHETIC_COUNT)
    unknown = [name for name in symbols if name not in known]
    if unknown:
        raise LockstepError(
            f"{unknown[0]} is no symbol of the synthetic market",
            why="without --files the demo runs on the synthetic market",
            remedy=f"choose from {', '.join(known)}, or give --files",
        )
    chosen = symbols or known
    first = timeframe_of(settings).index_of(SYNTHETIC_START_MS)
    plan_stretches(first=first, end=first + days * timeframe_of(settings).bars_per_day, settings=settings)
    _remember(settings, model + SYNTHETIC_SUFFIX, symbols=chosen, reference=known[0])
    needed = tuple(dict.fromkeys((*chosen, known[0])))
    return DemoPlan(symbols=needed, folder=None, days=days, start_ms=None, end_ms=None)


def _from_files(settings: Settings, model: str, *, folder: Path, symbols: tuple[str, ...], days: int) -> DemoPlan:
    timeframe = timeframe_of(settings)
    source = FileSource(folder)
    chosen = file_symbols(str(folder), timeframe=timeframe, wanted=symbols)
    reference = settings.features.reference_symbol
    if is_synthetic(reference):  # left there by a demo on the synthetic market
        reference = FeatureSettings().reference_symbol
    held = source.symbols(timeframe)
    if reference not in held:
        raise LockstepError(
            f"{folder} holds no {timeframe.name} candles of {reference}",
            why="it is the reference market that returns and betas are measured against",
            remedy="add its file, or name another one with LOCKSTEP_FEATURES__REFERENCE_SYMBOL",
        )
    needed = tuple(dict.fromkeys((*chosen, reference)))
    times = [source.history(name, timeframe).candles.open_time for name in needed]
    end_ms = max(int(one[-1]) for one in times) + timeframe.ms
    start_ms = end_ms - days * DAY_MS
    first = timeframe.index_of(max(start_ms, min(int(one[0]) for one in times)))
    plan_stretches(first=first, end=timeframe.index_of(end_ms), settings=settings)
    _remember(settings, model, symbols=chosen, reference=reference)
    return DemoPlan(symbols=needed, folder=str(folder.absolute()), days=days, start_ms=start_ms, end_ms=end_ms)


def _remember(settings: Settings, model: str, *, symbols: tuple[str, ...], reference: str) -> None:
    write_home_settings(
        settings,
        {
            "data": {"symbols": list(symbols)},
            "features": {"reference_symbol": reference},
            "registry": {"model_name": model},
        },
    )
