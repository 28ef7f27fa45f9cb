"""What would Binance's USD-M futures API answer, on this machine and under our control?

A real HTTP server on 127.0.0.1 that speaks the public REST calls the real ccxt client makes, over candles, funding and
open interest it was given. The clock is ours, the bar that still forms is served as the venue does, and faults (429
with Retry-After, 500, a dropped connection, a slow answer) are injected per path.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web

from infra.open_interest import OpenInterestStamps
from market.candles import Candles
from market.funding import FundingStamps
from market.symbols import ccxt_symbol

__all__ = ["Fault", "LoopbackExchange", "LoopbackMarket", "run_in_thread"]


@dataclass(frozen=True, kw_only=True)
class LoopbackMarket:
    """What the venue holds of one symbol, the future included: the clock decides what is served."""

    candles: Candles
    funding: FundingStamps | None = None
    open_interest: OpenInterestStamps | None = None


@dataclass(kw_only=True)
class Fault:
    """What happens to the next ``times`` calls whose path contains ``path``: a status, or a dropped connection."""

    path: str
    status: int | None = None
    times: int = 1
    retry_after_s: float | None = None
    slow_s: float = 0.0


@dataclass(kw_only=True)
class LoopbackExchange:
    """The venue: its markets, its clock and its log of calls (path with query); change them while it runs."""

    markets: dict[str, LoopbackMarket]
    now_ms: int
    faults: list[Fault] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._troubled])
        app.router.add_get("/fapi/v1/time", self._time)
        app.router.add_get("/fapi/v1/exchangeInfo", self._exchange_info)
        app.router.add_get("/fapi/v1/klines", self._klines)
        app.router.add_get("/fapi/v1/fundingRate", self._funding)
        app.router.add_get("/futures/data/openInterestHist", self._open_interest)
        return app

    def count(self, path: str) -> int:
        """How many calls had this in their path."""
        return sum(path in call for call in self.calls)

    @web.middleware
    async def _troubled(self, request: web.Request, handler) -> web.StreamResponse:
        self.calls.append(str(request.rel_url))
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            fault = next((one for one in self.faults if one.times > 0 and one.path in request.path), None)
            if fault is None:
                return await handler(request)
            fault.times -= 1
            if fault.slow_s:
                await asyncio.sleep(fault.slow_s)
                return await handler(request)
            if fault.status is None:
                request.transport.abort()
                return web.Response()
            headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:g}"}
            code = -1003 if fault.status in {418, 429} else -1000
            return web.json_response({"code": code, "msg": "injected"}, status=fault.status, headers=headers)
        finally:
            self._running -= 1

    async def _time(self, _: web.Request) -> web.Response:
        return web.json_response({"serverTime": self.now_ms})

    async def _exchange_info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"timezone": "UTC", "serverTime": self.now_ms, "symbols": [_listing(symbol) for symbol in self.markets]}
        )

    async def _klines(self, request: web.Request) -> web.Response:
        market = self.markets.get(request.query["symbol"])
        if market is None:
            return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
        candles = market.candles
        if request.query["interval"] != candles.timeframe.name:
            return web.json_response([])
        rows = self._rows(candles.open_time, request, default=500, most=1500)
        return web.json_response(
            [
                [
                    int(candles.open_time[i]),
                    *(repr(float(getattr(candles, name)[i])) for name in ("open", "high", "low", "close", "volume")),
                    int(candles.open_time[i]) + candles.timeframe.ms - 1,
                    "0",
                    0,
                    "0",
                    "0",
                    "0",
                ]
                for i in rows
            ]
        )

    async def _funding(self, request: web.Request) -> web.Response:
        symbol = request.query["symbol"]
        stamps = self.markets[symbol].funding
        rows = [] if stamps is None else self._rows(stamps.time, request, default=100, most=1000)
        return web.json_response(
            [
                {
                    "symbol": symbol,
                    "fundingTime": int(stamps.time[i]),
                    "fundingRate": repr(float(stamps.rate[i])),
                    "markPrice": "1",
                }
                for i in rows
            ]
        )

    async def _open_interest(self, request: web.Request) -> web.Response:
        symbol = request.query["symbol"]
        if int(request.query.get("startTime", self.now_ms)) < self.now_ms - 30 * 86_400_000:
            return web.json_response({"code": -1130, "msg": "parameter 'startTime' is invalid."}, status=400)
        held = self.markets[symbol].open_interest
        rows = [] if held is None else self._rows(held.time, request, default=30, most=500)
        return web.json_response(
            [
                {
                    "symbol": symbol,
                    "sumOpenInterest": repr(float(held.value[i])),
                    "sumOpenInterestValue": "0",
                    "timestamp": int(held.time[i]),
                }
                for i in rows
            ]
        )

    def _rows(self, times: np.ndarray, request: web.Request, *, default: int, most: int) -> list[int]:
        """Rows of the asked window up to the clock: from its start where one is given, else the newest."""
        start = request.query.get("startTime")
        end = min(int(request.query.get("endTime", self.now_ms)), self.now_ms)
        limit = min(int(request.query.get("limit", default)), most)
        inside = np.flatnonzero((times >= int(start or 0)) & (times <= end))
        return (inside[:limit] if start is not None else inside[-limit:]).tolist()


def _listing(symbol: str) -> dict[str, object]:
    base, rest = ccxt_symbol(symbol).split("/")
    quote = rest.split(":")[0]
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "underlyingType": "COIN",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }


@contextmanager
def run_in_thread(exchange: LoopbackExchange) -> Iterator[str]:
    """Serve the exchange from a thread of its own; yields the base URL, for example ``http://127.0.0.1:40123``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loopback-exchange", daemon=True)
    thread.start()
    runner = web.AppRunner(exchange.application(), access_log=None, shutdown_timeout=0.5)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
