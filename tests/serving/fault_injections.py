"""One fault for each row of the fail-closed table, made with the real parts, and how it is healed.

Each injection is a generator: it breaks something and yields what must be seen, then heals it.
"""

import resource
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, insert, text

from infra.postgres_cluster import Cluster
from infra.settings_ramp import RampSettings
from infra.tables import deployments, drift_runs, feature_rows, paper_trades, predictions
from infra.venues import record_check
from market.candles import Candles
from registry.deployments import current_champion
from registry.look import NOTHING_WRONG, look_at_registry
from registry.mlflow_store import ModelStore
from registry.policy_rules import GuardRule
from serving.arming import arm
from serving.halt import set_halt
from serving.ramp import Clock, Stage
from serving.stages import append_stage
from serving.venue_rule import VenueRule
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, copy_stamps
from tests.serving.fault_stand import AT, BROKEN, Stand

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What must be seen: which markets are hurt, at which bar, and when it is served.

    ``silent``: nothing at all is said while the fault lasts.
    """

    symbols: tuple[str, ...] = SYMBOLS
    at: int = AT + 1
    after_s: float = 7
    silent: bool = False
    without: tuple[str, ...] = ()


Injection = Callable[[Stand], Iterator[Seen]]
INJECTIONS: dict[str, Injection] = {}
ONE = (BROKEN,)


def breaks(cause: str) -> Callable[[Injection], Injection]:
    """Enter an injection under the row it is for."""

    def entered(injection: Injection) -> Injection:
        assert cause not in INJECTIONS
        INJECTIONS[cause] = injection
        return injection

    return entered


@breaks("ok")
def nothing(_stand: Stand) -> Iterator[Seen]:
    """All is well."""
    yield Seen()


@breaks("revised_bar")
def the_venue_changes_a_bar(stand: Stand) -> Iterator[Seen]:
    """A bar decided long ago comes back with other prices."""
    old = stand.original(BROKEN, AT - 3, AT - 2)
    prices = {name: getattr(old, name) * 1.001 for name in ("open", "high", "low", "close")}
    stand.store(replace(old, **prices), known_at_ms=TIMEFRAME.close_time(AT + 1) + 1000)
    yield Seen(symbols=ONE)


@breaks("bundle_refused")
def a_damaged_bundle_is_promoted(stand: Stand) -> Iterator[Seen]:
    """One byte more than was sealed."""
    second = stand.bundles[1].hash
    target = next(path for path in sorted((stand.cache.root / second).iterdir()) if path.name != "manifest.json")
    target.write_bytes(target.read_bytes() + b" ")
    stand.deploy(second, 2)
    yield Seen()
    stand.deploy(stand.bundles[0].hash, 1)


@breaks("registry_down")
def nobody_answers_at_the_registry(stand: Stand) -> Iterator[Seen]:
    """The real client looks at a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    store = ModelStore(uri, model_name=stand.plan.model_name, artifact_root=None)
    stand.look = look_at_registry(
        stand.engine, store, stand.cache, model_name=stand.plan.model_name, serving_mode="paper"
    )
    yield Seen()
    stand.look = NOTHING_WRONG


@breaks("no_champion")
def nothing_was_promoted(stand: Stand) -> Iterator[Seen]:
    """No row in ``deployments``."""
    with stand.engine.begin() as connection:
        connection.execute(deployments.delete())
    stand.restart()
    yield Seen()
    stand.deploy(stand.bundles[0].hash)


@breaks("contract_mismatch")
def another_release_runs(stand: Stand) -> Iterator[Seen]:
    """The process that starts computes other features than the bundle was made for."""
    stand.running = replace(stand.running, max_filled=3)
    stand.restart()
    yield Seen()
    stand.running = stand.market.contract
    stand.restart()


