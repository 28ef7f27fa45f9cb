"""Which calls does one request take, and what has the venue answered for?

A window of time is cut into pages that cannot hold more rows than the venue returns, so pages are independent and may
run side by side; a page of stamps that comes back full all the same is cut in two and asked again. Candles, and mark
prices, that are missing within their pages are asked for once more after the rest: what is still missing then is
missing at the venue.
Rows outside their page are dropped, and so are bars that still form. Nothing is filled. Where the venue's candles tell
what takers bought, takers' shares come with them, without a call of their own.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps, check_open_interest
from infra.sources.exchange_calls import Answer, ask_page, page_cost, page_rows, page_step_ms, page_width
from infra.sources.exchange_client import ExchangeClient
from infra.sources.protocol import FetchRequest, Kind, MarketValues
from market.basis import MarkStamps, check_mark
from market.candles import Candles, check_candles
from market.errors import MarketError
from market.funding import FundingStamps, check_funding
from market.spans import next_on_grid
from market.taker_flow import TakerShares, taker_shares
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = ["Fetched", "Moment", "Reach", "fetch_values", "page_windows", "reach_of", "side_by_side"]

# The oldest markets have bars from weeks before the date that the venue gives for their listing.
_DATED_WELL_SINCE_MS = 1_609_459_200_000  # 2021-01-01
_LISTED_EARLIER_MS = 31 * DAY_MS

_BARS = (Kind.CANDLES, Kind.MARK)  # a row for each step of the grid, and never two
_BAR_COLUMNS = len(("time", "open", "high", "low", "close", "volume"))
_OPEN_INTEREST_DAYS = {"binanceusdm": 30}  # the venue forgets older open interest
_Table = NDArray[np.float64]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When it is (ms UTC): ``now_ms`` by the slower of the venue's clock and ours, ``venue_ms`` by the venue's."""

    now_ms: int
    venue_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """``[start_ms, end_ms)`` is what is asked for of a request, ``answered`` what its answer is final for."""

    start_ms: int
    end_ms: int
    answered: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fetched:
    """All rows of one request, the takers' shares that came with its candles, and the window they are final for."""

    values: MarketValues
    taker: TakerShares | None
    answered: tuple[int, int]


def page_windows(start_ms: int, end_ms: int, *, step_ms: int, rows: int) -> list[tuple[int, int]]:
    """``[start_ms, end_ms)`` cut into half-open pages of at most ``rows`` steps."""
    width = step_ms * rows
    return [(lo, min(lo + width, end_ms)) for lo in range(start_ms, end_ms, width)]


def reach_of(
    request: FetchRequest, *, exchange: str, listed_ms: int | None, moment: Moment, settle_delay_ms: int
) -> Reach:
    """The part of the window that exists and, for candles, is closed; an empty one has start = end.

    Before its listing a market has no data: that is answered for without asking. A venue that forgets open interest
    answers from where its memory begins. The newest minute of funding, and the newest period of open interest, are
    fetched where the venue has them but not answered for, as it may publish them late. A mark price exists
    once its hour has closed.
    """
    step = request.timeframe.ms
    start, now = request.start_ms, moment.now_ms
    end, final = min(request.end_ms, now + 1), now - MINUTE_MS
    if request.kind is Kind.CANDLES:
        final = (now - settle_delay_ms) // step * step
        start, end = next_on_grid(start, step), min(next_on_grid(request.end_ms, step), final)
    answered = request.start_ms
    if request.kind is Kind.MARK:
        final = (now - settle_delay_ms) // step * step + 1
        start, end = next_on_grid(start, step), min(request.end_ms, final)
    if request.kind is Kind.OPEN_INTEREST:
        final = now - step
        if exchange in _OPEN_INTEREST_DAYS:
            oldest = moment.venue_ms - _OPEN_INTEREST_DAYS[exchange] * DAY_MS + HOUR_MS
            start = answered = max(start, next_on_grid(oldest, step))
    if listed_ms is not None:
        earliest = listed_ms if listed_ms >= _DATED_WELL_SINCE_MS else listed_ms - _LISTED_EARLIER_MS
        first = earliest // step * step
        start = max(start, first + step if request.kind is Kind.MARK else first)  # a mark is named by its hour's close
    return Reach(
        start_ms=start,
        end_ms=max(start, end),
        answered=(answered, max(answered, min(request.end_ms, final))),
    )


