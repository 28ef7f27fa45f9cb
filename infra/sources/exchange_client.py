"""How is a venue asked politely, and what happens when it does not answer?

A real ccxt client (``binanceusdm`` or ``bybit``), opened for one piece of work and always closed. Calls keep within the
venue's rate limit and a bound on calls in flight. What can pass (time-outs, dropped connections, 5xx, 429) is tried
again after an exponentially growing, jittered pause; a ``Retry-After`` is obeyed by all calls at once. What cannot
pass, or does not pass in time, is a ``SourceError`` naming the venue, the symbol and the cause.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar
from urllib.parse import urlsplit

from infra.errors import SourceError
from market.symbols import venue_symbol

__all__ = ["EXCHANGES", "ExchangeClient", "ExchangeOptions", "open_client"]

EXCHANGES = ("binanceusdm", "bybit")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LONGEST_PAUSE_S = 120.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOptions:
    """How to talk to a venue.

    ``url`` replaces the origin (scheme, host, port) of every address and keeps the paths; ``rate_limit`` None means on,
    except against a loopback address. ``first_pause_s`` is the first wait before a retry; it doubles each time.
    """

    exchange: str = "binanceusdm"
    url: str | None = None
    timeout_s: float = 10.0
    max_retries: int = 5
    first_pause_s: float = 0.5
    concurrency: int = 8
    rate_limit: bool | None = None
    settle_delay_ms: int = 5000


class ExchangeClient:
    """One open ccxt client with retries; use ``open_client`` to get and close one."""

    def __init__(self, api: Any, options: ExchangeOptions) -> None:
        self.api = api
        self.options = options
        self._slots = asyncio.Semaphore(options.concurrency)
        self._resume_at = 0.0

    async def call(self, what: str, ask: Callable[[], Awaitable[_T]]) -> _T:
        """Await ``ask()`` with retries; ``what`` names symbol and kind in the error."""
        import ccxt

        for attempt in range(self.options.max_retries + 1):
            await self._wait_for_turn()
            try:
                async with self._slots:
                    return await ask()
            except ccxt.OperationFailed as error:
                if attempt == self.options.max_retries:
                    raise self._gave_up(what, error, attempt + 1) from error
                await self._pause(what, error, attempt)
            except ccxt.BaseError as error:
                raise self._refused(what, error) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    def market(self, symbol: str) -> str:
        """The name in ccxt of this linear perpetual; ``SourceError`` with near names if the venue has none."""
        name = venue_symbol(symbol)
        perpetuals = {
            market["id"]: key for key, market in self.api.markets.items() if market["swap"] and market["linear"]
        }
        if name not in perpetuals:
            near = get_close_matches(name, perpetuals, n=3, cutoff=0.6)
            raise SourceError(
                f"{self.options.exchange} lists no perpetual {name}",
                why="a symbol that is not traded has no data",
                remedy=f"did you mean {' or '.join(near)}"
                if near
                else "check its spelling, or whether it was delisted",
            )
        return str(perpetuals[name])

    async def _wait_for_turn(self) -> None:
        """Obey a Retry-After that any call has met."""
        wait = self._resume_at - asyncio.get_running_loop().time()
        if wait > 0:
            await asyncio.sleep(wait)

    async def _pause(self, what: str, error: Exception, attempt: int) -> None:
        asked = getattr(error, "retry_after_s", None)
        if asked is not None:
            if asked > _LONGEST_PAUSE_S:
                raise self._gave_up(f"{what} (asked to wait {asked:.0f} s)", error, attempt + 1) from error
            self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + asked)
        grown = self.options.first_pause_s * 2.0**attempt
        # Jitter only spreads calls in time; no value that is stored depends on it.
        await asyncio.sleep(min(grown, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0))  # noqa: S311

    def _gave_up(self, what: str, error: Exception, tries: int) -> SourceError:
        return SourceError(
            f"{self.options.exchange} {what}: {_cause(error)} after {tries} tries",
            why="missing data is never made up",
            remedy="check the connection and the venue's status, then run this again: it goes on where it stopped",
        )

    def _refused(self, what: str, error: Exception) -> SourceError:
        return SourceError(
            f"{self.options.exchange} {what}: {_cause(error)}",
            why="the venue refuses this request, and asking again would not help",
            remedy="check the symbol, the time window and whether the venue serves your region",
        )


@asynccontextmanager
async def open_client(options: ExchangeOptions) -> AsyncIterator[ExchangeClient]:
    """A client with its markets loaded, closed on the way out whatever happens."""
    api = _build(options)
    try:
        client = ExchangeClient(api, options)
        await client.call("list of markets", api.load_markets)
        yield client
    finally:
        await api.close()


def _build(options: ExchangeOptions) -> Any:
    if options.exchange not in EXCHANGES:
        raise SourceError(
            f"exchange {options.exchange!r}",
            why="its candles, funding and open interest have not been verified here",
            remedy=f"use {' or '.join(EXCHANGES)}",
        )
    import ccxt.async_support

    loopback = options.url is not None and urlsplit(options.url).hostname in _LOOPBACK
    limit = (not loopback) if options.rate_limit is None else options.rate_limit
    api = getattr(ccxt.async_support, options.exchange)(
        {"enableRateLimit": limit, "timeout": int(options.timeout_s * 1000)}
    )
    api.options["fetchCurrencies"] = False
    if options.exchange == "bybit":
        api.options["fetchMarkets"] = {"types": ["linear"]}
    if options.url is not None:
        api.urls["api"] = _moved(api.urls["api"], options.url.rstrip("/"), api.hostname or "")
    _note_retry_after(api)
    return api


def _moved(urls: Any, origin: str, hostname: str) -> Any:
    """The same addresses at another origin: paths stay."""
    if isinstance(urls, dict):
        return {key: _moved(value, origin, hostname) for key, value in urls.items()}
    if isinstance(urls, str):
        return origin + urlsplit(urls.replace("{hostname}", hostname)).path
    return urls


def _note_retry_after(api: Any) -> None:
    """Let the error of a throttled call carry that response's Retry-After, which ccxt drops."""
    import ccxt

    original = api.handle_errors

    def handle_errors(code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
        if code not in {418, 429, 503}:
            return original(code, reason, url, method, headers, *rest)
        error = (ccxt.ExchangeNotAvailable if code == 503 else ccxt.RateLimitExceeded)(f"{api.id} {code} {reason}")
        error.retry_after_s = _seconds(headers)
        raise error

    api.handle_errors = handle_errors


def _seconds(headers: Any) -> float | None:
    text = next((value for key, value in (headers or {}).items() if key.lower() == "retry-after"), None)
    try:
        return max(float(text), 0.0) if text is not None else None
    except ValueError:
        return None


def _cause(error: Exception) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())[:160]}".strip()
