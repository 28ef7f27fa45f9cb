"""How does the venue's state become HTTP on 127.0.0.1?

One application speaks both protocols, on the paths the venues use. Each call is logged, counted against the limits,
struck by the first fault that fits it, and answered.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from aiohttp import web

from tests.loopback_exchange import binance, bybit
from tests.loopback_exchange.faults import ON_PAGES, Fault, FaultKind, altered
from tests.loopback_exchange.limits import Refusal
from tests.loopback_exchange.venue import LoopbackExchange, Reply

__all__ = ["application", "run_in_thread", "serve"]

_PROTOCOLS = {"binanceusdm": binance, "bybit": bybit}
_DROPS = 20
_END_S, _QUIET_TURNS = 2.0, 20
_GATEWAY = "<html><head><title>{0} Bad Gateway</title></head><body><h1>{0} Bad Gateway</h1></body></html>"


def application(exchange: LoopbackExchange) -> web.Application:
    """The routes of the venues that the exchange speaks."""
    app = web.Application()
    for name in exchange.venues:
        for path, answer in _PROTOCOLS[name].ROUTES.items():
            app.router.add_get(path, _handler(exchange, _PROTOCOLS[name], answer))
    return app


async def serve(exchange: LoopbackExchange, *, port: int = 0) -> tuple[web.AppRunner, str]:
    """Begin to serve in this event loop; the runner (``cleanup`` ends it) and the base URL."""
    # A client that hangs up cancels its call, so that a fault that never answers does not outlive it.
    runner = web.AppRunner(application(exchange), access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@contextmanager
def run_in_thread(exchange: LoopbackExchange) -> Iterator[str]:
    """Serve the exchange from a thread of its own; yields the base URL, for example ``http://127.0.0.1:40123``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="loopback-exchange", daemon=True)
    thread.start()
    runner: web.AppRunner | None = None
    try:
        runner, url = asyncio.run_coroutine_threadsafe(serve(exchange), loop).result(10)
        yield url
    finally:
        if runner is not None:
            asyncio.run_coroutine_threadsafe(_end(runner), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(runner: web.AppRunner) -> None:
    """Stop, and close every connection, also those whose client hung up midway through a page."""
    await runner.cleanup()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    # The loop alone still knows a connection whose handler let go of it while a page was being written.
    quiet, until = 0, time.monotonic() + _END_S
    while quiet < _QUIET_TURNS and time.monotonic() < until:  # also whoever was being accepted while we ended
        held = list(asyncio.get_running_loop()._transports.values())
        for transport in held:
            transport.abort()
        await asyncio.sleep(0.001)  # a socket is closed some turns of the loop after its transport
        quiet = quiet + 1 if all(getattr(one, "_sock", None) is None for one in held) else 0


def _handler(
    exchange: LoopbackExchange, protocol: ModuleType, answer: Callable[..., Reply]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        exchange.calls.append(str(request.rel_url))
        exchange.in_flight += 1
        exchange.most_at_once = max(exchange.most_at_once, exchange.in_flight)
        try:
            query = request.query
            refusal = protocol.admit(exchange, request.path, query)
            if refusal is not None:
                return _sent(exchange, protocol, _told(protocol, exchange, refusal))
            fault = _striking(exchange, request.path, query.get("symbol"))
            if fault is None:
                return _sent(exchange, protocol, answer(exchange, query))
            return await _struck(request, exchange, protocol, fault, answer)
        finally:
            exchange.in_flight -= 1

    return handle


def _striking(exchange: LoopbackExchange, path: str, symbol: str | None) -> Fault | None:
    return next((fault for fault in exchange.faults if fault.strikes(path, symbol)), None)


async def _struck(
    request: web.Request,
    exchange: LoopbackExchange,
    protocol: ModuleType,
    fault: Fault,
    answer: Callable[..., Reply],
) -> web.StreamResponse:
    if fault.kind is FaultKind.STATUS:
        return _sent(exchange, protocol, _refusal_of(fault, exchange, protocol))
    if fault.kind is FaultKind.DROP:
        return _hung_up(request)
    if fault.kind is FaultKind.HANG:
        await asyncio.Event().wait()
    if fault.kind is FaultKind.SLOW:
        await asyncio.sleep(fault.slow_s)
    reply = answer(exchange, request.query)
    if fault.kind in ON_PAGES and reply.rows is not None:
        rows = altered(fault.kind, reply.rows, seed=fault.seed, conflict=protocol.conflicting)
        reply = Reply(head=reply.head, rows=rows, tail=reply.tail)
    response = _sent(exchange, protocol, reply)
    if fault.kind is FaultKind.TRUNCATED:
        response.body = reply.body[: len(reply.body) * 2 // 3]
    if fault.kind in {FaultKind.SLOW_BODY, FaultKind.CUT}:
        return await _dripped(request, response, reply.body, fault)
    return response


async def _dripped(request: web.Request, whole: web.Response, body: bytes, fault: Fault) -> web.StreamResponse:
    """Headers at once, then the body in pieces; a body that is cut ends with the connection, in its middle."""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    if fault.kind is FaultKind.CUT:
        await response.write(body[: len(body) // 2])
        return _hung_up(request)
    step = max(len(body) // _DROPS, 1)
    for at in range(0, len(body), step):
        await response.write(body[at : at + step])
        await asyncio.sleep(fault.slow_s / _DROPS)
    return response


def _hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal_of(fault: Fault, exchange: LoopbackExchange, protocol: ModuleType) -> Reply:
    """What a fault with a status says: a gateway's page, or the venue's own words."""
    if fault.status in {502, 504}:
        page = _GATEWAY.format(fault.status).encode()
        return Reply(head=page, status=fault.status, content_type="text/html")
    refusal = Refusal(status=fault.status or 500, wait_s=fault.retry_after_s or 0.0)
    reply = protocol.refused(exchange, refusal, fault.code)
    if fault.retry_after_s is not None and refusal.status != 200:
        reply.headers["Retry-After"] = f"{fault.retry_after_s:g}"
    return reply


def _told(protocol: ModuleType, exchange: LoopbackExchange, refusal: Refusal) -> Reply:
    reply: Reply = protocol.refused(exchange, refusal)
    if refusal.status in {418, 429}:
        reply.headers["Retry-After"] = refusal.retry_after
    return reply


def _sent(exchange: LoopbackExchange, protocol: ModuleType, reply: Reply) -> web.Response:
    used = exchange.binance_limits.headers if protocol is binance else exchange.bybit_limits.headers(exchange.says_ms)
    headers = used | reply.headers
    return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type, headers=headers)
