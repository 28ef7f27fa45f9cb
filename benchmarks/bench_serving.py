"""How long after its bars are stored is a bar decided and committed, and what does a worker need to get there?

Each case runs in a process of its own and prints one JSON line. ``newest_bar`` are 33 real perpetuals, ``hundred`` 100
synthetic ones; champion and challenger are of the size that training makes by default. A second handle of the lake, as
a collector has one, stores what each bar brings, all at once, outside the timing; the timing is then one whole round:
state read, rows read, features, predictions, decisions, rows committed and flushed. ``reading anew`` is the same round
of a worker that keeps nothing between bars, on later bars of the same run. ``pyfunc`` is ``mlflow.pyfunc`` asked symbol
by symbol for the same predictions, with nothing else. ``cold_start`` is a fresh process until both bundles are verified
and the database answers. ``soak`` replays seven days live, ``replayed`` 50,000 bars of three markets as history.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CASES = ("newest_bar", "hundred", "cold_start", "replayed", "soak")
BARS, HUNDRED_BARS, ANEW, PYFUNC_BARS, SOAK_BARS, REPLAYED_BARS = 150, 60, 8, 3, 2016, 50_000
HISTORY_BARS = 62 * 288
COLD = """
import sys, time
from pathlib import Path
from infra.bootstrap import open_app
from registry.cache import BundleCache
from serving import worker
home, *hashes = sys.argv[1:]
with open_app(home) as app:
    opened = time.time()
    cache = BundleCache(Path(home) / "bundles")
    for one in hashes:
        cache.load(one)
    ready = time.time()
    assert "mlflow" not in sys.modules, "the registry's client was imported on the way"
    print(opened, ready)