@breaks("model_expired")
def an_old_bundle_serves(stand: Stand) -> Iterator[Seen]:
    """Its training data ended a hundred days ago."""
    end_ms = TIMEFRAME.open_time(AT) - 100 * DAY_MS
    stand.deploy(stand.resealed(train_end_ms=end_ms, train_start_ms=end_ms - 6 * DAY_MS), 2)
    yield Seen()
    stand.deploy(stand.bundles[0].hash)


@breaks("synthetic_model")
def a_bundle_of_another_world(stand: Stand) -> Iterator[Seen]:
    """It says that it learnt from a real market; these are synthetic."""
    stand.deploy(stand.resealed(synthetic=False), 2)
    yield Seen()
    stand.deploy(stand.bundles[0].hash)


@breaks("symbol_not_covered")
def a_market_it_never_saw(stand: Stand) -> Iterator[Seen]:
    """One market is not in the bundle's list."""
    stand.deploy(stand.resealed(symbols=[one for one in SYMBOLS if one != BROKEN]), 2)
    yield Seen(symbols=ONE)
    stand.deploy(stand.bundles[0].hash)


@breaks("no_data")
def a_market_without_a_bar(stand: Stand) -> Iterator[Seen]:
    """Its folder is gone."""
    stand.forget("candles_5m", BROKEN)
    yield Seen(symbols=ONE, without=ONE)
    stand.store(stand.original(BROKEN, 0, AT + 2))


@breaks("stale_data")
def a_market_stops(stand: Stand) -> Iterator[Seen]:
    """Two bars of one market do not come."""
    yield Seen(symbols=ONE, at=AT + 2, without=ONE)
    stand.store(stand.original(BROKEN, AT + 1, AT + 3))


@breaks("frozen_feed")
def a_feed_repeats_itself(stand: Stand) -> Iterator[Seen]:
    """The same bar twelve times, the newest included."""
    history = stand.original(BROKEN, 0, AT + 2)
    columns = {name: getattr(history, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for column in columns.values():
        column[-12:] = column[-12]
    stand.forget("candles_5m", BROKEN)
    stand.store(replace(history, **columns))
    yield Seen(symbols=ONE, without=ONE)


@breaks("clock_skew")
def the_venues_clock_differs(stand: Stand) -> Iterator[Seen]:
    """By five seconds."""
    stand.venue = VenueRule(venue="venue", max_clock_skew_ms=2000, answer_needed=False)
    record_check(stand.engine, "venue", clock_skew_ms=5000)
    yield Seen()
    record_check(stand.engine, "venue", clock_skew_ms=0)


@breaks("venue_unchecked")
def the_venue_is_not_asked(stand: Stand) -> Iterator[Seen]:
    """In live mode, and its last answer is an hour old."""
    stand.venue = VenueRule(venue="venue", max_clock_skew_ms=2000, answer_needed=True)
    _answered(stand, TIMEFRAME.close_time(AT) - 3_600_000)
    yield Seen()
    _answered(stand, TIMEFRAME.close_time(AT + 2))


def _answered(stand: Stand, at_ms: int) -> None:
    with stand.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO venues (venue, answered_at) VALUES ('venue', :at) "
                "ON CONFLICT (venue) DO UPDATE SET answered_at = excluded.answered_at"
            ),
            {"at": datetime.fromtimestamp(at_ms / 1000, tz=UTC)},
        )


@breaks("not_armed")
def nobody_armed_it(stand: Stand) -> Iterator[Seen]:
    """Live mode without the second key."""
    stand.plan = replace(stand.plan, arming_needed=True)
    yield Seen()
    until_ms = TIMEFRAME.close_time(AT + 10)
    arm(stand.engine, model_name="m", bundle_hash=stand.bundles[0].hash, until_ms=until_ms, why="test", who="tester")


@breaks("no_capital")
def the_ramp_gives_nothing(stand: Stand) -> Iterator[Seen]:
    """Live mode at the stage in which every champion begins."""
    stand.plan = replace(stand.plan, ramp=RampSettings())
    yield Seen()
    champion = current_champion(stand.engine, stand.plan.model_name)
    assert champion is not None
    clock = Clock(
        bundle_hash=champion.bundle_hash, deployment=champion.id, stage=Stage.CAPITAL_FULL, since_ms=stand.now_ms
    )
    with stand.engine.begin() as connection:
        append_stage(connection, model_name=stand.plan.model_name, clock=clock, reason="test", inputs={}, who="tester")


