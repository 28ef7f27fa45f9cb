"""Which calls does one request take, and what do their answers mean?

A window of time is cut into pages that cannot hold more rows than the venue returns, so pages are independent and may
run side by side. Funding settles at most once an hour; a page that comes back full all the same is cut in two and asked
again. Candles that still form at the venue's own time are dropped, and so is whatever lies outside the page.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps, check_open_interest
from infra.sources.exchange_client import ExchangeClient
from infra.sources.protocol import FetchRequest, Kind, MarketValues
from market.candles import Candles, check_candles
from market.errors import MarketError
from market.funding import FundingStamps, check_funding
from market.timeframe import DAY_MS, HOUR_MS

__all__ = ["fetch_values", "page_windows"]

_LIMITS = {
    "binanceusdm": {Kind.CANDLES: 1000, Kind.FUNDING: 1000, Kind.OPEN_INTEREST: 500},
    "bybit": {Kind.CANDLES: 1000, Kind.FUNDING: 200, Kind.OPEN_INTEREST: 200},
}
_OPEN_INTEREST_DAYS = {"binanceusdm": 30}  # the venue forgets older open interest
_Row = tuple[float, ...]


def page_windows(start_ms: int, end_ms: int, *, step_ms: int, rows: int) -> list[tuple[int, int]]:
    """``[start_ms, end_ms)`` cut into half-open pages of at most ``rows`` steps."""
    width = step_ms * rows
    return [(lo, min(lo + width, end_ms)) for lo in range(start_ms, end_ms, width)]


async def fetch_values(
    client: ExchangeClient, request: FetchRequest, *, now_ms: int, on_page: Callable[[int, int], None]
) -> MarketValues:
    """All rows of one request as checked values, possibly none. ``on_page(done, of)`` is called after each page.

    ``now_ms`` is the venue's time: bars that close (plus the settle delay) after it are not closed.
    """
    step, rows = _paging(client, request)
    start, end = _reach(client, request, now_ms=now_ms)
    windows = page_windows(start, end, step_ms=step, rows=rows)
    market = client.market(request.symbol)
    done = 0

    async def page(lo: int, hi: int) -> list[_Row]:
        nonlocal done
        found = await _page(client, request, market, lo, hi)
        done += 1
        on_page(done, len(windows))
        return found

    pages = await _all_or_first_error([page(lo, hi) for lo, hi in windows])
    return _values(client, request, [row for found in pages for row in found])


async def _all_or_first_error(pages: list[Any]) -> list[list[_Row]]:
    """Run pages side by side; after one failure cancel the rest and raise that failure alone."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(page) for page in pages]
    except* SourceError as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _paging(client: ExchangeClient, request: FetchRequest) -> tuple[int, int]:
    limit = _LIMITS[client.options.exchange][request.kind]
    if request.kind is Kind.CANDLES:
        return request.timeframe.ms, limit
    return (HOUR_MS if request.kind is Kind.FUNDING else request.timeframe.ms), limit - 1


def _reach(client: ExchangeClient, request: FetchRequest, *, now_ms: int) -> tuple[int, int]:
    """The part of the window that exists and, for candles, is closed; empty windows have start = end."""
    step = request.timeframe.ms
    start, end = request.start_ms, min(request.end_ms, now_ms + 1)
    if request.kind is Kind.CANDLES:
        start = -(-start // step) * step
        end = min(-(-request.end_ms // step) * step, (now_ms - client.options.settle_delay_ms) // step * step)
    if request.kind is Kind.OPEN_INTEREST and client.options.exchange in _OPEN_INTEREST_DAYS:
        oldest = now_ms - _OPEN_INTEREST_DAYS[client.options.exchange] * DAY_MS + HOUR_MS
        start = max(start, -(-oldest // step) * step)
    return start, max(start, end)


async def _page(client: ExchangeClient, request: FetchRequest, market: str, lo: int, hi: int) -> list[_Row]:
    limit = _LIMITS[client.options.exchange][request.kind]
    raw = await client.call(f"{request.symbol} {request.kind}", _ask(client, request, market, lo, hi, limit))
    rows = [row for row in (_row(request.kind, item) for item in raw or ()) if lo <= row[0] < hi]
    if request.kind is not Kind.CANDLES and len(raw or ()) >= limit and hi - lo > 2:
        middle = (lo + hi) // 2
        left = await _page(client, request, market, lo, middle)
        return left + await _page(client, request, market, middle, hi)
    return rows


def _ask(
    client: ExchangeClient, request: FetchRequest, market: str, lo: int, hi: int, limit: int
) -> Callable[[], Awaitable[Any]]:
    api, name, window = client.api, request.timeframe.name, {"until": hi - 1}
    if request.kind is Kind.CANDLES:
        return lambda: api.fetch_ohlcv(market, name, lo, limit, window)
    if request.kind is Kind.FUNDING:
        return lambda: api.fetch_funding_rate_history(market, lo, limit, window)
    return lambda: api.fetch_open_interest_history(market, name, lo, limit, window)


def _row(kind: Kind, item: Any) -> _Row:
    if kind is Kind.CANDLES:
        return tuple(np.nan if value is None else float(value) for value in item[:6])
    value = item["fundingRate"] if kind is Kind.FUNDING else item["openInterestAmount"]
    return float(item["timestamp"]), np.nan if value is None else float(value)


def _values(client: ExchangeClient, request: FetchRequest, rows: list[_Row]) -> MarketValues:
    width = 6 if request.kind is Kind.CANDLES else 2
    table = np.array(sorted(rows), dtype=np.float64).reshape(-1, width)
    time = table[:, 0].astype(np.int64)
    try:
        return _checked(request, time, table)
    except (MarketError, SourceError) as error:
        raise SourceError(
            f"{client.options.exchange} answered with {error.what}",
            why=error.why,
            remedy="ask again later, or another venue",
        ) from error


def _checked(request: FetchRequest, time: Any, table: Any) -> MarketValues:
    if request.kind is Kind.FUNDING:
        funding = FundingStamps(symbol=request.symbol, time=time, rate=table[:, 1].copy())
        check_funding(funding)
        return funding
    if request.kind is Kind.OPEN_INTEREST:
        held = OpenInterestStamps(symbol=request.symbol, time=time, value=table[:, 1].copy())
        check_open_interest(held)
        return held
    names = ("open", "high", "low", "close", "volume")
    columns = {name: table[:, k].copy() for k, name in enumerate(names, start=1)}
    candles = Candles(symbol=request.symbol, timeframe=request.timeframe, open_time=time, **columns)
    if len(candles):
        check_candles(candles)
    return candles
