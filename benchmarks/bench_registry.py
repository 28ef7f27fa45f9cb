"""What do registration, a verified load, a decision, a swap and a rollback cost, and does a swap ever mix two bundles?

One tiny synthetic home lives a whole life first (its seconds are ``retrain_to_live``: train, shadow, decide, serve the
promoted bundle). Then each step is timed in it, on its embedded PostgreSQL and its MLflow database, median of several.
``alias_to_serving`` is a ``champion`` alias moved by MLflow's own client until the worker's line-up holds the new
bundle, noticed by the running watch. Meanwhile threads predict through whatever line-up there is: every answer must be
that of one bundle, bit for bit. One JSON line a case.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tests.e2e.lockstep_command import DAYS, SYMBOLS, TINY

PREDICTIONS, SWAPS, ROWS, PATIENCE_S = 100_000, 10, 10, 30.0


def main() -> None:
    """A life, then every case."""
    with tempfile.TemporaryDirectory(prefix="bench-registry-") as folder:
        home = Path(folder) / "home"
        os.environ |= TINY | {"PREFECT_HOME": f"{folder}/prefect", "PREFECT_LOGGING_LEVEL": "ERROR"}
        from infra.bootstrap import open_app

        told("retrain_to_live", _live(home), 60.0)
        with open_app(home) as app:
            _steps(app, home, Path(folder))


def _live(home: Path) -> float:
    """A demo in a process of its own; seconds from the first fitted model to the promotion."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "demo", "--home", str(home), "--json"]
    command += ["--days", str(DAYS), "--symbols", ",".join(SYMBOLS)]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert done["verdict"]["verdict"] == "promote", "the planted edge is promoted"
    return sum(done["timings_s"][stage] for stage in ("train", "shadow", "promote"))


def _steps(app, home: Path, folder: Path) -> None:
    from registry.bundle_files import decode
    from registry.catalog import record_bundle
    from registry.deployments import current_champion
    from registry.manifest import read_sealed
    from registry.run_record import RunRecord
    from registry.seal import seal
    from tasks.deciding import decide
    from tasks.rolling_back import roll_back
    from tasks.stores import bundle_cache, model_store

    store, cache, name = model_store(app), bundle_cache(app), app.settings.registry.model_name
    champion = current_champion(app.engine, name)
    parts = decode(read_sealed(cache.path(champion.bundle_hash), expected_hash=champion.bundle_hash)[1])
    made = []
    for k in range(4):  # the same model under other names
        where = folder / f"made-{k}"
        made.append((where, seal(replace(parts, facts={**parts.facts, "copy": k}), where)))

    def register(one: tuple[Path, str]) -> None:
        version = store.log_and_register(one[0], one[1], RunRecord(name="copy"))
        record_bundle(app.engine, cache.load(str(cache.put(*one).name)), model_name=name, version=version)

    told("register", median([lambda one=one: register(one) for one in made]), 1.0)
    told("verified_load", median([lambda: cache.load(champion.bundle_hash)] * 9), 0.3)
    versions = {known.bundle_hash: known.version for known in store.versions()}
    store.set_alias("challenger", versions[made[0][1]])
    _as_if_trained(app, champion.bundle_hash, made[0][1])
    told("decision", median([lambda: decide.fn(str(home), dry_run=True)] * 5), 1.0)
    _swaps(app, store, [versions[champion.bundle_hash], versions[made[1][1]]])
    told("rollback", median([lambda: roll_back(app, why="benchmark", who="benchmark")]), 2.0)