@breaks("gap")
def a_bar_does_not_come(stand: Stand) -> Iterator[Seen]:
    """One bar of one market."""
    yield Seen(symbols=ONE, without=ONE)
    stand.store(stand.original(BROKEN, AT + 1, AT + 2))


@breaks("too_many_gaps")
def many_bars_are_missing(stand: Stand) -> Iterator[Seen]:
    """Every second bar of half a day is lost."""
    history = stand.original(BROKEN, 0, AT + 2)
    index = history.open_time // TIMEFRAME.ms
    _rewrite(stand, history, (index <= AT - 144) | (index % 2 == (AT + 1) % 2))
    yield Seen(symbols=ONE, without=ONE)
    stand.store(history)


@breaks("warming_up")
def a_young_market(stand: Stand) -> Iterator[Seen]:
    """Its history begins a hundred bars ago."""
    history = stand.original(BROKEN, 0, AT + 2)
    _rewrite(stand, history, history.open_time >= TIMEFRAME.open_time(AT - 100))
    yield Seen(symbols=ONE, without=ONE)
    stand.store(history)


def _rewrite(stand: Stand, history: Candles, keep: np.ndarray) -> None:
    columns = {name: getattr(history, name)[keep] for name in ("open_time", "open", "high", "low", "close", "volume")}
    stand.forget("candles_5m", history.symbol)
    stand.store(replace(history, **columns))


@breaks("funding_unknown")
def funding_is_lost(stand: Stand) -> Iterator[Seen]:
    """The settlements of one market."""
    stand.forget("funding", BROKEN)
    yield Seen(symbols=ONE)
    stand.lake.append_funding(stand.market.lake.funding(BROKEN), source="synthetic")


@breaks("reference_missing")
def the_reference_market_is_lost(stand: Stand) -> Iterator[Seen]:
    """The other two cannot be compared with it."""
    reference = SYMBOLS[0]
    stand.forget("candles_5m", reference)
    yield Seen(symbols=SYMBOLS[1:], without=(reference,))
    stand.store(stand.original(reference, 0, AT + 2))


@breaks("feature_invalid")
def numbers_beyond_reason(stand: Stand) -> Iterator[Seen]:
    """A volume so large that what is computed from it is no number; it passes every check of a candle."""
    newest = stand.original(BROKEN, AT + 1, AT + 2)
    stand.store(replace(newest, volume=np.array([1e308])))
    yield Seen(symbols=ONE, without=ONE)
    stand.store(newest, known_at_ms=TIMEFRAME.close_time(AT + 2))


@breaks("no_quorum")
def a_quorum_nobody_reaches(stand: Stand) -> Iterator[Seen]:
    """Four healthy models are asked of a bundle of three."""
    stand.deploy(stand.resealed(policy={"min_healthy": 4}), 2)
    yield Seen()
    stand.deploy(stand.bundles[0].hash)


@breaks("model_error")
def a_model_refuses_its_input(stand: Stand) -> Iterator[Seen]:
    """Without open interest the linear model has no answer, and none is made up."""
    stand.forget("open_interest", BROKEN)
    yield Seen()
    stand.forget("mark_1h" if stand.folder("mark_1h", BROKEN).exists() else "mark", BROKEN)
    copy_stamps(stand.market.lake, stand.lake, BROKEN)


@breaks("constant_output")
def a_model_says_one_thing(stand: Stand) -> Iterator[Seen]:
    """To every market, seven bars long."""
    stand.plan = replace(stand.plan, constant_predictions=20)
    sound = stand.loaded
    stand.wear(lambda _sound, X: np.tile([0.2, 0.7, 0.1], (X.shape[0], 1)))
    yield Seen(at=AT + 7)
    stand.loaded = sound


