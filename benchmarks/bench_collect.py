"""How close does collecting come to what the venue permits, and what does a run with nothing new cost?

One JSON line a case, against ``tests/loopback_exchange`` in a process of its own, with the real ccxt client, a real
PostgreSQL and a real lake. ``rate``: a backfill with Binance's limit of 2400 weight a minute enforced; weight used over
weight permitted while candles were asked for, and how often the venue refused. ``pages``: the same without a limit.
``nothing_new``: a collection of 100 markets that asks for their last bars again; requests a market, and seconds.
"""

import dataclasses
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from infra.bootstrap import App, open_app
from infra.lake import Lake
from infra.open_interest import OpenInterestStamps
from infra.sources.exchange import ExchangeSource
from market.candles import Candles
from market.funding import FundingStamps
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe
from tasks.exchange import backfill_from, collect_from
from tasks.venue import exchange_options
from tests.loopback_exchange import BinanceLimits, LoopbackExchange, LoopbackMarket, run_in_thread

FIVE = Timeframe.parse("5m")
NOW = 1_767_225_600_000 - 23 * MINUTE_MS  # 37 minutes past the hour: no settlement is due
RATE_SYMBOLS, RATE_DAYS = 16, 190
IDLE_SYMBOLS, IDLE_DAYS, ROUNDS = 100, 5, 5


def names(count: int) -> list[str]:
    return [f"X{k:03d}USDT" for k in range(count)]


