"""Which call of which venue answers for a page, and what do its rows mean?

ccxt's plain calls are used, not its unified ones: those cut, filter and re-parse pages, and one page of candles costs
them three times the work. Every number is read as ``float`` reads the venue's own text. Rows come back sorted; a row
sent twice counts once; two rows that contradict each other, or rows that cannot be read, are a bad answer, to be asked
for again.

Mark prices are asked for as hourly candles, which venues name by their open, and are told by their close, at which they
are known. Takers' buys come in the tenth column of Binance's candles; Bybit tells none.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import SourceError
from infra.sources.protocol import Kind
from market.timeframe import HOUR_MS, Timeframe

__all__ = ["OPEN_INTEREST_PERIODS", "Answer", "ask_page", "page_cost", "page_rows", "page_step_ms", "page_width"]

# Binance counts 2 for up to 499 bars and 5 for up to 1000: 499 bring the most bars for their weight.
_ROWS = {
    "binanceusdm": {Kind.CANDLES: 499, Kind.FUNDING: 1000, Kind.OPEN_INTEREST: 500, Kind.MARK: 499},
    "bybit": {Kind.CANDLES: 1000, Kind.FUNDING: 200, Kind.OPEN_INTEREST: 200, Kind.MARK: 1000},
}
_COLUMNS: dict[tuple[str, Kind], tuple[int, ...] | tuple[str, ...]] = {
    ("binanceusdm", Kind.CANDLES): (0, 1, 2, 3, 4, 5, 9),
    ("bybit", Kind.CANDLES): (0, 1, 2, 3, 4, 5),
    ("binanceusdm", Kind.MARK): (0, 4),
    ("bybit", Kind.MARK): (0, 4),
    ("binanceusdm", Kind.FUNDING): ("fundingTime", "fundingRate"),
    ("binanceusdm", Kind.OPEN_INTEREST): ("timestamp", "sumOpenInterest"),
    ("bybit", Kind.FUNDING): ("fundingRateTimestamp", "fundingRate"),
    ("bybit", Kind.OPEN_INTEREST): ("timestamp", "openInterest"),
}
_FUNDING_STEP_MS = 4 * HOUR_MS  # as most settle; a page that overflows is cut in two
OPEN_INTEREST_PERIODS = ("5m", "15m", "30m", "1h", "4h", "1d")
"""Those that every venue spoken here offers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """A page: ``table`` ``(n, page_width) float64`` (time first, oldest first, no time twice), and ``rows`` as sent."""

    table: NDArray[np.float64]
    rows: int


def page_rows(exchange: str, kind: Kind) -> int:
    """The most rows one call brings; ``SourceError`` for a kind that no call brings."""
    if kind not in _ROWS[exchange]:
        raise SourceError(
            f"{exchange} was asked for {kind} alone",
            why="a venue tells it with its candles or not at all",
            remedy="ask for candles; what the venue tells of it comes with them",
        )
    return _ROWS[exchange][kind]


def page_width(exchange: str, kind: Kind) -> int:
    """Columns of a page: time and value of stamps; of bars time, prices, volume and, where told, takers' buys."""
    return len(_COLUMNS[exchange, kind])


def page_step_ms(kind: Kind, timeframe: Timeframe) -> int:
    """The time that one row of a page is expected to cover."""
    return _FUNDING_STEP_MS if kind is Kind.FUNDING else timeframe.ms


def page_cost(exchange: str, kind: Kind, rows: int) -> int:
    """What a call costs of the venue's limit."""
    if exchange == "bybit" or kind not in (Kind.CANDLES, Kind.MARK):
        return 1
    return 1 if rows < 100 else 2 if rows < 500 else 5


