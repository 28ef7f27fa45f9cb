"""Which times has a source already answered for?

A venue that has no bar for a minute answers with nothing, which looks exactly like not having been asked. So every
answered window is kept, per symbol, kind, timeframe and source, as one multirange of half-open ``[start, end)`` ms:
a hole inside is missing at the source, one outside was never fetched. Windows are only ever added; neighbours join.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, Engine, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from market.spans import Span

__all__ = ["FetchedWindow", "fetched_many", "mark_many", "read_fetched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedWindow:
    """``[start_ms, end_ms)`` of one symbol and kind at one source."""

    symbol: str
    kind: str
    timeframe: str
    source: str
    start_ms: int
    end_ms: int


_TEXTS = ("symbols", "kinds", "timeframes", "sources")
_BIGINTS = ("starts", "ends")
_ARRAYS = [bindparam(name, type_=ARRAY(Text)) for name in _TEXTS] + [
    bindparam(name, type_=ARRAY(BigInteger)) for name in _BIGINTS
]

# Sorted, so that two processes lock the rows they share in the same order.
_MARK = text(
    """
    INSERT INTO fetched_windows (symbol, kind, timeframe, source, windows)
    SELECT symbol, kind, timeframe, source, range_agg(int8range(start_ms, end_ms))
    FROM unnest(:symbols, :kinds, :timeframes, :sources, :starts, :ends)
        AS answered (symbol, kind, timeframe, source, start_ms, end_ms)
    GROUP BY symbol, kind, timeframe, source
    ORDER BY symbol, kind, timeframe, source
    ON CONFLICT (symbol, kind, timeframe, source) DO UPDATE
    SET windows = fetched_windows.windows + excluded.windows, updated_at = now()
    WHERE NOT fetched_windows.windows @> excluded.windows
    """
).bindparams(*_ARRAYS)

_FETCHED = text(
    """
    SELECT symbol, lower(part) AS start_ms, upper(part) AS end_ms
    FROM (
        SELECT symbol, range_agg(windows) AS windows
        FROM fetched_windows
        WHERE symbol = ANY (:symbols) AND kind = :kind AND timeframe = :timeframe
            AND (CAST(:source AS text) IS NULL OR source = :source)
        GROUP BY symbol
    ) AS held
    CROSS JOIN LATERAL unnest(held.windows) AS part
    ORDER BY symbol, lower(part)
    """
).bindparams(bindparam("symbols", type_=ARRAY(Text)))


def mark_many(engine: Engine, windows: Sequence[FetchedWindow]) -> None:
    """Remember many answered windows in one statement; the same symbol may come several times."""
    answered = [one for one in windows if one.start_ms < one.end_ms]
    if answered:
        with engine.begin() as connection:
            connection.execute(_MARK, _arrays(answered))


def fetched_many(
    engine: Engine, *, symbols: Sequence[str], kind: str, timeframe: str, source: str | None = None
) -> dict[str, tuple[Span, ...]]:
    """Per symbol the windows answered for, oldest first and disjoint; of all sources together where it is None."""
    with engine.connect() as connection:
        return read_fetched(connection, symbols=symbols, kind=kind, timeframe=timeframe, source=source)


def read_fetched(
    connection: Connection, *, symbols: Sequence[str], kind: str, timeframe: str, source: str | None = None
) -> dict[str, tuple[Span, ...]]:
    """``fetched_many`` inside a transaction that is already open."""
    found: dict[str, list[Span]] = {symbol: [] for symbol in symbols}
    asked = {"symbols": list(found), "kind": str(kind), "timeframe": timeframe, "source": source}
    for row in connection.execute(_FETCHED, asked):
        found[row.symbol].append((row.start_ms, row.end_ms))
    return {symbol: tuple(parts) for symbol, parts in found.items()}


def _arrays(windows: Sequence[FetchedWindow]) -> dict[str, list[str] | list[int]]:
    return {
        "symbols": [one.symbol for one in windows],
        "kinds": [str(one.kind) for one in windows],
        "timeframes": [one.timeframe for one in windows],
        "sources": [one.source for one in windows],
        "starts": [one.start_ms for one in windows],
        "ends": [one.end_ms for one in windows],
    }