def market(symbol: str, *, days: int, seed: int) -> LoopbackMarket:
    """So many days of bars up to now, settlements every eight hours, open interest for the last month."""
    rng = np.random.default_rng(seed)
    times = NOW // FIVE.ms * FIVE.ms + (np.arange(days * 288, dtype=np.int64) - days * 288 + 1) * FIVE.ms
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, times.size))), 4)
    opened = np.concatenate((close[:1], close[:-1]))
    hours = np.arange(-(-int(times[0]) // (8 * HOUR_MS)) * 8 * HOUR_MS, NOW, 8 * HOUR_MS, dtype=np.int64)
    slots = times[times > NOW - 30 * DAY_MS]
    return LoopbackMarket(
        candles=Candles(
            symbol=symbol,
            timeframe=FIVE,
            open_time=times,
            open=opened,
            high=np.maximum(opened, close) + 0.01,
            low=np.minimum(opened, close) - 0.01,
            close=close,
            volume=np.round(rng.random(times.size) * 10, 3),
        ),
        funding=FundingStamps(symbol=symbol, time=hours, rate=np.full(hours.size, 1e-4)),
        open_interest=OpenInterestStamps(symbol=symbol, time=slots, value=np.round(rng.random(slots.size) * 1e4, 3)),
    )


def serve(pipe: Connection, symbols: int, days: int, *, enforce: bool) -> None:
    """The venue: tells its address, and at each line it is sent what was asked of it so far."""
    markets = {name: market(name, days=days, seed=k) for k, name in enumerate(names(symbols))}
    limits = BinanceLimits(enforce=enforce)
    exchange = LoopbackExchange(markets=markets, now_ms=NOW, venue="binanceusdm", binance_limits=limits)
    with run_in_thread(exchange) as url:
        pipe.send(url)
        while pipe.recv() is not None:
            klines = exchange.count("/klines")
            pipe.send(
                {
                    "calls": len(exchange.calls),
                    "klines": klines,
                    "weight": limits.total_weight,
                    "refused": limits.refusals,
                }
            )


@contextmanager
def venue(*, symbols: int, days: int, enforce: bool) -> Iterator[tuple[str, Connection]]:
    """A venue in a process of its own: its address, and the line on which it answers what it was asked."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, symbols, days), kwargs={"enforce": enforce}
    )
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        ours.send(None)
        process.join()


def counts(line: Connection) -> dict[str, int]:
    line.send("counts")
    return line.recv()


def source_at(app: App, url: str, *, limit: bool) -> ExchangeSource:
    return ExchangeSource(dataclasses.replace(exchange_options(app.settings), url=url, rate_limit=limit))


def fresh(app: App, folder: Path) -> App:
    """The same home with an empty lake."""
    return App(settings=app.settings, engine=app.engine, lake=Lake(folder))


def tell(case: str, **numbers: Any) -> None:
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in numbers.items()}
    print(json.dumps({"case": case, **rounded}), flush=True)


def bench_rate(app: App, folder: Path) -> None:
    """Candles alone have the weight limit; what is older than a month has no open interest at Binance."""
    with venue(symbols=RATE_SYMBOLS, days=RATE_DAYS, enforce=True) as (url, line):
        before = counts(line)
        # The venue counts by the minutes of its clock: begin with a fresh one.
        time.sleep(60 - time.time() % 60)
        began = time.perf_counter()
        end = NOW - 31 * DAY_MS
        found = backfill_from(
            fresh(app, folder / "rate"),
            source_at(app, url, limit=True),
            symbols=names(RATE_SYMBOLS),
            start_ms=end - 150 * DAY_MS,
            end_ms=end,
        )
        spent = time.perf_counter() - began
        after = counts(line)
    weight = after["weight"] - before["weight"]
    tell(
        "backfill_at_the_limit",
        symbols=RATE_SYMBOLS,
        seconds=spent,
        bars=found["new_rows"],
        requests=found["requests"],
        weight=weight,
        permitted_per_min=2400,
        share_of_permitted=weight / (2400 * spent / 60),
        refused_by_venue=after["refused"],
    )


def bench_pages(app: App, folder: Path) -> None:
    """Without a limit: how fast pages are asked for, read, checked and stored on this machine."""
    with venue(symbols=RATE_SYMBOLS, days=RATE_DAYS, enforce=False) as (url, line):
        began = time.perf_counter()
        found = backfill_from(
            fresh(app, folder / "pages"),
            source_at(app, url, limit=False),
            symbols=names(RATE_SYMBOLS),
            start_ms=NOW - RATE_DAYS * DAY_MS,
            end_ms=None,
        )
        spent = time.perf_counter() - began
        asked = counts(line)
    tell(
        "backfill_without_limit",
        seconds=spent,
        requests=found["requests"],
        requests_per_s=found["requests"] / spent,
        rows=found["new_rows"],
        rows_per_s=found["new_rows"] / spent,
        calls=asked["calls"],
    )


def bench_nothing_new(app: App, folder: Path) -> None:
    """A hundred markets whose newest bar, settlement and slot the home holds."""
    with venue(symbols=IDLE_SYMBOLS, days=IDLE_DAYS, enforce=False) as (url, line):
        home = fresh(app, folder / "idle")
        source = source_at(app, url, limit=False)
        collect_from(home, source, symbols=names(IDLE_SYMBOLS), now_ms=NOW)
        seconds, calls = [], []
        for _ in range(ROUNDS):
            home = fresh(app, folder / "idle")  # as a new process: nothing is in memory
            before = counts(line)["calls"]
            began = time.perf_counter()
            found = collect_from(home, source, symbols=names(IDLE_SYMBOLS), now_ms=NOW)
            seconds.append(time.perf_counter() - began)
            calls.append(counts(line)["calls"] - before)
            assert (found["new_rows"], found["incomplete"]) == (0, None)
    tell(
        "collect_100_symbols_nothing_new",
        seconds=statistics.median(seconds),
        slowest_s=max(seconds),
        requests_per_symbol=found["requests"] / IDLE_SYMBOLS,
        calls_in_all=max(calls),
    )


def main(asked: list[str]) -> None:
    """All cases, or those named: rate, pages, nothing_new."""
    import ccxt.async_support  # noqa: F401

    cases = {"rate": bench_rate, "pages": bench_pages, "nothing_new": bench_nothing_new}
    environ = {"LOCKSTEP_DATA__HISTORY_DAYS": str(IDLE_DAYS)}
    with tempfile.TemporaryDirectory() as scratch, open_app(Path(scratch) / "home", environ=environ) as app:
        for name in asked or cases:
            cases[name](app, Path(scratch))


if __name__ == "__main__":
    main(sys.argv[1:])