@breaks("drift_block")
def the_inputs_have_drifted(stand: Stand) -> Iterator[Seen]:
    """Critical at the last check; the next one finds it gone."""
    stand.plan = replace(stand.plan, drift_block_hours=48)
    _drift(stand, "HIGH")
    _drift(stand, "UNKNOWN")
    yield Seen()
    _drift(stand, "NONE")


def _drift(stand: Stand, verdict: str) -> None:
    last_ms = TIMEFRAME.open_time(AT - 100)
    row = {"first_ms": last_ms - DAY_MS, "last_ms": last_ms, "rows": 100, "features": []}
    with stand.engine.begin() as connection:
        connection.execute(
            insert(drift_runs).values(model_name="m", bundle_hash=stand.bundles[0].hash, verdict=verdict, **row)
        )


@breaks("slow_decision")
def a_model_takes_long(stand: Stand) -> Iterator[Seen]:
    """Each of its three models four seconds."""
    sound = stand.loaded

    def slowly(model, X):
        stand.now_ms += 4000
        return model.predict(X)

    stand.wear(slowly)
    yield Seen()
    stand.loaded = sound


@breaks("guard_paused")
def its_trades_lose(stand: Stand) -> Iterator[Seen]:
    """Ten of its paper trades lost a little each; ten that gain bring it back."""
    guarded = stand.resealed(policy={"guard": GuardRule()})
    stand.deploy(guarded, 2)
    _close_trades(stand, guarded, range(AT - 40, AT - 30), net=-0.001)
    yield Seen()
    _close_trades(stand, guarded, range(AT - 20, AT - 10), net=0.001)


@breaks("daily_loss")
def a_day_is_lost(stand: Stand) -> Iterator[Seen]:
    """Six hundredths of equity since midnight: nothing is said until the next one, which heals it."""
    careful = stand.resealed(policy={"drawdown_limit": 0.9})
    stand.deploy(careful, 2)
    _close_trades(stand, careful, range(AT - 10, AT - 9), net=-0.6)
    yield Seen(at=AT - AT % 288 + 287)


@breaks("drawdown")
def too_much_is_lost(stand: Stand) -> Iterator[Seen]:
    """A fifth of equity in all: the worker halts itself, and a person has to resume."""
    lost = stand.bundles[0].hash
    for day in (4, 3, 2, 1):
        _close_trades(stand, lost, range(AT - day * 288, AT - day * 288 + 1), net=-0.5)
    yield Seen()
    set_halt(stand.engine, on=False, why="found out why", who="tester")


def _close_trades(stand: Stand, bundle_hash: str, bars: Iterable[int], *, net: float) -> None:
    """Paper trades of a tenth of equity that were decided and settled at these bars."""
    with stand.engine.begin() as connection:
        for bar in bars:
            bar_ms = TIMEFRAME.open_time(bar)
            key = {"bundle_hash": bundle_hash, "symbol": BROKEN, "bar_ms": bar_ms}
            made = {"contract": stand.plan.contract_id, "symbol": BROKEN, "bar_ms": bar_ms}
            connection.execute(
                feature_rows.insert().values(**made, features=b"", reason=1, known_at_ms=bar_ms + TIMEFRAME.ms)
            )
            answers = {"model_probabilities": [0.1, 0.8, 0.1] * 3, "probabilities": [0.1, 0.8, 0.1], "votes": [1, 1, 1]}
            decision = {"action": 1, "confidence": 0.8, "size": 0.1, "steps": {}, "output_hash": "o"}
            told = {"model_name": "m", "role": "champion", "run": "live", "contract": stand.plan.contract_id}
            connection.execute(predictions.insert().values(**key, **answers, **decision, **told))
            entry = {"side": 1, "size": 0.1, "book_size": 0.1, "correlation": 0.0, "atr_fraction": 0.01, "vol_ratio": 1}
            result = {"net": net, "gross": net, "funding": 0.0, "barrier": 1}
            times = {"entry_ms": bar_ms + TIMEFRAME.ms, "exit_ms": bar_ms, "settled_ms": bar_ms}
            connection.execute(
                paper_trades.insert().values(
                    **key, contract=stand.plan.contract_id, label_spec="l", **entry, **result, **times
                )
            )


