"""How do bars get into the lake, and how complete are they?

Three sources behind one protocol (files, an exchange, the synthetic market). What a source hands over is checked and
appended; what is already there is not written twice. Nothing is filled, sorted or repaired on the way.
"""

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from infra.bootstrap import App, open_app
from infra.coverage import measure_coverage
from infra.lake import Lake
from infra.open_interest import OpenInterestStamps
from infra.sources.files import FileSource
from infra.sources.protocol import FetchRequest, Kind, MarketValues, Source
from infra.sources.synthetic import SyntheticSource
from infra.tables import coverage
from market.candles import Candles
from market.errors import LockstepError
from market.funding import FundingStamps
from market.timeframe import DAY_MS, Timeframe
from tasks.plan import timeframe_of
from tasks.progress import report
from tasks.symbols import SYNTHETIC_START_MS, check_files

__all__ = [
    "append",
    "backfill_files",
    "backfill_synthetic",
    "fetch_into_lake",
    "measure",
]


@task(cache_policy=NO_CACHE)
def backfill_files(
    home: str, folder: str, *, symbols: Sequence[str], start_ms: int | None, end_ms: int | None
) -> dict[str, object]:
    """Append what the folder holds of ``symbols`` in ``[start_ms, end_ms)``; every file is checked first."""
    with open_app(home) as app:
        source, timeframe = FileSource(Path(folder)), timeframe_of(app.settings)
        check_files(folder, timeframe=timeframe, symbols=symbols)
        rows = 0
        for done, symbol in enumerate(symbols):
            report("backfill files", done, len(symbols))
            history = source.history(symbol, timeframe)
            rows += append(app.lake, history.candles.between(start_ms, end_ms), source.name)
            for stamps in (history.funding, history.open_interest):
                if stamps is not None:
                    rows += append(app.lake, _between(stamps, start_ms, end_ms), source.name)
        report("backfill files", len(symbols), len(symbols))
        return {"source": source.name, "symbols": list(symbols), "new_rows": rows}


@task(cache_policy=NO_CACHE)
def backfill_synthetic(home: str, *, symbols: Sequence[str], days: int, seed: int) -> dict[str, object]:
    """Append ``days`` days of the seeded synthetic market; its rows are tagged synthetic for ever."""
    with open_app(home) as app:
        source = SyntheticSource(start_ms=SYNTHETIC_START_MS, seed=seed)
        rows = 0
        for done, symbol in enumerate(symbols):
            report("synthetic market", done, len(symbols))
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


@task(cache_policy=NO_CACHE)
def measure(home: str, *, symbols: Sequence[str]) -> list[dict[str, object]]:
    """Measure and store the coverage of each symbol from its first bar to the newest bar of them all."""
    with open_app(home) as app:
        timeframe = timeframe_of(app.settings)
        newest = max((app.lake.watermark(s, timeframe) or 0 for s in symbols), default=0)
        rows = [_measure_one(app, symbol, timeframe, end_ms=newest + timeframe.ms) for symbol in symbols]
        keys = {column.name for column in coverage.primary_key}
        with app.engine.begin() as connection:
            for row in rows:
                statement = insert(coverage).values(**row)
                changed: dict[str, object] = {name: statement.excluded[name] for name in row if name not in keys}
                changed["updated_at"] = func.now()
                connection.execute(statement.on_conflict_do_update(index_elements=coverage.primary_key, set_=changed))
        return rows


def fetch_into_lake(
    lake: Lake, source: Source, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int
) -> int:
    """Append all kinds a source holds of one symbol; return the number of new rows."""
    rows = 0
    for kind in Kind:
        request = FetchRequest(symbol=symbol, kind=kind, timeframe=timeframe, start_ms=start_ms, end_ms=end_ms)
        for values in source.fetch(request):
            rows += append(lake, values, source.name)
    return rows


def append(lake: Lake, values: MarketValues, source: str) -> int:
    """Append whatever a source handed over; return the number of new rows."""
    if isinstance(values, Candles):
        return lake.append_candles(values, source=source)
    if isinstance(values, FundingStamps):
        return lake.append_funding(values, source=source)
    return lake.append_open_interest(values.symbol, values.time, values.value, source=source)


def _between(
    stamps: FundingStamps | OpenInterestStamps, start_ms: int | None, end_ms: int | None
) -> FundingStamps | OpenInterestStamps:
    inside = (stamps.time >= (start_ms or 0)) & (stamps.time < (end_ms or 2**62))
    if isinstance(stamps, FundingStamps):
        return FundingStamps(symbol=stamps.symbol, time=stamps.time[inside], rate=stamps.rate[inside])
    return OpenInterestStamps(symbol=stamps.symbol, time=stamps.time[inside], value=stamps.value[inside])


def _measure_one(app: App, symbol: str, timeframe: Timeframe, *, end_ms: int) -> dict[str, object]:
    found = measure_coverage(app.lake.candles(symbol, timeframe), end_ms=end_ms)
    if found.first_ms is None or found.last_ms is None:
        raise LockstepError(
            f"{symbol}: no {timeframe.name} candles in the lake",
            why="its coverage cannot be measured",
            remedy=f"backfill {symbol} or leave it out",
        )
    return {
        "symbol": symbol,
        "kind": "candles",
        "timeframe": timeframe.name,
        "first_ms": found.first_ms,
        "last_ms": found.last_ms,
        "rows": found.rows,
        "missing": found.missing,
        "coverage": found.share,
        "source": ",".join(app.lake.sources(symbol, timeframe)),
    }
