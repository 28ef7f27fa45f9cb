"""Which numbers does Prometheus collect?

Read at each scrape from the database and this process; a number that is not known is absent, never zero. While the
database is away ``lockstep_database_up`` is 0, and what is read from it is absent.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import psutil
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import InfraError
from infra.heartbeats import read_heartbeats
from infra.tables import bundles, signal_cursors, signals
from market.timeframe import Timeframe
from registry.deployments import current_champion
from registry.policy import Action
from serving.halt import is_halted
from serving.signal_feed import newest_signal_id

__all__ = ["Facts", "metrics_page", "metrics_registry", "read_facts"]

_LAST_BARS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the database holds; None is what nobody knows. ``signals`` counts (state, reason, action)."""

    halted: bool
    champion_version: int | None = None
    champion_hash: str | None = None
    model_age_s: float | None = None
    bar_lag_s: float | None = None
    signals: dict[tuple[str, str, str], int] = field(default_factory=dict)
    heartbeat_age_s: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)


def read_facts(engine: Engine, *, model_name: str, timeframe: Timeframe, now_ms: int) -> Facts:
    """One look; raises ``SQLAlchemyError`` or ``DatabaseError`` while the database is away."""
    champion = current_champion(engine, model_name)
    beats = read_heartbeats(engine)
    with engine.connect() as connection:
        newest = connection.scalar(select(func.max(signals.c.bar_ms)).where(signals.c.model_name == model_name))
        trained = None
        if champion is not None:
            ended = select(bundles.c.train_end_ms).where(bundles.c.bundle_hash == champion.bundle_hash)
            trained = connection.scalar(ended)
        last_id = newest_signal_id(connection)
        return Facts(
            halted=is_halted(connection),
            champion_version=None if champion is None else champion.version,
            champion_hash=None if champion is None else champion.bundle_hash,
            model_age_s=None if trained is None else (now_ms - trained) / 1000,
            bar_lag_s=None if newest is None else (now_ms - newest - timeframe.ms) / 1000,
            signals={} if newest is None else _said(connection, model_name, newest - _LAST_BARS * timeframe.ms),
            heartbeat_age_s={name: one.age_s for name, one in beats.items()},
            waiting={row.sink: last_id - row.last_id for row in connection.execute(select(signal_cursors))},
        )


def metrics_registry(read: Callable[[], Facts]) -> CollectorRegistry:
    """A registry of its own, which reads anew at each scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(read))
    return registry


def metrics_page(registry: CollectorRegistry) -> bytes:
    """The page in Prometheus' text format."""
    return generate_latest(registry)


class _Collector:
    """What Prometheus' client asks for metrics."""

    def __init__(self, read: Callable[[], Facts]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of the first scrape: describing would ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every metric of this moment."""
        yield from _process()
        try:
            facts = self._read()
        except (SQLAlchemyError, InfraError):
            yield _gauge("lockstep_database_up", "Whether the database answers", 0.0)
            return
        yield _gauge("lockstep_database_up", "Whether the database answers", 1.0)
        yield from _families(facts)


def _families(facts: Facts) -> Iterator[Metric]:
    yield _gauge("lockstep_halted", "Whether the halt switch is on", float(facts.halted))
    yield _gauge("lockstep_champion_version", "Registered version that serves", facts.champion_version)
    yield _gauge("lockstep_model_age_seconds", "Since the champion's training data ended", facts.model_age_s)
    yield _gauge("lockstep_bar_lag_seconds", "Since the last served bar closed", facts.bar_lag_s)
    info = GaugeMetricFamily("lockstep_champion_info", "The bundle that serves", labels=["bundle_hash"])
    if facts.champion_hash is not None:
        info.add_metric([facts.champion_hash], 1.0)
    yield info
    said = GaugeMetricFamily(
        "lockstep_signals",
        f"Signals of the last {_LAST_BARS} served bars",
        labels=["state", "reason", "action"],
    )
    for labels, count in sorted(facts.signals.items()):
        said.add_metric(list(labels), count)
    yield said
    beats = GaugeMetricFamily(
        "lockstep_heartbeat_age_seconds", "Since a component's sign of life", labels=["component"]
    )
    for component, age_s in sorted(facts.heartbeat_age_s.items()):
        beats.add_metric([component], age_s)
    yield beats
    waiting = GaugeMetricFamily("lockstep_sink_lag_ids", "Signal ids a sink is behind the newest", labels=["sink"])
    for sink, count in sorted(facts.waiting.items()):
        waiting.add_metric([sink], count)
    yield waiting


def _gauge(name: str, meaning: str, value: float | None) -> GaugeMetricFamily:
    made = GaugeMetricFamily(name, meaning)
    if value is not None:
        made.add_metric([], value)
    return made


def _process() -> Iterator[Metric]:
    """This process under the names every Prometheus client uses."""
    process = psutil.Process(os.getpid())
    with process.oneshot():
        used = process.cpu_times()
        yield CounterMetricFamily("process_cpu_seconds", "CPU time used", value=used.user + used.system)
        yield _gauge("process_resident_memory_bytes", "Resident memory", float(process.memory_info().rss))
        yield _gauge("process_start_time_seconds", "Start of the process, Unix time", process.create_time())


def _said(connection: Connection, model_name: str, after_ms: int) -> dict[tuple[str, str, str], int]:
    query = (
        select(signals.c.state, signals.c.reason, signals.c.action, func.count().label("n"))
        .where(signals.c.model_name == model_name, signals.c.bar_ms > after_ms)
        .group_by(signals.c.state, signals.c.reason, signals.c.action)
    )
    return {(row.state, row.reason, Action(row.action).name): row.n for row in connection.execute(query)}