@breaks("lake_unreadable")
def a_file_is_damaged(stand: Stand) -> Iterator[Seen]:
    """The candles of one market are no Parquet any more; within the grace they might still come back."""
    kept = {path: path.read_bytes() for path in stand.folder("candles_5m", BROKEN).glob("*.parquet")}
    for path in kept:
        path.write_bytes(b"not parquet")
    yield Seen(after_s=61, without=ONE)
    for path, content in kept.items():
        path.write_bytes(content)
    stand.store(stand.original(BROKEN, AT + 1, AT + 2))


@breaks("unknown_error")
def a_model_divides_by_zero(stand: Stand) -> Iterator[Seen]:
    """Nobody foresaw that."""
    sound = stand.loaded

    def broken(_model, _X):
        raise ZeroDivisionError("division by zero")

    stand.wear(broken)
    yield Seen()
    stand.loaded = sound


@breaks("database_down")
def postgres_stops(stand: Stand) -> Iterator[Seen]:
    """The server of this home, as an operator stops it."""
    cluster = _cluster(stand)
    cluster.stop()
    yield Seen(silent=True)
    cluster.start()


def _cluster(stand: Stand) -> Cluster:
    with stand.engine.connect() as connection:
        data = connection.scalar(text("SHOW data_directory"))
    return Cluster(root=Path(data).parent)


_FILL = (
    "INSERT INTO feature_rows SELECT 'filler', 'X', g, decode(repeat('ab', 1900), 'hex'), 1, 0 "
    "FROM generate_series(CAST(:first AS int), CAST(:last AS int)) g"
)
"""Rows of which four fill a page of 8 kB."""


@breaks("disk_full")
def the_disk_of_the_database_is_full(stand: Stand) -> Iterator[Seen]:
    """The kernel lets the server write no file beyond the size that one table has.

    That table is made larger than a WAL segment first, so that nothing else is held up. Space is freed as a person
    would: by deleting what fills it.
    """
    with _outside_transactions(stand) as connection:
        connection.execute(text(_FILL), {"first": 1, "last": 8800})
        connection.execute(text("VACUUM FULL feature_rows"))
        size = connection.scalar(text("SELECT pg_relation_size('feature_rows')"))
        on_last_page = text("SELECT count(*) FROM feature_rows WHERE (ctid::text::point)[0] = :page")
        free = 4 - connection.scalar(on_last_page, {"page": size // 8192 - 1})
        connection.execute(text(_FILL), {"first": 9001, "last": 9000 + free})
    cluster = _cluster(stand)
    cluster.stop()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, hard))
    try:
        cluster.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    yield Seen(silent=True)
    with _outside_transactions(stand) as connection:
        connection.execute(text("DELETE FROM feature_rows WHERE contract = 'filler'"))
        connection.execute(text("VACUUM feature_rows"))


def _outside_transactions(stand: Stand) -> Connection:
    return stand.engine.connect().execution_options(isolation_level="AUTOCOMMIT")


@breaks("two_champions")
def a_row_written_past_the_lock(stand: Stand) -> Iterator[Seen]:
    """It replaces a champion that was none."""
    row = {"bundle_hash": stand.bundles[1].hash, "version": 2, "previous_hash": "f" * 64}
    with stand.engine.begin() as connection:
        connection.execute(insert(deployments).values(model_name="m", action="promote", why="t", who="t", **row))
    yield Seen()
    stand.deploy(stand.bundles[0].hash)


@breaks("halted")
def somebody_halts(stand: Stand) -> Iterator[Seen]:
    """And releases it later."""
    set_halt(stand.engine, on=True, why="test", who="tester")
    yield Seen()
    set_halt(stand.engine, on=False, why="over", who="tester")