async def fetch_values(
    client: ExchangeClient, request: FetchRequest, *, moment: Moment, on_page: Callable[[int, int, int], None]
) -> Fetched:
    """All rows of one request as checked values, possibly none, and the window they are the venue's answer for.

    ``on_page(rows, done, pages)`` is called after each page with the rows it brought.
    """
    market = client.market(request.symbol)
    reach = reach_of(
        request,
        exchange=client.options.exchange,
        listed_ms=market["created"],
        moment=moment,
        settle_delay_ms=client.options.settle_delay_ms,
    )
    pages = _Pages(client, request, market["id"], on_page)
    exchange = client.options.exchange
    step, rows = page_step_ms(request.kind, request.timeframe), page_rows(exchange, request.kind)
    width = page_width(exchange, request.kind)
    if request.kind not in _BARS:
        rows -= 1
    windows = page_windows(reach.start_ms, reach.end_ms, step_ms=step, rows=rows)
    tables = await pages.fetch(windows)
    if request.kind in _BARS:
        absent = _absent(windows, _joined(tables, width)[:, 0], step)
        tables = await pages.fetch(absent) + tables
    table = _joined(tables, width)
    values, taker = _values(client, request, table)
    return Fetched(values=values, taker=taker, answered=reach.answered)


async def side_by_side(coroutines: list[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Their results in order; after one error the others are cancelled and that error alone is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in coroutines]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class _Pages:
    """The pages of one request, counted."""

    def __init__(
        self, client: ExchangeClient, request: FetchRequest, market_id: str, on_page: Callable[[int, int, int], None]
    ) -> None:
        self._client, self._request, self._market_id, self._on_page = client, request, market_id, on_page
        self._done = self._pages = 0

    async def fetch(self, windows: list[tuple[int, int]]) -> list[_Table]:
        """The rows of each window."""
        self._pages += len(windows)
        return await side_by_side([self._page(lo, hi) for lo, hi in windows])

    async def _page(self, lo: int, hi: int) -> _Table:
        table = await self._rows(lo, hi)
        self._done += 1
        self._on_page(len(table), self._done, self._pages)
        return table

    async def _rows(self, lo: int, hi: int) -> _Table:
        kind, exchange = self._request.kind, self._client.options.exchange
        limit = page_rows(exchange, kind)
        if kind in _BARS:
            limit = -(-(hi - lo) // self._request.timeframe.ms)
        answer: Answer = await self._client.call(
            f"{self._request.symbol} {kind}",
            ask_page(self._client.api, self._market_id, kind, self._request.timeframe, lo_ms=lo, hi_ms=hi, rows=limit),
            kind=kind,
            cost=page_cost(exchange, kind, limit),
        )
        if kind not in _BARS and answer.rows >= limit and hi - lo > 2:
            middle = (lo + hi) // 2
            return np.concatenate([await self._rows(lo, middle), await self._rows(middle, hi)])
        time = answer.table[:, 0]
        return answer.table[(time >= lo) & (time < hi)]


def _absent(windows: list[tuple[int, int]], time: NDArray[np.float64], step_ms: int) -> list[tuple[int, int]]:
    """The window of the missing bars of each page that misses some."""
    found = []
    for lo, hi in windows:
        missing = np.setdiff1d(np.arange(lo, hi, step_ms), time)
        if missing.size:
            found.append((int(missing[0]), int(missing[-1]) + step_ms))
    return found


def _joined(tables: list[_Table], width: int) -> _Table:
    """Rows of all pages, oldest first; of a time in two pages the first counts."""
    table = np.concatenate([np.empty((0, width)), *tables])
    _, first = np.unique(table[:, 0], return_index=True)
    return table[first]


def _values(client: ExchangeClient, request: FetchRequest, table: _Table) -> tuple[MarketValues, TakerShares | None]:
    try:
        values = _checked(request, table[:, 0].astype(np.int64), table)
        told = table.shape[1] > _BAR_COLUMNS
        taker = taker_shares(values, table[:, _BAR_COLUMNS]) if told and isinstance(values, Candles) else None
    except (MarketError, SourceError) as error:
        raise SourceError(
            f"{client.options.exchange} answered with {error.what}",
            why=error.why,
            remedy="ask again later, or another venue",
        ) from error
    return values, taker


def _checked(request: FetchRequest, time: NDArray[np.int64], table: _Table) -> MarketValues:
    if request.kind is Kind.FUNDING:
        funding = FundingStamps(symbol=request.symbol, time=time, rate=table[:, 1].copy())
        check_funding(funding)
        return funding
    if request.kind is Kind.OPEN_INTEREST:
        held = OpenInterestStamps(symbol=request.symbol, time=time, value=table[:, 1].copy())
        check_open_interest(held)
        return held
    if request.kind is Kind.MARK:
        marks = MarkStamps(symbol=request.symbol, time=time, price=table[:, 1].copy())
        check_mark(marks)
        return marks
    names = ("open", "high", "low", "close", "volume")
    columns = {name: table[:, k].copy() for k, name in enumerate(names, start=1)}
    candles = Candles(symbol=request.symbol, timeframe=request.timeframe, open_time=time, **columns)
    if len(candles):
        check_candles(candles)
    return candles
