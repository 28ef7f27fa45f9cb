"""Do two workers lose, double or forge a bar in an hour of accelerated time while everything around them breaks?

Real candles and funding, served by a loopback exchange through the real client; two worker processes that share the
symbols; faults of the venue, the feed, the database, the workers, the champion and the clock, thrown on and off at
random from a seed. Afterwards it is counted from the stored rows: every bar of every symbol once, every feature row
recomputed from the lake, every signal explained, every paper trade with its cause, and the workers' memory.

``soak_worker.py [--minutes 60] [--speed 30] [--seed 1] [--data DIR]``: one JSON line at the end, the faults as they
come on standard error.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from infra.bootstrap import App, open_app
from infra.errors import InfraError
from infra.postgres_cluster import Cluster
from infra.sources.exchange import ExchangeSource
from infra.tables import paper_trades, signals
from market.errors import LockstepError
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe
from registry.deployments import append, changing_champion
from serving.halt import set_halt
from serving.parity import parity_audit
from serving.states import CAUSES, State, state_of
from tasks.exchange import backfill_from, collect_from
from tasks.plan import contract_of
from tasks.stores import bundle_cache
from tasks.venue import exchange_options
from tests.fakes.small_market import LABELS, POLICY, SmallMarket, small_bundle
from tests.loopback_exchange import Fault, FaultKind, LoopbackExchange, run_in_thread
from tests.loopback_exchange.data import real_markets
from tests.loopback_exchange.warts import revised

FIVE = Timeframe.parse("5m")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
BEGIN_MS = int(np.datetime64("2025-09-20", "ms").astype(np.int64))
HISTORY_DAYS = 6
SHARES = 2
SETTINGS = {
    "LOCKSTEP_DATA__SYMBOLS": ",".join(SYMBOLS),
    "LOCKSTEP_DATA__HISTORY_DAYS": str(HISTORY_DAYS + 4),
    "LOCKSTEP_DATA__MAX_RETRIES": "1",
    "LOCKSTEP_DATA__REQUEST_TIMEOUT_S": "2",
    "LOCKSTEP_FEATURES__BLOCK_BARS": "576",
    "LOCKSTEP_FEATURES__WARMUP_BARS": "640",
    "LOCKSTEP_SERVING__SHARES": str(SHARES),
    "LOCKSTEP_SERVING__MAX_DECISION_S": "600",  # by the accelerated clock
    "LOCKSTEP_LABELS__HORIZON_BARS": "12",
}
VENUE_FAULTS = (
    *(Fault(path="klines", status=500, times=None, probability=p) for p in (0.3, 1.0)),
    Fault(path="klines", status=429, times=3, retry_after_s=1),
    Fault(path="", kind=FaultKind.DROP, times=None, probability=0.3),
    *(
        Fault(path="klines", kind=kind, times=None, probability=0.5)
        for kind in (
            FaultKind.TRUNCATED,
            FaultKind.CUT,
            FaultKind.EMPTY,
            FaultKind.SHORT,
            FaultKind.DUPLICATE,
            FaultKind.DISORDER,
        )
    ),
    Fault(path="klines", slow_s=0.7, times=None),
    *(Fault(path="klines", kind=FaultKind.EMPTY, times=None, symbol=symbol) for symbol in SYMBOLS),
    Fault(path="fundingRate", status=500, times=None),
)


@dataclass(kw_only=True)
class Soak:
    """The home, its venue, its workers and the clock they share."""

    app: App
    exchange: LoopbackExchange
    url: str
    speed: float
    plan: dict
    bundles: tuple[str, str]
    real_ms: float
    market_ms: int
    skew_ms: int = 0
    fed: bool = True
    over: Event = field(default_factory=Event)
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    collected: Counter[str] = field(default_factory=Counter)
    memory_mb: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        """The accelerated clock."""
        return self.market_ms + round((time.time() * 1000 - self.real_ms) * self.speed)

    def start_worker(self) -> None:
        """One more worker process."""
        command = [sys.executable, str(Path(__file__).with_name("soak_process.py")), json.dumps(self.plan)]
        log = (self.app.settings.home / "workers.log").open("ab")
        self.workers.append(subprocess.Popen(command, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"}))

    def kill_worker(self, rng: random.Random) -> None:
        """SIGKILL, at any moment."""
        victim = self.workers.pop(rng.randrange(len(self.workers)))
        victim.send_signal(signal.SIGKILL)
        victim.wait()

    def collect(self) -> None:
        """Bring what closed, again and again, as ``lockstep collect`` would."""
        options = exchange_options(self.app.settings, exchange="binanceusdm")
        source = ExchangeSource(replace(options, url=self.url, first_pause_s=0.05))
        while not self.over.wait(0.5):
            if not self.fed:
                continue
            now_ms = self.now_ms()
            self.exchange.now_ms = now_ms + self.skew_ms
            try:
                collect_from(self.app, source, symbols=SYMBOLS, now_ms=now_ms)
                self.collected["runs"] += 1
            except (LockstepError, InfraError, SQLAlchemyError) as error:
                self.collected[type(error).__name__] += 1

    def deploy(self, bundle_hash: str) -> None:
        """Make a bundle champion the proper way."""
        name = self.app.settings.registry.model_name
        with changing_champion(self.app.engine, name) as (connection, champion, _):
            append(
                connection,
                model_name=name,
                bundle_hash=bundle_hash,
                version=1 + self.bundles.index(bundle_hash),
                previous=champion,
                action="promote",
                card_id=None,
                why="soak",
                who="soak",
            )


Break = Callable[[Soak, random.Random, float], None]


def venue_breaks(soak: Soak, rng: random.Random, seconds: float) -> None:
    """Some of the venue's answers are wrong, late or missing."""
    soak.exchange.faults[:] = [replace(one, seed=rng.randrange(2**31)) for one in rng.sample(VENUE_FAULTS, 2)]
    soak.over.wait(seconds)
    soak.exchange.faults.clear()