"""


@dataclass(kw_only=True)
class Stand:
    """A home with a filled lake and two sealed bundles, and the bars that are still to come."""

    home: Path
    markets: object
    writer: object
    engine: object
    lineup: object
    hashes: tuple[str, ...]
    next_index: int

    def plan(self):
        """What is served."""
        from serving.lineup import ServePlan

        return ServePlan(
            model_name="lockstep", symbols=self.markets.symbols, contract=self.markets.contract, run="live"
        )

    def round(self, kept=None, *, reader) -> tuple[float, object]:
        """Store one more bar, then serve it; seconds of serving alone."""
        from benchmarks.serving_rig import FIVE
        from serving.worker import serve_once

        index, self.next_index = self.next_index, self.next_index + 1
        self.markets.store(self.writer, FIVE.open_time(index), FIVE.open_time(index + 1))
        now_ms = FIVE.close_time(index) + 7_000
        began = time.perf_counter()
        summary = serve_once(self.engine, reader, self.lineup, plan=self.plan(), now_ms=now_ms, kept=kept)
        spent = time.perf_counter() - began
        assert summary.last_index == index
        if kept is not None:
            kept.view.check()
        return spent, summary


@contextmanager
def stand(markets, start_index: int, *, history: int = HISTORY_BARS) -> Iterator[Stand]:
    from benchmarks.serving_rig import FIVE, sealed_bundle
    from infra.database import open_database
    from infra.lake import Lake
    from infra.settings import load_settings
    from registry.cache import BundleCache
    from serving.lineup import Lineup, ServedBundle

    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        home = Path(folder) / "home"
        lake = Lake(home / "lake")
        markets.store(lake, FIVE.open_time(start_index - history), FIVE.open_time(start_index))
        cache, hashes = BundleCache(home / "bundles"), []
        for seed in (1, 2):
            made = Path(folder) / f"made-{seed}"
            hashes.append(sealed_bundle(lake, markets, made, seed=seed, end_index=start_index))
            cache.put(made, hashes[-1])
        champion, challenger = (ServedBundle(bundle=cache.load(one), version=k) for k, one in enumerate(hashes))
        with open_database(load_settings(home, environ={})) as engine:
            yield Stand(
                home=home,
                markets=markets,
                writer=lake,
                engine=engine,
                lineup=Lineup(champion=champion, challengers=(challenger,)),
                hashes=tuple(hashes),
                next_index=start_index,
            )


def real_stand():
    from benchmarks.serving_rig import FIVE, real_markets

    at = int(np.datetime64("2025-10-22T03:00", "ms").astype(np.int64)) // FIVE.ms
    return stand(real_markets(Path(os.environ["LOCKSTEP_TEST_DATA"])), at)


def synthetic_stand(count: int, days: int, history: int):
    from benchmarks.serving_rig import FIVE, synthetic_markets

    start_ms = int(np.datetime64("2025-03-01", "ms").astype(np.int64))
    markets = synthetic_markets(count, start_ms=start_ms, days=days)
    return stand(markets, start_ms // FIVE.ms + history, history=history)


def newest_bar() -> dict[str, object]:
    """33 real perpetuals."""
    with real_stand() as here:
        return _rounds(here)


def hundred() -> dict[str, object]:
    """100 synthetic ones, and the same predictions through pyfunc."""
    with synthetic_stand(100, 35, 33 * 288) as here:
        found = _rounds(here, bars=HUNDRED_BARS)
        found["rss_mb"] = round(_rss_mb())
        pyfunc_s, ours_s = _pyfunc(here)
        return found | {
            "peer": "mlflow.pyfunc, symbol by symbol, predictions only",
            "peer_ms": round(pyfunc_s * 1e3, 1),
            "ratio": round(pyfunc_s * 1e3 / found["p50_ms"], 1),
            "predictions_ms": round(ours_s * 1e3, 1),
            "predictions_ratio": round(pyfunc_s / ours_s, 1),
        }


def _rounds(here: Stand, *, bars: int = BARS) -> dict[str, object]:
    from infra.lake import Lake
    from serving.kept import KeptBetweenBars

    reader = Lake(here.home / "lake")
    kept = KeptBetweenBars(reader)
    warm = [here.round(kept, reader=reader)[0] for _ in range(5)]
    spent = np.array([here.round(kept, reader=reader)[0] for _ in range(bars)]) * 1e3
    anew = np.array([here.round(reader=reader)[0] for _ in range(ANEW)]) * 1e3
    return {
        "bars": bars,
        "p50_ms": round(float(np.median(spent)), 1),
        "p90_ms": round(float(np.quantile(spent, 0.9)), 1),
        "p99_ms": round(float(np.quantile(spent, 0.99)), 1),
        "first_bar_ms": round(warm[0] * 1e3),
        "anew": "reading anew",
        "anew_p50_ms": round(float(np.median(anew)), 1),
        "anew_ratio": round(float(np.median(anew) / np.median(spent)), 1),
    }


def _pyfunc(here: Stand) -> tuple[float, float]:
    """Seconds a bar of all symbols and both bundles: through pyfunc one by one, and of our predictors at once."""
    import mlflow.pyfunc
    from pandas import DataFrame
    from sqlalchemy import text

    from registry.mlflow_pyfunc import save_pyfunc

    with here.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT features FROM feature_rows WHERE bar_ms = (SELECT max(bar_ms) FROM feature_rows)")
        ).all()
    X = np.stack([np.frombuffer(row.features, dtype="<f4") for row in rows])
    names = list(here.markets.contract.names)
    bundles = [one.bundle for _, one in here.lineup.seats()]
    loaded = []
    for k, bundle in enumerate(bundles):
        into = here.home / f"pyfunc-{k}" / "model"
        into.parent.mkdir()
        save_pyfunc(here.home / "bundles" / bundle.hash, bundle, into)
        loaded.append(mlflow.pyfunc.load_model(str(into)))
    theirs, ours = [], []
    for _ in range(PYFUNC_BARS):
        began = time.perf_counter()
        for model in loaded:
            for row in X:
                model.predict(DataFrame(row[None].astype(np.float64), columns=names))
        between = time.perf_counter()
        for bundle in bundles:
            bundle.predict_models(X)
        theirs.append(between - began)
        ours.append(time.perf_counter() - between)
    return float(np.median(theirs)), float(np.median(ours))


def cold_start() -> dict[str, object]:
    """A fresh process, the database's server included, from a home that has served before."""
    with synthetic_stand(3, 35, 33 * 288) as here:
        took = []
        for _ in range(5):
            began = time.time()
            command = [sys.executable, "-c", COLD, str(here.home), *here.hashes]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            opened, ready = map(float, done.stdout.split())
            took.append((opened - began, ready - began))
        opened_s, ready_s = np.median(np.array(took), axis=0)
        return {"database_s": round(float(opened_s), 2), "ready_s": round(float(ready_s), 2), "mlflow_imported": False}


