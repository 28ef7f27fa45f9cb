"""What would a venue answer, on this machine and under our control?

The loopback exchange is a real HTTP server on 127.0.0.1 that speaks the public calls of Binance USD-M futures (under
``/fapi`` and ``/futures``) and of Bybit v5 linear (under ``/v5``) as the real ccxt client makes them, over histories it
was given. Its clock is ours, limits are counted and on wish enforced, and everything that goes wrong at real venues can
be switched on: ``faults`` strike calls (refused, lost, late, cut, wrong pages), ``warts`` are in the markets themselves
(gaps, revised bars, odd stamps, delistings).

In a test::

    exchange = LoopbackExchange(markets={"BTCUSDT": LoopbackMarket(candles=bars)}, now_ms=now)
    exchange.faults.append(Fault(path="klines", status=429, retry_after_s=2, times=3))
    with run_in_thread(exchange) as url:
        ...  # ask url, look at exchange.calls, count(), most_at_once, binance_limits.used_weight; move exchange.now_ms

By hand, ``--help`` lists every fault::

    python -m tests.loopback_exchange --data ../shared/data/marketlab_um --fault 429:klines:3 --speed 60

What it is not: no private calls, no orders, no WebSocket, no other market types. Fields that no archive here has (quote
volume, trades, taker volumes) are made plausible from price and volume and prove nothing.
"""

from tests.loopback_exchange import warts
from tests.loopback_exchange.faults import Fault, FaultKind
from tests.loopback_exchange.limits import BinanceLimits, BybitLimits
from tests.loopback_exchange.markets import Hole, LoopbackMarket, Revision
from tests.loopback_exchange.server import run_in_thread
from tests.loopback_exchange.venue import LoopbackExchange

__all__ = [
    "BinanceLimits",
    "BybitLimits",
    "Fault",
    "FaultKind",
    "Hole",
    "LoopbackExchange",
    "LoopbackMarket",
    "Revision",
    "run_in_thread",
    "warts",
]
