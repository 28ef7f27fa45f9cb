"""How complete is each market in the lake?

Real bars against the grid, from each market's first bar to the newest bar of them all, kept in the table that reports
and gates read. ``measure`` counts bars. After a collection ``renew`` need not read them again: the open gaps of the
ledger are the holes of the lake, and where that does not agree with what was counted before, it counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from infra.bootstrap import App, open_app
from infra.coverage import measure_coverage
from infra.gaps import Gap
from infra.tables import coverage
from market.errors import LockstepError
from market.timeframe import Timeframe
from tasks.plan import timeframe_of

__all__ = ["measure", "renew"]

_CANDLES = "candles"
Row = dict[str, Any]


@task(cache_policy=NO_CACHE)
def measure(home: str, *, symbols: Sequence[str]) -> list[Row]:
    """Count and store the coverage of each symbol from its first bar to the newest bar of them all."""
    with open_app(home) as app:
        timeframe = timeframe_of(app.settings)
        newest = max((app.lake.watermark(symbol, timeframe) or 0 for symbol in symbols), default=0)
        return _stored(app, [_counted(app, symbol, timeframe, end_ms=newest + timeframe.ms) for symbol in symbols])


def renew(app: App, *, symbols: Sequence[str], gaps: Sequence[Gap], source: str, since_ms: int) -> list[Row]:
    """The coverage of symbols the lake holds, once ``source`` was asked for bars from ``since_ms`` on.

    ``gaps`` are those the ledger holds open after that.
    """
    timeframe = timeframe_of(app.settings)
    marks = {symbol: app.lake.watermark(symbol, timeframe) or 0 for symbol in symbols}
    end_ms = max(marks.values(), default=0) + timeframe.ms
    before = _rows(app, symbols, timeframe)
    rows = []
    for symbol, mark in marks.items():
        stored = before.get(symbol)
        own = [gap for gap in gaps if gap.symbol == symbol]
        moved = None
        if stored is not None and stored["first_ms"] <= since_ms and source in stored["source"].split(","):
            moved = _moved_on(stored, own, last_ms=mark, end_ms=end_ms, step=timeframe.ms)
        rows.append(moved or _counted(app, symbol, timeframe, end_ms=end_ms))
    return _stored(app, rows)


def _moved_on(stored: Row, gaps: Sequence[Gap], *, last_ms: int, end_ms: int, step: int) -> Row | None:
    """The stored row at a later end; None where the ledger cannot have been complete when it was counted."""
    first = stored["first_ms"]

    def lacking(last_ms: int, end_ms: int) -> int:
        inside = sum(gap.bars for gap in gaps if first <= gap.first_ms and gap.last_ms <= last_ms)
        return inside + (end_ms - last_ms) // step - 1

    counted_to = first + (stored["rows"] + stored["missing"]) * step
    if last_ms < stored["last_ms"] or lacking(stored["last_ms"], counted_to) != stored["missing"]:
        return None
    expected = (end_ms - first) // step
    missing = lacking(last_ms, end_ms)
    share = (expected - missing) / expected
    return {**stored, "last_ms": last_ms, "rows": expected - missing, "missing": missing, "coverage": share}


def _counted(app: App, symbol: str, timeframe: Timeframe, *, end_ms: int) -> Row:
    found = measure_coverage(app.lake.candles(symbol, timeframe), end_ms=end_ms)
    if found.first_ms is None or found.last_ms is None:
        raise LockstepError(
            f"{symbol}: no {timeframe.name} candles in the lake",
            why="its coverage cannot be measured",
            remedy=f"backfill {symbol} or leave it out",
        )
    return {
        "symbol": symbol,
        "kind": _CANDLES,
        "timeframe": timeframe.name,
        "first_ms": found.first_ms,
        "last_ms": found.last_ms,
        "rows": found.rows,
        "missing": found.missing,
        "coverage": found.share,
        "source": ",".join(app.lake.sources(symbol, timeframe)),
    }


def _rows(app: App, symbols: Sequence[str], timeframe: Timeframe) -> Mapping[str, Row]:
    columns = [column for column in coverage.c if column.name != "updated_at"]
    wanted = select(*columns).where(
        coverage.c.kind == _CANDLES, coverage.c.timeframe == timeframe.name, coverage.c.symbol.in_(symbols)
    )
    with app.engine.connect() as connection:
        return {row["symbol"]: dict(row) for row in connection.execute(wanted).mappings()}


def _stored(app: App, rows: list[Row]) -> list[Row]:
    if not rows:
        return rows
    statement = insert(coverage).values(rows)
    keys = {column.name for column in coverage.primary_key}
    changed: Row = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    changed["updated_at"] = func.now()
    with app.engine.begin() as connection:
        connection.execute(statement.on_conflict_do_update(index_elements=coverage.primary_key, set_=changed))
    return rows
