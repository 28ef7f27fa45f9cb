"""How fast are feature rows, against pandas, polars, TA-Lib with NumPy, and against writing the array?

One JSON line a case. Peers run interleaved with ours in one process, medians of ``ROUNDS``; a ratio above 1 means that
ours is faster, ``floor_ratio`` is our time over the time to write the same float32 array. Synthetic bars, seeded.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from feature_peers import pandas_features, polars_features, talib_features

from features import BarInputs, FeatureSpec, FeatureStreams, compute_features, compute_many, running_contract
from features.inputs import Column
from market.timeframe import Timeframe

FIVE = Timeframe.parse("5m")
SYMBOLS, BARS, ROUNDS = int(os.environ.get("BENCH_SYMBOLS", "8")), 25_920, 5
ANCHOR = 2016 * 2900


def market(seed: int) -> BarInputs:
    """Ninety days of complete 5m inputs."""
    rng = np.random.default_rng(seed)
    values = np.empty((BARS, len(Column)))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, BARS)))
    open_ = np.concatenate((close[:1], close[:-1]))
    values[:, Column.OPEN], values[:, Column.CLOSE] = open_, close
    values[:, Column.HIGH] = np.maximum(open_, close) * (1 + 1e-3 * rng.random(BARS))
    values[:, Column.LOW] = np.minimum(open_, close) * (1 - 1e-3 * rng.random(BARS))
    values[:, Column.VOLUME], values[:, Column.REAL] = rng.lognormal(3, 1, BARS), 1.0
    values[:, Column.REF_CLOSE] = 3e4 * np.exp(np.cumsum(rng.normal(0, 1e-3, BARS)))
    values[:, Column.FUNDING_RATE] = np.repeat(rng.normal(1e-4, 1e-5, BARS // 96), 96)
    values[:, Column.FUNDING_INTERVAL_H], values[:, Column.HOURS_TO_FUNDING] = 8.0, 4.0
    values[:, Column.OPEN_INTEREST] = 1e6 * np.exp(np.cumsum(rng.normal(0, 1e-3, BARS)))
    values[:, Column.BASIS], values[:, Column.TAKER_SHARE] = rng.normal(0, 1e-4, BARS), rng.random(BARS)
    return BarInputs(symbol=f"S{seed}", timeframe=FIVE, first_index=ANCHOR, values=values)


def timed(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def medians(*works) -> list[float]:
    """Median seconds of each, run in turn."""
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def report(case: str, **numbers: float) -> None:
    print(json.dumps({"case": case, **{name: float(f"{value:.4g}") for name, value in numbers.items()}}), flush=True)


def fresh_process(code: str, *, cold: bool) -> dict[str, float]:
    """Run a few lines in a new interpreter, without or with a cache of compiled code; returns the numbers it prints."""
    here = Path(__file__).resolve().parent
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONPATH": paths} | ({"NUMBA_CACHE_DIR": folder} if cold else {})
        told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    return json.loads(told.stdout)


FIRST_CALL = """
import json, time
begin = time.perf_counter()
import features
imported = time.perf_counter()
from bench_features import first_row
ready = time.perf_counter()
first_row()
print(json.dumps({"import_s": imported - begin, "first_row_s": time.perf_counter() - ready}))
"""
MEMORY = """
import json, os
from bench_features import CONTRACT, SYMBOLS, compute_many, first_row, market
markets = [market(seed) for seed in range(SYMBOLS)]
first_row()
rss = lambda: 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before = rss()
blocks = compute_many(markets, CONTRACT, threads=os.cpu_count() or 1)
out = sum(one.values.nbytes + one.reason.nbytes for one in blocks)
print(json.dumps({"output_mb": out / 2**20, "peak_mb": (rss() - before) / 2**20, "peak_share": (rss() - before) / out}))
"""

CONTRACT = running_contract(FeatureSpec(timeframe=FIVE, reference_symbol="BTCUSDT"))


def first_row() -> None:
    one = np.ones((1, len(Column)))
    compute_features(BarInputs(symbol="A", timeframe=FIVE, first_index=ANCHOR, values=one), CONTRACT)


def live(markets: list[BarInputs], symbols: int) -> list[float]:
    """Seconds of each live step of so many markets."""
    chosen = [replace(markets[k % len(markets)], symbol=f"L{k}") for k in range(symbols)]
    streams = FeatureStreams(CONTRACT, [one.symbol for one in chosen])
    streams.warm([replace(one, values=one.values[:3168]) for one in chosen])
    bars = np.stack([one.values[3168:5200] for one in chosen], axis=1)
    return [timed(lambda k=k: streams.advance(ANCHOR + 3168 + k, bars[k])) for k in range(len(bars))]


def main() -> None:
    first_row()
    report("features.first_call_cold", **fresh_process(FIRST_CALL, cold=True))
    report("features.first_call_warm", **fresh_process(FIRST_CALL, cold=False))
    markets = [market(seed) for seed in range(SYMBOLS)]
    rows, width, threads = SYMBOLS * BARS, len(CONTRACT.names), os.cpu_count() or 1
    days = [one.end_index - FIVE.bars_per_day for one in markets]
    peers = {"pandas": pandas_features, "polars": polars_features, "talib": talib_features}
    ours, many, tail, floor, *spent = medians(
        lambda: compute_many(markets, CONTRACT, threads=1),
        lambda: compute_many(markets, CONTRACT, threads=threads),
        lambda: compute_many(markets, CONTRACT, threads=1, start_indices=days),
        lambda: np.ones((rows, width), dtype=np.float32),
        *(lambda peer=peer: [peer(one, FIVE) for one in markets] for peer in peers.values()),
    )
    report(
        "features.batch_one_thread", rows=rows, features=width, ours_s=ours, ns_a_row=1e9 * ours / rows,
        floor_s=floor, floor_ratio=ours / floor,
    )  # fmt: skip
    for name, peer_s in zip(peers, spent, strict=True):
        theirs = peers[name](markets[0], FIVE).shape[1]
        report(f"features.batch_against_{name}", peer_features=theirs, peer_s=peer_s, ratio=peer_s / ours)
    common = pandas_features(markets[0], FIVE)
    values = compute_features(markets[0], CONTRACT).values[1300:]
    apart = [np.nanmax(np.abs(values[:, CONTRACT.index_of(n)] - common[n].to_numpy()[1300:])) for n in common]
    report("features.largest_difference_to_pandas", difference=float(np.max(apart)))
    report("features.batch_all_threads", threads=threads, ours_s=many, floor_s=floor, floor_ratio=many / floor)
    report("features.rebuild_one_day_of_90", ours_s=tail, share_of_full=tail / ours)
    report("features.memory", **fresh_process(MEMORY, cold=False))
    for symbols in (1, 100):
        spent = live(markets, symbols)
        steps = {"p50_us": 1e6 * np.percentile(spent, 50), "p99_us": 1e6 * np.percentile(spent, 99)}
        report(f"features.live_{symbols}_symbols", **steps, new_block_ms=1e3 * max(spent))


if __name__ == "__main__":
    main()
