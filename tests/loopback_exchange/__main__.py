"""A venue by hand: ``python -m tests.loopback_exchange --help``."""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from market.errors import LockstepError
from market.timeframe import DAY_MS, Timeframe, as_utc
from tests.loopback_exchange.data import real_markets, synthetic_markets
from tests.loopback_exchange.limits import BinanceLimits, BybitLimits
from tests.loopback_exchange.server import serve
from tests.loopback_exchange.spelling import apply_fault, fault_help, time_of
from tests.loopback_exchange.venue import VENUES, LoopbackExchange

_NOTICE = "SYNTHETIC markets under names that look real: nothing here was ever traded. Use a home of its own."

_AHEAD_DAYS = 7  # of synthetic history after the start, for the clock to run into
_SPELLING = """\
PATH is part of a path, such as klines, kline, fundingRate or /; PATH@SYMBOL narrows it to a symbol.
TIMES is a number (1), * for every call, or a chance such as 5%. SYMBOL may be *.
Times are UTC: 2025-10-31T23:59:00Z, 2025-10-31 or milliseconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; 2 where an argument is wrong."""
    asked = _parser().parse_args(arguments)
    try:
        exchange = _exchange(asked)
    except (ValueError, LockstepError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    asyncio.run(_serve(exchange, port=asked.port, synthetic=not asked.data))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.loopback_exchange",
        description="A venue on 127.0.0.1 that speaks Binance USD-M futures and Bybit linear, with faults.",
        epilog=f"faults:\n{fault_help()}\n\n{_SPELLING}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", type=Path, action="append", default=[], help="folder of real candles; repeat it for more folders")
    add("--symbols", help="only these, with commas; without --data a number of synthetic markets (default 3)")
    add("--days", type=int, default=60, help="length of synthetic histories (default 60)")
    add("--timeframe", default="5m", help="length of the bars held (default 5m); longer ones are built from them")
    add("--venue", choices=VENUES, help="speak only this venue's protocol (default: both, their paths differ)")
    add("--port", type=int, default=0, help="default: a free one")
    add("--fault", action="append", default=[], metavar="FAULT", help="see below; repeat it for more faults")
    add("--limit", type=int, metavar="WEIGHT", help="enforce Binance's limits, with so much weight a minute")
    add("--calls", type=int, help="enforce Bybit's limit, with so many calls in 5 seconds")
    add("--now", help="the venue's time at the start (default: the end of the data, else now)")
    add("--speed", type=float, default=1.0, help="how fast its clock runs; 0 stands still (default 1)")
    return parser


def _exchange(asked: argparse.Namespace) -> LoopbackExchange:
    now = time.time_ns() // 1_000_000
    timeframe = Timeframe.parse(asked.timeframe)
    if asked.data:
        names = asked.symbols.split(",") if asked.symbols else None
        markets = real_markets(asked.data, timeframe=timeframe, symbols=names)
        if not markets:
            raise ValueError(f"no candles_{timeframe.name} of {asked.symbols or 'any symbol'} in {asked.data}")
        now = max(int(market.candles.open_time[-1]) for market in markets.values()) + timeframe.ms - 1
    else:
        begin = (time_of(asked.now) if asked.now else now) - asked.days * DAY_MS
        count = int(asked.symbols or 3)
        markets = synthetic_markets(count, timeframe=timeframe, start_ms=begin, days=asked.days + _AHEAD_DAYS)
    exchange = LoopbackExchange(
        markets=markets,
        now_ms=time_of(asked.now) if asked.now else now,
        venue=asked.venue,
        speed=asked.speed,
        binance_limits=BinanceLimits(enforce=asked.limit is not None, weight=asked.limit or BinanceLimits.weight),
        bybit_limits=BybitLimits(enforce=asked.calls is not None, calls=asked.calls or BybitLimits.calls),
    )
    for spelling in asked.fault:
        apply_fault(exchange, spelling)
    return exchange


async def _serve(exchange: LoopbackExchange, *, port: int, synthetic: bool) -> None:
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    runner, url = await serve(exchange, port=port)
    try:
        _tell(exchange, url, synthetic=synthetic)
        await done.wait()
    finally:
        await runner.cleanup()
    _say(f"ended after {len(exchange.calls)} calls, {sum(fault.struck for fault in exchange.faults)} struck by a fault")


def _tell(exchange: LoopbackExchange, url: str, *, synthetic: bool) -> None:
    if synthetic:
        _say(_NOTICE)
    names = ", ".join(list(exchange.markets)[:5])
    more = f" and {len(exchange.markets) - 5} more" if len(exchange.markets) > 5 else ""
    _say(f"{' and '.join(exchange.venues)} at {as_utc(exchange.now_ms)} UTC: {names}{more}")
    _say(f"serving on {url} until Ctrl-C; to use it:")
    _say(f"  LOCKSTEP_DATA__EXCHANGE_URL={url}")
    if exchange.venues == ("bybit",):
        _say("  LOCKSTEP_DATA__EXCHANGE=bybit")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