def _as_if_trained(app, source: str, copy: str) -> None:
    """Give the copy the stored evidence of its original, shadow rows and all: what a decision reads."""
    from sqlalchemy import text

    with app.engine.begin() as connection:
        for table in ("predictions", "paper_trades"):
            query = text(
                "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_name = :table "
                "AND table_schema = 'public' AND column_name NOT IN ('id', 'bundle_hash')"
            )
            columns = connection.execute(query, {"table": table}).scalar_one()
            connection.execute(
                text(
                    f"INSERT INTO {table} (bundle_hash, {columns}) SELECT :copy, {columns} FROM {table} "
                    "WHERE bundle_hash = :source"
                ),
                {"copy": copy, "source": source},
            )
        connection.execute(
            text(
                "INSERT INTO training_runs (key, model_name, snapshot_id, status, bundle_hash, version, config, "
                "evaluation) SELECT 'copy', model_name, snapshot_id, status, :copy, version, config, evaluation "
                "FROM training_runs WHERE bundle_hash = :source"
            ),
            {"copy": copy, "source": source},
        )


def _swaps(app, store, versions: list[int]) -> None:
    """Move the alias to and fro while threads predict; the slowest swap, and answers of no single bundle."""
    from mlflow import MlflowClient

    from registry.deployments import current_champion
    from serving.adoption import adopt
    from serving.lineup import Lineup
    from tasks.registry_watch import watching_registry
    from tasks.stores import bundle_cache

    cache, client = bundle_cache(app), MlflowClient(store.tracking_uri)
    known = {version: cache.load(store.version(version).bundle_hash) for version in versions}
    contract = known[versions[0]].contract
    X = np.random.default_rng(1).normal(size=(ROWS, len(contract.names))).astype(np.float32)
    right = {bundle.hash: bundle.predict(X).tobytes() for bundle in known.values()}
    held: list[Lineup] = [Lineup()]
    crowd = Crowd(held=held, X=X, right=right)
    with watching_registry(app, every_s=app.settings.registry.watch_s, contract=contract, say=print) as watched:

        def follow() -> None:
            held[0] = adopt(
                app.engine, cache, model_name=store.model_name, contract=contract, loaded=held[0], look=watched().look
            )

        def swap(version: int) -> float:
            began = time.perf_counter()
            client.set_registered_model_alias(store.model_name, "champion", str(version))
            while held[0].champion.bundle.hash != known[version].hash:
                if time.perf_counter() - began > PATIENCE_S:
                    raise TimeoutError(
                        f"version {version} does not serve: {watched().look}, {held[0].cause}: {held[0].detail}"
                    )
                follow()
                time.sleep(0.01)
            served = time.perf_counter() - began
            while store.synced_deployment() != current_champion(app.engine, store.model_name).id:
                time.sleep(0.01)  # the watch is still showing this one; a move now would be taken for an old alias
            return served

        follow()
        with crowd.predicting():
            spent = [swap(versions[(k + 1) % 2]) for k in range(SWAPS)]
    told("alias_to_serving", max(spent), 2.0, median_s=round(statistics.median(spent), 3), swaps=SWAPS,
         predictions=sum(crowd.count), mixed=crowd.mixed)  # fmt: skip


@dataclass(kw_only=True)
class Crowd:
    """Threads that predict ``X`` through ``held[0]``, whatever it is, and compare with what each bundle must say."""

    held: list
    X: np.ndarray
    right: dict[str, bytes]
    count: list[int] = field(default_factory=lambda: [0, 0])
    mixed: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def predicting(self) -> Iterator[None]:
        """While the block runs, and until there were enough."""
        threads = [threading.Thread(target=self._predict, args=(k,), daemon=True) for k in range(2)]
        for thread in threads:
            thread.start()
        yield
        self.stop.set()
        for thread in threads:
            thread.join()

    def _predict(self, k: int) -> None:
        while not self.stop.is_set() or self.count[k] < PREDICTIONS // 2:
            bundle = self.held[0].champion.bundle
            self.mixed += bundle.predict(self.X).tobytes() != self.right[bundle.hash]
            self.count[k] += ROWS


def median(works: list[Callable[[], object]]) -> float:
    """Median seconds of several runs."""
    spent = []
    for work in works:
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def told(case: str, seconds: float, target_s: float, **more: object) -> None:
    """One line."""
    print(json.dumps({"case": f"registry.{case}", "seconds": round(seconds, 3), "target_s": target_s, **more}))


if __name__ == "__main__":
    main()
