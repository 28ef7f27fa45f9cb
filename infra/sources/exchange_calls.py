"""Which call of which venue answers for a page, and what do its rows mean?

ccxt's plain calls are used, not its unified ones: those cut, filter and re-parse pages, and one page of candles costs
them three times the work. Every number is read as ``float`` reads the venue's own text. Rows come back sorted; a row
sent twice counts once; two rows that contradict each other, or rows that cannot be read, are a bad answer, to be asked
for again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import SourceError
from infra.sources.protocol import Kind
from market.timeframe import HOUR_MS, Timeframe

__all__ = ["OPEN_INTEREST_PERIODS", "Answer", "ask_page", "page_cost", "page_rows", "page_step_ms"]

# Binance counts 2 for up to 499 bars and 5 for up to 1000: 499 bring the most bars for their weight.
_ROWS = {
    "binanceusdm": {Kind.CANDLES: 499, Kind.FUNDING: 1000, Kind.OPEN_INTEREST: 500},
    "bybit": {Kind.CANDLES: 1000, Kind.FUNDING: 200, Kind.OPEN_INTEREST: 200},
}
_FIELDS = {
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
    """A page: ``table`` ``(n, 6 or 2) float64`` (time first, oldest first, no time twice), and ``rows`` as sent."""

    table: NDArray[np.float64]
    rows: int


def page_rows(exchange: str, kind: Kind) -> int:
    """The most rows one call brings."""
    return _ROWS[exchange][kind]


def page_step_ms(kind: Kind, timeframe: Timeframe) -> int:
    """The time that one row of a page is expected to cover."""
    return _FUNDING_STEP_MS if kind is Kind.FUNDING else timeframe.ms


def page_cost(exchange: str, kind: Kind, rows: int) -> int:
    """What a call costs of the venue's limit."""
    if exchange == "bybit" or kind is not Kind.CANDLES:
        return 1
    return 1 if rows < 100 else 2 if rows < 500 else 5


def ask_page(
    api: Any, market_id: str, kind: Kind, timeframe: Timeframe, *, lo_ms: int, hi_ms: int, rows: int
) -> Callable[[], Awaitable[Answer]]:
    """The call for at most ``rows`` rows with times in ``[lo_ms, hi_ms)``; each await asks anew."""
    request = _bybit if api.id == "bybit" else _binance
    method, params = request(api, market_id, kind, timeframe, lo_ms, hi_ms - 1, rows)

    async def ask() -> Answer:
        return _read(api.id, kind, await getattr(api, method)(params))

    return ask


def _binance(
    api: Any, market_id: str, kind: Kind, timeframe: Timeframe, start: int, end: int, rows: int
) -> tuple[str, dict[str, Any]]:
    params = {"symbol": market_id, "startTime": start, "endTime": end, "limit": rows}
    if kind is Kind.CANDLES:
        return "fapiPublicGetKlines", params | {"interval": _interval(api, timeframe)}
    if kind is Kind.FUNDING:
        return "fapiPublicGetFundingRate", params
    return "fapiDataGetOpenInterestHist", params | {"period": _period(api, timeframe)}


def _bybit(
    api: Any, market_id: str, kind: Kind, timeframe: Timeframe, start: int, end: int, rows: int
) -> tuple[str, dict[str, Any]]:
    params = {"category": "linear", "symbol": market_id, "limit": rows}
    if kind is Kind.CANDLES:
        return "publicGetV5MarketKline", params | {"interval": _interval(api, timeframe), "start": start, "end": end}
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
        table = _table(rows, _FIELDS.get((exchange, kind)))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise ccxt.BadResponse(f"rows that cannot be read: {type(error).__name__} {error}") from error
    table = table[np.argsort(table[:, 0], kind="stable")]
    twice = np.flatnonzero(np.diff(table[:, 0]) == 0)
    if not np.array_equal(table[twice], table[twice + 1]):
        raise ccxt.BadResponse("rows of one time that contradict each other")
    return Answer(table=np.delete(table, twice, axis=0) if twice.size else table, rows=len(rows))


def _table(rows: Any, fields: tuple[str, str] | None) -> NDArray[np.float64]:
    if not isinstance(rows, list):
        raise TypeError(f"{type(rows).__name__} in place of a list")
    if fields is None:
        table = np.array([row[:6] for row in rows], dtype=np.float64).reshape(-1, 6)
    else:
        time, value = fields
        table = np.array([(row[time], row[value]) for row in rows], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(table[:, 0]).all():
        raise ValueError("a row without its time")
    return table