def feed_stops(soak: Soak, _rng: random.Random, seconds: float) -> None:
    """Nobody collects."""
    soak.fed = False
    soak.over.wait(seconds)
    soak.fed = True


def bars_are_revised(soak: Soak, rng: random.Random, _seconds: float) -> None:
    """For the next hour of the market one symbol's bars are told early and corrected after a bar and a half."""
    symbol, start = rng.choice(SYMBOLS), soak.now_ms()
    soak.exchange.markets[symbol] = revised(
        soak.exchange.markets[symbol], for_ms=FIVE.ms * 3 // 2, start_ms=start, end_ms=start + HOUR_MS
    )


def worker_dies(soak: Soak, rng: random.Random, seconds: float) -> None:
    """SIGKILL; another starts later."""
    soak.kill_worker(rng)
    soak.over.wait(min(seconds, 15))
    soak.start_worker()


def database_restarts(soak: Soak, rng: random.Random, seconds: float) -> None:
    """Stopped as an operator would, or killed."""
    cluster = Cluster(root=soak.app.settings.home / "postgres")
    if rng.random() < 0.5:
        cluster.stop()
    else:
        os.kill(int((cluster.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    soak.over.wait(min(seconds, 20))
    for _ in range(60):
        try:
            cluster.start()
        except (LockstepError, OSError):
            time.sleep(0.5)
        else:
            return
    raise RuntimeError("the database did not start again")


def champion_changes(soak: Soak, rng: random.Random, _seconds: float) -> None:
    """The other bundle, or the same again."""
    soak.deploy(rng.choice(soak.bundles))


def somebody_halts(soak: Soak, _rng: random.Random, seconds: float) -> None:
    """And resumes."""
    set_halt(soak.app.engine, on=True, why="soak", who="soak")
    soak.over.wait(min(seconds, 20))
    set_halt(soak.app.engine, on=False, why="soak", who="soak")


def clock_is_wrong(soak: Soak, rng: random.Random, seconds: float) -> None:
    """The venue's clock is minutes off."""
    soak.skew_ms = rng.choice((-1, 1)) * 5 * MINUTE_MS
    soak.over.wait(min(seconds, 20))
    soak.skew_ms = 0


BREAKS: tuple[Break, ...] = (
    *(venue_breaks,) * 3,
    feed_stops,
    bars_are_revised,
    *(worker_dies,) * 2,
    database_restarts,
    champion_changes,
    somebody_halts,
    clock_is_wrong,
)


def rage(soak: Soak, seed: int, minutes: float) -> Counter[str]:
    """Break and heal at random; the last tenth of the time is quiet, so that everything can come back."""
    rng, counts, began = random.Random(seed), Counter[str](), time.monotonic()
    while time.monotonic() - began < minutes * 54:
        seconds = rng.uniform(2, 25)
        action = rng.choice(BREAKS)
        print(f"{time.monotonic() - began:7.1f} s  {action.__name__} {seconds:.0f} s", file=sys.stderr, flush=True)
        with contextlib.suppress(SQLAlchemyError):
            action(soak, rng, seconds)
        counts[action.__name__] += 1
        soak.over.wait(rng.uniform(1, 10))
        soak.memory_mb.extend(_memory_mb(one.pid) for one in soak.workers if one.poll() is None)
    soak.over.wait(max(minutes * 60 - (time.monotonic() - began), 0))
    return counts


def _memory_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 2**20


def judge(soak: Soak) -> dict[str, object]:
    """What the stored rows say."""
    with soak.app.engine.connect() as connection:
        rows = connection.execute(select(signals)).all()
        trades = connection.execute(
            select(func.count(), func.count(paper_trades.c.exit_ms), func.count(paper_trades.c.net))
        ).one()
        open_too_long = connection.scalar(
            select(func.count()).where(
                paper_trades.c.exit_ms.is_(None),
                paper_trades.c.bar_ms < max(row.bar_ms for row in rows) - (POLICY.horizon_bars + 1) * FIVE.ms,
            )
        )
    bars = {symbol: sorted(row.bar_ms // FIVE.ms for row in rows if row.symbol == symbol) for symbol in SYMBOLS}
    lost = sum(one[-1] - one[0] + 1 - len(set(one)) for one in bars.values())
    doubled = sum(len(one) - len(set(one)) for one in bars.values())
    ends = {one[-1] for one in bars.values()}
    audit = parity_audit(
        soak.app.engine,
        soak.app.lake,
        contract=contract_of(soak.app.settings),
        first_index=min(one[0] for one in bars.values()),
        last_index=max(ends),
    )
    reasons = Counter(row.reason for row in rows)
    unexplained = [row for row in rows if row.reason not in CAUSES]
    spoken = sum(row.action != 0 for row in rows)
    wrong = sum(
        row.action != 0 and (state_of(row.reason) >= State.FLAT or row.steps["step"] != "TAKEN") for row in rows
    )
    steps = Counter(row.steps["step"] for row in rows if state_of(row.reason) < State.FLAT)
    return {
        "signals": len(rows),
        "bars": {symbol: len(one) for symbol, one in bars.items()},
        "lost": lost,
        "doubled": doubled,
        "ends_apart": max(ends) - min(ends),
        "parity": [audit.rows, audit.identical],
        "first_mismatch": None if audit.first_mismatch is None else asdict(audit.first_mismatch),
        "reasons": dict(reasons),
        "reasons_sum": sum(reasons.values()) == len(rows),
        "steps": dict(steps),
        "steps_sum": sum(steps.values()) == sum(n for name, n in reasons.items() if state_of(name) < State.FLAT),
        "spoken": spoken,
        "said_equals_taken": spoken == steps["TAKEN"],
        "spoken_while_blocked": wrong,
        "unexplained": len(unexplained),
        "paper_trades": {"opened": trades[0], "closed": trades[1], "resolved": trades[2], "overdue": open_too_long},
    }


def prepared(app: App, exchange: LoopbackExchange, url: str, scratch: Path) -> tuple[str, str]:
    """History in the lake, two bundles in the cache."""
    options = exchange_options(app.settings, exchange="binanceusdm")
    source = ExchangeSource(replace(options, url=url))
    start_ms = BEGIN_MS - (HISTORY_DAYS + 3) * DAY_MS
    backfill_from(app, source, symbols=SYMBOLS, start_ms=start_ms, end_ms=exchange.now_ms)
    market = SmallMarket(
        lake=app.lake,
        contract=contract_of(app.settings),
        symbols=SYMBOLS,
        first_index=FIVE.index_of(BEGIN_MS - HISTORY_DAYS * DAY_MS),
        train_end=FIVE.index_of(BEGIN_MS),
    )
    hashes = []
    for seed in (1, 2):
        place = scratch / str(seed)
        made = small_bundle(market, place, seed=seed, policy=POLICY, label_spec=LABELS, synthetic=False)
        bundle_cache(app).put(place, made.hash)
        hashes.append(made.hash)
    return hashes[0], hashes[1]


def main() -> None:
    """Break things for a while, then count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--speed", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/marketlab_um"))
    asked = parser.parse_args()
    markets = real_markets([asked.data], timeframe=FIVE, symbols=SYMBOLS)
    exchange = LoopbackExchange(markets=markets, now_ms=BEGIN_MS, venue="binanceusdm")
    with tempfile.TemporaryDirectory() as scratch, run_in_thread(exchange) as url:
        home = Path(scratch) / "home"
        with open_app(home, environ=SETTINGS) as app:
            bundles = prepared(app, exchange, url, Path(scratch))
            real_ms = time.time() * 1000
            clock = {"real_ms": real_ms, "market_ms": BEGIN_MS, "speed": asked.speed}
            plan = clock | {"home": str(home), "symbols": list(SYMBOLS), "shares": SHARES, "settings": SETTINGS}
            soak = Soak(
                app=app,
                exchange=exchange,
                url=url,
                speed=asked.speed,
                plan=plan,
                bundles=bundles,
                real_ms=real_ms,
                market_ms=BEGIN_MS,
            )
            soak.deploy(bundles[0])
            collector = Thread(target=soak.collect, name="collector")
            collector.start()
            try:
                for _ in range(2):
                    soak.start_worker()
                broken = rage(soak, asked.seed, asked.minutes)
            finally:
                soak.over.set()
                collector.join()
                for one in soak.workers:
                    one.terminate()
                    one.wait()
            memory = soak.memory_mb
            told = (home / "workers.log").read_text().split("\n") if (home / "workers.log").exists() else []
            print(
                json.dumps(
                    {
                        "case": "soak",
                        "minutes": asked.minutes,
                        "speed": asked.speed,
                        "seed": asked.seed,
                        "broken": dict(broken),
                        "collections": dict(soak.collected),
                        **judge(soak),
                        "worker_errors": dict(Counter(line.split()[0] for line in told if line.strip())),
                        "worker_mb": {"first": memory[:4], "last": memory[-4:], "most": max(memory, default=0.0)},
                    }
                )
            )


if __name__ == "__main__":
    main()
