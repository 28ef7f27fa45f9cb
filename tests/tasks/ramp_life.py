"""A champion's life on accelerated stamps: bars served, predictions made and trades closed, as rows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from infra.bootstrap import App
from infra.capital_tables import capital_stages, worker_stops
from infra.tables import (
    bundles,
    deployments,
    feature_rows,
    heartbeats,
    paper_trades,
    predictions,
    signals,
    trigger_checks,
)
from market.timeframe import Timeframe
from tasks.ramp import evaluate_ramp

M5 = Timeframe.parse("5m")
START = 1_767_225_600_000  # 2026-01-01 00:00 UTC
HOUR = 3_600_000


def moment(ms: int) -> datetime:
    """Milliseconds as a database wants them."""
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass
class Life:
    """One model in one database, and the time it is there."""

    app: App
    now_ms: int = START
    symbol: str = "BTCUSDT"
    bundle: str = ""

    @property
    def engine(self) -> Engine:
        """Its database."""
        return self.app.engine

    @property
    def model(self) -> str:
        """Its name."""
        return self.app.settings.registry.model_name

    def champion(self, letter: str, *, synthetic: bool = False) -> None:
        """Make this bundle champion."""
        self.bundle = letter * 64
        with self.engine.begin() as connection:
            row = {"model_name": self.model, "version": ord(letter), "contract": "c", "label_spec": "l"}
            known = {**row, "bundle_hash": self.bundle, "synthetic": synthetic, "train_end_ms": 0, "facts": {}}
            connection.execute(upsert(bundles).values(known).on_conflict_do_nothing())
            connection.execute(
                insert(deployments).values(
                    model_name=self.model, bundle_hash=self.bundle, version=1, action="promote", why="w", who="w"
                )
            )

    def serve(self, hours: float, *, net: float = 0.001, share: float = 0.9, reason: str = "ok", late: int = 0) -> None:
        """Serve so many hours from now, one trade a bar; ``late``: write all of it so many ms after the last close."""
        bars = [self.now_ms // M5.ms + k for k in range(round(hours * HOUR / M5.ms))]
        end = (bars[-1] + 1) * M5.ms
        with self.engine.begin() as connection:
            for table, rows in self._rows(bars, net=net, share=share, reason=reason, late=late).items():
                connection.execute(insert(table), rows)
        self.now_ms = end + late + 10_000
        self.beat()

    def beat(self) -> None:
        """A heartbeat of the worker now."""
        row = upsert(heartbeats).values(component="worker", at=moment(self.now_ms), detail={})
        with self.engine.begin() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["component"], set_={"at": row.excluded["at"]}))

    def stop(self) -> None:
        """The worker is stopped on purpose now."""
        with self.engine.begin() as connection:
            connection.execute(
                insert(worker_stops).values(model_name=self.model, why="w", who="w", created_at=moment(self.now_ms))
            )

    def fire(self, name: str) -> None:
        """A check of the champion fires now."""
        row = {"model_name": self.model, "name": name, "bundle_hash": self.bundle, "verdict": "fired", "reason": "r"}
        with self.engine.begin() as connection:
            connection.execute(insert(trigger_checks).values(**row, inputs={}, created_at=moment(self.now_ms)))

    def check(self) -> dict[str, Any]:
        """Judge it now."""
        return evaluate_ramp(self.app, now_ms=self.now_ms)

    def stages(self) -> list[str]:
        """Every stored stage, oldest first."""
        with self.engine.connect() as connection:
            return list(connection.scalars(select(capital_stages.c.stage).order_by(capital_stages.c.id)))

    def checks(self) -> list[tuple[str, str | None]]:
        """Verdict and action of every stored check of the ramp."""
        t = trigger_checks.c
        with self.engine.connect() as connection:
            rows = connection.execute(select(t.verdict, t.action).where(t.name == "ramp").order_by(t.id))
            return [tuple(row) for row in rows]

    def grow(self, stage: str) -> None:
        """Live well until this stage begins."""
        hours = {"observe": 0, "paper": 1.1, "capital_10": 24.1, "capital_25": 6.1, "capital_full": 18.1}
        for name, needed in hours.items():
            if needed:
                self.serve(needed)
            assert self.check()["stage"] == name
            if name == stage:
                return

    def clear(self) -> None:
        """Forget everything."""
        tables = "bundles, deployments, feature_rows, heartbeats, paper_trades, predictions, signals, switches"
        with self.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {tables}, trigger_checks, capital_stages, worker_stops"))

    def _rows(self, bars: list[int], *, net: float, share: float, reason: str, late: int) -> dict[Any, list[Any]]:
        made: dict[Any, list[Any]] = {feature_rows: [], predictions: [], signals: [], paper_trades: []}
        for bar in bars:
            at = moment((bars[-1] + 1) * M5.ms + late if late else (bar + 1) * M5.ms + 5000)
            key = {"symbol": self.symbol, "bar_ms": bar * M5.ms}
            said = {**key, "model_name": self.model, "bundle_hash": self.bundle, "run": "live", "decided_at": at}
            made[feature_rows].append({**key, "contract": self.bundle, "features": b"", "reason": 0, "known_at_ms": 0})
            made[predictions].append(
                said
                | {"role": "champion", "contract": self.bundle, "model_probabilities": [0.1, 0.8, 0.1], "votes": [1]}
                | {"probabilities": [0.1, 0.8, 0.1], "action": 1, "confidence": 0.8, "size": 0.1, "output_hash": "h"}
                | {"steps": {"share": share, "weights": [1.0]}}
            )
            made[signals].append(said | {"state": "FULL", "reason": reason, "action": 1, "steps": {}})
            made[paper_trades].append(
                key
                | {"bundle_hash": self.bundle, "contract": self.bundle, "label_spec": "l", "side": 1 - 2 * (bar % 2)}
                | {"size": 0.1, "book_size": 0.1, "correlation": 0.0, "atr_fraction": 0.01, "vol_ratio": 1.0}
                | {"entry_ms": (bar + 1) * M5.ms, "exit_ms": bar * M5.ms, "settled_ms": bar * M5.ms}
                | {"net": net, "gross": net, "funding": 0.0, "barrier": 1}
            )
        return made
