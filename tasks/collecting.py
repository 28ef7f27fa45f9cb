"""How do bars get into the lake from files and from the synthetic market?

What a source hands over is checked and appended; what is already there is not written twice. Nothing is filled, sorted
or repaired on the way. What files hold counts as answered for between their first and their last row: a collection does
not ask a venue for it again, and what they lack in between is a gap.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.fetched_windows import FetchedWindow, mark_many
from infra.gaps import scan_gaps
from infra.lake import Lake
from infra.locks import exclusive
from infra.sources.cutting import between, times_of
from infra.sources.files import FileSource
from infra.sources.protocol import FetchRequest, Kind, MarketValues, Source
from infra.sources.synthetic import SyntheticSource
from market.timeframe import DAY_MS, Timeframe
from tasks.fetch_plan import period_of
from tasks.market_values import append
from tasks.plan import timeframe_of
from tasks.progress import report
from tasks.symbols import SYNTHETIC_START_MS, check_files, file_symbols

__all__ = ["backfill_files", "backfill_synthetic", "fetch_into_lake"]


@task(cache_policy=NO_CACHE)
def backfill_files(
    home: str,
    folder: str,
    *,
    symbols: Sequence[str] | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> dict[str, Any]:
    """Append what files hold of ``symbols`` (none: of all) in ``[start_ms, end_ms)``; every file is checked first."""
    with open_app(home) as app, exclusive(app.engine, "backfill"):
        timeframe = timeframe_of(app.settings)
        source = FileSource(Path(folder))
        chosen = file_symbols(folder, timeframe=timeframe, wanted=symbols or ())
        check_files(folder, timeframe=timeframe, symbols=chosen)
        rows = 0
        for done, symbol in enumerate(chosen):
            report("backfill files", done, len(chosen), note=symbol)
            rows += _bring(app, source, symbol, timeframe, start_ms, end_ms)
        report("backfill files", len(chosen), len(chosen))
        return {"source": source.name, "symbols": list(chosen), "new_rows": rows}


@task(cache_policy=NO_CACHE)
def backfill_synthetic(home: str, *, symbols: Sequence[str], days: int, seed: int) -> dict[str, Any]:
    """Append ``days`` days of the seeded synthetic market; its rows are tagged synthetic for ever."""
    with open_app(home) as app:
        source = SyntheticSource(start_ms=SYNTHETIC_START_MS, seed=seed)
        rows = 0
        for done, symbol in enumerate(symbols):
            report("synthetic market", done, len(symbols), note=symbol)
            rows += fetch_into_lake(
                app.lake,
                source,
                symbol,
                timeframe_of(app.settings),
                start_ms=SYNTHETIC_START_MS,
                end_ms=SYNTHETIC_START_MS + days * DAY_MS,
            )
        report("synthetic market", len(symbols), len(symbols))
        return {"source": source.name, "symbols": list(symbols), "new_rows": rows}


def fetch_into_lake(
    lake: Lake, source: Source, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int
) -> int:
    """Append all kinds a source holds of one symbol; return the number of new rows, takers' shares not counted."""
    rows = 0
    for kind in Kind:
        request = FetchRequest(symbol=symbol, kind=kind, timeframe=timeframe, start_ms=start_ms, end_ms=end_ms)
        for values in source.fetch(request):
            stored = append(lake, values, source.name)
            rows += stored if kind is not Kind.TAKER else 0
    return rows


def _bring(
    app: App, source: FileSource, symbol: str, timeframe: Timeframe, start_ms: int | None, end_ms: int | None
) -> int:
    """All kinds of one symbol, then that they were answered for, then the gaps that are left."""
    history = source.history(symbol, timeframe)
    bars_from = source.source_of(symbol, timeframe)
    rows = 0
    windows = []
    for kind, values, name in (
        (Kind.CANDLES, history.candles, bars_from),
        (Kind.FUNDING, history.funding, source.name),
        (Kind.OPEN_INTEREST, history.open_interest, source.name),
        (Kind.MARK, history.mark, source.name),
    ):
        if values is not None:
            inside = between(values, start_ms, end_ms)
            rows += append(app.lake, inside, name)
            length = period_of(kind, timeframe)
            windows += _answered(inside, symbol=symbol, kind=kind, source=name, timeframe=length)
    if history.taker is not None:  # not counted: a share is part of what is told of its bar
        append(app.lake, between(history.taker, start_ms, end_ms), bars_from)
    mark_many(app.engine, windows)
    bars = between(history.candles, start_ms, end_ms)
    if times_of(bars).size:
        end, venue = int(times_of(bars)[-1]) + timeframe.ms, app.settings.data.exchange
        # By the venue's answers, as it may have what the files lack.
        scan_gaps(app.engine, app.lake, symbols=[symbol], timeframe=timeframe, end_ms=end, source=venue)
    return rows


def _answered(
    values: MarketValues, *, symbol: str, kind: Kind, source: str, timeframe: Timeframe
) -> list[FetchedWindow]:
    times = times_of(values)
    if times.size == 0:
        return []
    end = int(times[-1]) + (timeframe.ms if kind is Kind.CANDLES else 1)
    return [
        FetchedWindow(
            symbol=symbol,
            kind=kind,
            timeframe=timeframe.name,
            source=source,
            start_ms=int(times[0]),
            end_ms=end,
        )
    ]
