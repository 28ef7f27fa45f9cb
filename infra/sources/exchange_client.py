"""How is a venue asked politely, and what happens when it does not answer?

One real ccxt client (``binanceusdm`` or ``bybit``) with its markets loaded. Calls keep within the venue's own rate and
a bound on calls in flight. What can pass (time-outs, dropped connections, bodies cut short or unreadable, 5xx, 429,
error codes under HTTP 200) is tried again after an exponentially growing pause with full jitter; a ``Retry-After``
holds all calls at once. What cannot pass, or does not in time, is a ``SourceError`` naming the venue, the symbol and
the cause; when that repeats, the venue is left alone (``VenueClosedError``).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar
from urllib.parse import urlsplit

from infra.errors import SourceError
from infra.sources.exchange_breaker import Breaker
from infra.sources.exchange_ccxt import build_api, can_pass, cause, is_ban, names_no_symbol, retry_after_s
from infra.sources.exchange_errors import DelistedError
from infra.sources.exchange_pace import lanes_of, set_limits
from infra.sources.protocol import Kind
from market.symbols import venue_symbol

__all__ = ["ExchangeClient", "ExchangeOptions"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LONGEST_PAUSE_S = 120.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOptions:
    """How to talk to a venue.

    ``url`` replaces the origin (scheme, host, port) of every address and keeps the paths; ``rate_limit`` None means on,
    except against a loopback address, and ``rate_share`` is how much of the permitted rate is used. ``concurrency``
    bounds the calls in flight under each of the venue's limits. ``first_pause_s`` bounds the first wait before a retry;
    the bound doubles each time.
    """

    exchange: str = "binanceusdm"
    url: str | None = None
    timeout_s: float = 10.0
    max_retries: int = 5
    max_failures: int = 5
    first_pause_s: float = 0.5
    concurrency: int = 32
    rate_limit: bool | None = None
    rate_share: float = 0.95
    settle_delay_ms: int = 5000

    @property
    def limits_rate(self) -> bool:
        """Whether calls keep to the venue's rate."""
        loopback = self.url is not None and urlsplit(self.url).hostname in _LOOPBACK
        return (not loopback) if self.rate_limit is None else self.rate_limit


class ExchangeClient:
    """One ccxt client with pace, retries and breaker; ``load`` it before use and ``close`` it whatever happens."""

    def __init__(self, options: ExchangeOptions) -> None:
        self.options = options
        self.api = build_api(options.exchange, url=options.url, timeout_s=options.timeout_s)
        self.lanes = lanes_of(options.exchange, concurrency=options.concurrency)
        self.breaker = Breaker(options.exchange, max_failures=options.max_failures)
        self.markets: dict[str, Any] = {}

    async def load(self) -> None:
        """Ask for the venue's markets and, where it tells them, its limits."""
        await self.call("list of markets", self._load_markets)
        if self.options.limits_rate:
            announced = self.api.last_json_response
            set_limits(self.lanes, exchange=self.options.exchange, announced=announced, share=self.options.rate_share)

    async def close(self) -> None:
        """Close every connection."""
        await self.api.close()

    async def call(
        self, what: str, ask: Callable[[], Awaitable[_T]], *, kind: Kind = Kind.CANDLES, cost: float = 1.0
    ) -> _T:
        """Await ``ask()`` with retries, at ``cost`` of the limit of ``kind``; ``what`` names the call in the error."""
        import ccxt

        lane, weight = self.lanes[kind], self.lanes[Kind.CANDLES].pace
        for attempt in range(self.options.max_retries + 1):
            try:
                async with lane.slots:
                    await lane.pace.turn(cost)
                    if lane.pace is not weight:  # a limit of its own comes on top of the one that all calls share
                        await weight.turn(1.0)
                    self.breaker.check()
                    answer = await ask()
            except (ccxt.BaseError, OSError) as error:
                if not can_pass(error):
                    raise self._refused(what, error) from error
                self._heed(what, error)
                if attempt == self.options.max_retries:
                    raise self._gave_up(what, error, attempt + 1) from error
                await self._pause(error, attempt)
            else:
                self.breaker.answered()
                return answer
        raise AssertionError("unreachable: the last attempt returns or raises")

    def market(self, symbol: str) -> Any:
        """What ccxt knows of this linear perpetual; ``DelistedError`` with near names if the venue has none."""
        name = venue_symbol(symbol)
        if name in self.markets:
            return self.markets[name]
        near = get_close_matches(name, self.markets, n=3, cutoff=0.6)
        raise DelistedError(
            f"{self.options.exchange} lists no perpetual {name}",
            why="a symbol that the venue does not list has no data there",
            remedy=f"did you mean {' or '.join(near)}" if near else "check its spelling, or whether it was delisted",
        )

    async def _load_markets(self) -> None:
        import ccxt

        await self.api.load_markets()
        self.markets = {one["id"]: one for one in self.api.markets.values() if one["swap"] and one["linear"]}
        if not self.markets:
            self.api.markets_loading = None
            raise ccxt.BadResponse(f"{self.options.exchange} lists no perpetual at all")

    def _heed(self, what: str, error: Exception) -> None:
        """Leave the venue alone where it asks for more time than we wait."""
        asked = retry_after_s(error)
        if (asked or 0.0) > _LONGEST_PAUSE_S or (is_ban(error) and asked is None):
            self.breaker.open(f"{what}: {cause(error)}", pause_s=asked)

    async def _pause(self, error: Exception, attempt: int) -> None:
        """Wait before the next try; where the venue is throttling us, with all other calls."""
        import ccxt

        asked = retry_after_s(error)
        # Jitter only spreads calls in time; no value that is stored depends on it.
        bound = min(self.options.first_pause_s * 2.0**attempt, _LONGEST_PAUSE_S)
        wait = max(asked or 0.0, random.uniform(0.0, bound))  # noqa: S311
        if asked is not None or isinstance(error, ccxt.RateLimitExceeded):
            until = asyncio.get_running_loop().time() + wait
            for lane in self.lanes.values():
                lane.pace.hold(until)
        await asyncio.sleep(wait)

    def _gave_up(self, what: str, error: Exception, tries: int) -> SourceError:
        because = f"{what}: {cause(error)} after {tries} tries"
        self.breaker.failed(because)
        return SourceError(
            f"{self.options.exchange} {because}",
            why="missing data is never made up",
            remedy="check the connection and the venue's status, then run this again: it goes on where it stopped",
        )

    def _refused(self, what: str, error: Exception) -> SourceError:
        import ccxt

        if names_no_symbol(error):
            self.breaker.answered()
            return DelistedError(
                f"{self.options.exchange} {what}: {cause(error)}",
                why="the venue does not serve this symbol any more",
                remedy="leave it out of what is collected; what was stored of it stays",
            )
        if not isinstance(error, ccxt.BadRequest):  # a request it cannot fulfil says nothing against the venue
            self.breaker.failed(f"{what}: {cause(error)}")
        return SourceError(
            f"{self.options.exchange} {what}: {cause(error)}",
            why="the venue refuses this request, and asking again would not help",
            remedy="check the symbol, the time window and whether the venue serves your region",
        )