def replayed() -> dict[str, object]:
    """50,000 bars of three markets as history; memory after a fifth and at the end."""
    from serving.worker import replay

    with synthetic_stand(3, 33 + REPLAYED_BARS // 288 + 2, 33 * 288) as here:
        from benchmarks.serving_rig import FIVE

        first = here.next_index
        here.markets.store(here.writer, FIVE.open_time(first), FIVE.open_time(first + REPLAYED_BARS))
        rss: list[float] = []

        def note(done: int, _total: int) -> None:
            if done in (REPLAYED_BARS // 5, REPLAYED_BARS):
                rss.append(_rss_mb())

        began = time.perf_counter()
        summary = replay(
            here.engine, here.writer, here.lineup, plan=here.plan(), start_index=first,
            end_index=first + REPLAYED_BARS, on_progress=note,
        )  # fmt: skip
        spent = time.perf_counter() - began
        return {
            "bars": summary.bars,
            "bars_per_s": round(summary.bars / spent),
            "rss_mb_after_a_fifth": round(rss[0]),
            "rss_mb_at_the_end": round(rss[1]),
            "errors": sum(summary.errors.values()),
        }


def soak() -> dict[str, object]:
    """Seven days of 33 real perpetuals, live, as fast as possible."""
    from infra.lake import Lake
    from serving.kept import KeptBetweenBars

    with real_stand() as here:
        reader = Lake(here.home / "lake")
        kept, spent, errors, reasons = KeptBetweenBars(reader), [], 0, {}
        rss = []
        for k in range(SOAK_BARS):
            seconds, summary = here.round(kept, reader=reader)
            spent.append(seconds)
            errors += sum(summary.errors.values())
            for name, count in summary.reasons.items():
                reasons[name] = reasons.get(name, 0) + count
            if k in (SOAK_BARS // 10, SOAK_BARS - 1):
                rss.append(_rss_mb())
        ms = np.array(spent[1:]) * 1e3
        return {
            "bars": SOAK_BARS,
            "bars_per_s": round(1e3 / float(ms.mean()), 1),
            "p50_ms": round(float(np.median(ms)), 1),
            "p99_ms": round(float(np.quantile(ms, 0.99)), 1),
            "worst_ms": round(float(ms.max())),
            "errors": errors,
            "reasons": reasons,
            "rss_mb_after_a_tenth": round(rss[0]),
            "rss_mb_at_the_end": round(rss[1]),
        }


def _rss_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """All cases, each in a process of its own, or the one named."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--case", choices=CASES)
    case = asked.parse_args().case
    if case is None:
        for one in CASES:
            subprocess.run([sys.executable, __file__, "--case", one], check=True)
        return
    if case in ("newest_bar", "soak") and "LOCKSTEP_TEST_DATA" not in os.environ:
        print(json.dumps({"case": case, "skipped": "set LOCKSTEP_TEST_DATA to a folder of real markets"}))
        return
    print(json.dumps({"case": case, **globals()[case]()}), flush=True)


if __name__ == "__main__":
    main()