def ask_page(
    api: Any, market_id: str, kind: Kind, timeframe: Timeframe, *, lo_ms: int, hi_ms: int, rows: int
) -> Callable[[], Awaitable[Answer]]:
    """The call for at most ``rows`` rows with times in ``[lo_ms, hi_ms)``; each await asks anew."""
    request = _bybit if api.id == "bybit" else _binance
    if kind is Kind.MARK:
        lo_ms, hi_ms = lo_ms - timeframe.ms, hi_ms - timeframe.ms
    method, params = request(api, market_id, kind, timeframe, lo_ms, hi_ms - 1, rows)

    async def ask() -> Answer:
        answer = _read(api.id, kind, await getattr(api, method)(params))
        if kind is Kind.MARK:
            answer.table[:, 0] += timeframe.ms
        return answer

    return ask


def _binance(
    api: Any, market_id: str, kind: Kind, timeframe: Timeframe, start: int, end: int, rows: int
) -> tuple[str, dict[str, Any]]:
    params = {"symbol": market_id, "startTime": start, "endTime": end, "limit": rows}
    if kind in (Kind.CANDLES, Kind.MARK):
        method = "fapiPublicGetKlines" if kind is Kind.CANDLES else "fapiPublicGetMarkPriceKlines"
        return method, params | {"interval": _interval(api, timeframe)}
    if kind is Kind.FUNDING:
        return "fapiPublicGetFundingRate", params
    return "fapiDataGetOpenInterestHist", params | {"period": _period(api, timeframe)}


def _bybit(
    api: Any, market_id: str, kind: Kind, timeframe: Timeframe, start: int, end: int, rows: int
) -> tuple[str, dict[str, Any]]:
    params = {"category": "linear", "symbol": market_id, "limit": rows}
    if kind in (Kind.CANDLES, Kind.MARK):
        method = "publicGetV5MarketKline" if kind is Kind.CANDLES else "publicGetV5MarketMarkPriceKline"
        return method, params | {"interval": _interval(api, timeframe), "start": start, "end": end}
    params |= {"startTime": start, "endTime": end}
    if kind is Kind.FUNDING:
        return "publicGetV5MarketFundingHistory", params
    return "publicGetV5MarketOpenInterest", params | {"intervalTime": _period(api, timeframe)}


def _interval(api: Any, timeframe: Timeframe) -> str:
    if timeframe.name not in api.timeframes:
        raise SourceError(
            f"{api.id} has no {timeframe.name} candles",
            why="bars of another length would not be what was asked for",
            remedy=f"use one of {', '.join(api.timeframes)}",
        )
    return str(api.timeframes[timeframe.name])


def _period(api: Any, timeframe: Timeframe) -> str:
    if timeframe.name not in OPEN_INTEREST_PERIODS:
        raise SourceError(
            f"{api.id} has no open interest every {timeframe.name}",
            why="states measured at other times would not be what was asked for",
            remedy=f"use one of {', '.join(OPEN_INTEREST_PERIODS)}",
        )
    return str(api.options["intervals"][timeframe.name]) if api.id == "bybit" else timeframe.name


def _read(exchange: str, kind: Kind, answer: Any) -> Answer:
    import ccxt

    try:
        rows = answer["result"]["list"] if exchange == "bybit" else answer
        table = _table(rows, _COLUMNS[exchange, kind])
    except (LookupError, OverflowError, TypeError, ValueError) as error:
        raise ccxt.BadResponse(f"rows that cannot be read: {type(error).__name__} {error}") from error
    table = table[np.argsort(table[:, 0], kind="stable")]
    twice = np.flatnonzero(np.diff(table[:, 0]) == 0)
    if not np.array_equal(table[twice], table[twice + 1]):
        raise ccxt.BadResponse("rows of one time that contradict each other")
    return Answer(table=np.delete(table, twice, axis=0) if twice.size else table, rows=len(rows))


def _table(rows: Any, columns: tuple[int, ...] | tuple[str, ...]) -> NDArray[np.float64]:
    if not isinstance(rows, list):
        raise TypeError(f"{type(rows).__name__} in place of a list")
    take = itemgetter(*columns)
    table = np.array([take(row) for row in rows], dtype=np.float64).reshape(-1, len(columns))
    if not np.isfinite(table[:, 0]).all():
        raise ValueError("a row without its time")
    return table
