"""What does the venue itself say happened?

Closed candles, settled funding, open interest and hourly mark prices from a venue's public API, as checked market
values, with the window of time each answer is final for. Takers' shares come with the candles of a venue that tells
them. Nothing is filled: a request that fails says so, the others still arrive. A session is one client for all its
work; it is synchronous, for callers that are (it must not be used inside a running event loop).

Binance keeps open interest for 30 days only: an older window begins where the venue's memory does.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from infra.errors import SourceError
from infra.sources.exchange_client import ExchangeClient, ExchangeOptions
from infra.sources.exchange_errors import DelistedError, VenueClosedError
from infra.sources.exchange_facts import ClockCheck, Listing, Ticker, listings_of, read_clock, read_tickers
from infra.sources.exchange_pages import Moment, fetch_values, side_by_side
from infra.sources.protocol import FetchRequest, MarketValues
from market.taker_flow import TakerShares

__all__ = [
    "ClockCheck",
    "DelistedError",
    "ExchangeOptions",
    "ExchangeSource",
    "FetchResult",
    "Listing",
    "Ticker",
    "VenueClosedError",
    "VenueSession",
]

_CLOCK_TRIES = 3
_CLOCK_KEEPS_S = 5.0
_CLOSE_TRIES = 8
OnPage = Callable[[FetchRequest, int, int, int], None]
OnResult = Callable[["FetchResult"], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FetchResult:
    """The answer to one request: ``values`` (possibly empty), or the ``error`` that stands in its place.

    ``answered`` is the half-open window the venue has answered for finally (for candles closed bars alone, empty if
    there are none yet): what is missing in it is missing at the venue. None beside an error. ``taker`` are takers'
    shares of the candles in ``values``, None where the venue tells none.
    """

    request: FetchRequest
    values: MarketValues | None
    error: SourceError | None
    answered: tuple[int, int] | None
    taker: TakerShares | None = None


class ExchangeSource:
    """A venue as a source; holds options only."""

    def __init__(self, options: ExchangeOptions) -> None:
        self.options = options

    @property
    def name(self) -> str:
        """The venue's name."""
        return self.options.exchange

    @contextmanager
    def session(self) -> Iterator["VenueSession"]:
        """One client with the venue's markets loaded; closed on the way out whatever happens."""
        client = ExchangeClient(self.options)
        with asyncio.Runner() as runner:
            try:
                runner.run(client.load())
                yield VenueSession(client, runner)
            finally:
                _close(client, runner)


def _close(client: ExchangeClient, runner: asyncio.Runner) -> None:
    """Close through interrupts: one that broke into a call comes out of the event loop once for each task above it."""
    interrupt: BaseException | None = None
    for _ in range(_CLOSE_TRIES):
        try:
            # Outside the loop, so that none of them takes another step first.
            left = asyncio.all_tasks(runner.get_loop())
            for task in left:
                task.cancel()
            runner.run(_end(client, left))
            break
        except (KeyboardInterrupt, SystemExit) as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


async def _end(client: ExchangeClient, left: set[asyncio.Task[object]]) -> None:
    """Wait for the calls that an interrupt has left behind, then close the client."""
    await asyncio.gather(*left, return_exceptions=True)
    await client.close()


class VenueSession:
    """Work with a venue over one client, within its rate."""

    def __init__(self, client: ExchangeClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner
        self._checked: tuple[float, ClockCheck] | None = None

    def clock(self) -> ClockCheck:
        """The venue's clock beside ours: the best of three round trips."""
        return self._runner.run(self._clock(_CLOCK_TRIES))

    def listings(self) -> tuple[Listing, ...]:
        """All linear perpetuals the venue lists; no request."""
        return listings_of(self._client)

    def tickers(self) -> tuple[Ticker, ...]:
        """Price and turnover of all linear perpetuals; one request."""
        return self._runner.run(read_tickers(self._client))

    def collect(
        self,
        requests: Sequence[FetchRequest],
        *,
        now_ms: int | None = None,
        on_page: OnPage | None = None,
        on_result: OnResult | None = None,
    ) -> tuple[FetchResult, ...]:
        """Answer all requests, in their order.

        ``now_ms`` is our time (None: this machine's); the venue's is asked, and the earlier of both decides what has
        closed. ``on_page(request, rows, pages_done, pages)`` is called after every page, ``on_result`` as each request
        is answered, so that the caller can store it at once. A request that fails carries its own error; when the venue
        closes, all that are not answered yet carry ``VenueClosedError``, and the next call raises it.
        """
        return self._runner.run(self._collect(requests, now_ms, on_page, on_result))

    async def _clock(self, tries: int) -> ClockCheck:
        check = await read_clock(self._client, tries=tries)
        self._checked = time.monotonic(), check
        return check

    async def _moment(self, now_ms: int | None) -> Moment:
        """Both clocks; a check of the last seconds will do, as a time that is late only leaves a bar for later."""
        fresh = self._checked is not None and time.monotonic() - self._checked[0] < _CLOCK_KEEPS_S
        check = self._checked[1] if fresh and self._checked is not None else await self._clock(1)
        ours = check.local_ms if now_ms is None else now_ms
        return Moment(now_ms=min(ours, check.venue_ms), venue_ms=check.venue_ms)

    async def _collect(
        self, requests: Sequence[FetchRequest], now_ms: int | None, on_page: OnPage | None, on_result: OnResult | None
    ) -> tuple[FetchResult, ...]:
        self._client.breaker.check()
        moment = await self._moment(now_ms)

        async def answer(request: FetchRequest) -> FetchResult:
            result = await self._answer(request, moment, on_page)
            if on_result is not None:
                on_result(result)
            return result

        return tuple(await side_by_side([answer(request) for request in requests]))

    async def _answer(self, request: FetchRequest, moment: Moment, on_page: OnPage | None) -> FetchResult:
        def tell(rows: int, done: int, pages: int) -> None:
            if on_page is not None:
                on_page(request, rows, done, pages)

        breaker, task = self._client.breaker, asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        breaker.waiting.add(task)
        try:
            async with self._client.lanes[request.kind].work:
                found = await fetch_values(self._client, request, moment=moment, on_page=tell)
        except SourceError as error:
            return FetchResult(request=request, values=None, error=error, answered=None)
        except asyncio.CancelledError:
            if not breaker.is_open:
                raise
            return FetchResult(request=request, values=None, error=breaker.error(), answered=None)
        finally:
            breaker.waiting.discard(task)
        return FetchResult(request=request, values=found.values, error=None, answered=found.answered, taker=found.taker)
