"""What does the venue itself say happened?

Closed candles, settled funding and open interest from a venue's public API, as checked market values. Nothing is
filled: a request that fails says so, the others still arrive. ``collect`` works through many requests over one client;
it is synchronous, for callers that are (it must not be called from inside a running event loop).

Binance keeps open interest for 30 days only: an older window begins where the venue's memory does.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from infra.errors import SourceError
from infra.sources.exchange_client import ExchangeClient, ExchangeOptions, open_client
from infra.sources.exchange_pages import fetch_values
from infra.sources.protocol import FetchRequest, MarketValues

__all__ = ["ExchangeOptions", "ExchangeSource", "FetchResult"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FetchResult:
    """The answer to one request: ``values`` (possibly empty), or the ``error`` that stands in its place."""

    request: FetchRequest
    values: MarketValues | None
    error: SourceError | None


class ExchangeSource:
    """A venue as a source; holds options only and opens a client for each piece of work."""

    def __init__(self, options: ExchangeOptions) -> None:
        self.options = options

    @property
    def name(self) -> str:
        """The venue's name."""
        return self.options.exchange

    def server_time(self) -> int:
        """The venue's clock, ms UTC."""
        return asyncio.run(self._server_time())

    def fetch(self, request: FetchRequest) -> Iterator[MarketValues]:
        """The values of one request; ``SourceError`` if it fails."""
        (result,) = self.collect((request,))
        if result.error is not None:
            raise result.error
        if result.values is not None:
            yield result.values

    def collect(
        self,
        requests: Sequence[FetchRequest],
        *,
        now_ms: int | None = None,
        on_progress: Callable[[FetchRequest, int, int], None] | None = None,
        on_result: Callable[[FetchResult], None] | None = None,
    ) -> tuple[FetchResult, ...]:
        """Answer all requests, in their order, over one client within the venue's rate limit.

        ``now_ms`` None asks the venue for its time. ``on_progress(request, pages_done, pages)`` is called after every
        page, ``on_result`` as each request is answered, so that the caller can store it at once. A venue that cannot be
        reached at all raises ``SourceError``; a request that fails carries its own.
        """
        return asyncio.run(self._collect(requests, now_ms, on_progress, on_result))

    async def _server_time(self) -> int:
        async with open_client(self.options) as client:
            return await _now(client)

    async def _collect(
        self,
        requests: Sequence[FetchRequest],
        now_ms: int | None,
        on_progress: Callable[[FetchRequest, int, int], None] | None,
        on_result: Callable[[FetchResult], None] | None,
    ) -> tuple[FetchResult, ...]:
        async with open_client(self.options) as client:
            now = await _now(client) if now_ms is None else now_ms
            work = asyncio.Semaphore(max(2, self.options.concurrency))

            async def answer(request: FetchRequest) -> FetchResult:
                async with work:
                    result = await _answer(client, request, now, on_progress)
                if on_result is not None:
                    on_result(result)
                return result

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(answer(request)) for request in requests]
            return tuple(task.result() for task in tasks)


async def _answer(
    client: ExchangeClient,
    request: FetchRequest,
    now_ms: int,
    on_progress: Callable[[FetchRequest, int, int], None] | None,
) -> FetchResult:
    def tell(done: int, pages: int) -> None:
        if on_progress is not None:
            on_progress(request, done, pages)

    try:
        values = await fetch_values(client, request, now_ms=now_ms, on_page=tell)
    except SourceError as error:
        return FetchResult(request=request, values=None, error=error)
    return FetchResult(request=request, values=values, error=None)


async def _now(client: ExchangeClient) -> int:
    return int(await client.call("server time", client.api.fetch_time))
