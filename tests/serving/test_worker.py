"""Serving bars: what is recorded, what is said, and what survives being killed."""

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from features.batch import compute_features
from infra.lake import Lake
from infra.tables import feature_rows, heartbeats, paper_trades, predictions, signals
from market.barriers import simulate_trades
from market.timeframe import DAY_MS
from registry.errors import PredictionError
from registry.load import LoadedBundle
from serving.decision import decide_history
from serving.errors import ReplayError
from serving.halt import set_halt
from serving.lake_inputs import batch_inputs, known_path
from serving.lineup import Lineup, ServedBundle, ServePlan
from serving.states import State, state_of
from serving.worker import replay, serve_forever, serve_once
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME, TRAIN_END, SmallMarket

ROOT = Path(__file__).resolve().parents[2]
N = 120


def plan_for(market: SmallMarket, **changes) -> ServePlan:
    return replace(ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r"), **changes)


def lineup_of(bundles: tuple[LoadedBundle, ...]) -> Lineup:
    champion, challenger = (ServedBundle(bundle=one, version=k + 1) for k, one in enumerate(bundles))
    return Lineup(champion=champion, challengers=(challenger,))


def run(engine: Engine, market: SmallMarket, lineup: Lineup, *, bars: int = N, start: int = TRAIN_END, **changes):
    return replay(
        engine,
        market.lake,
        lineup,
        plan=plan_for(market, **changes),
        start_index=start,
        end_index=start + bars,
    )


def content(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the serving tables without ids and times of writing."""
    found = {}
    with engine.connect() as connection:
        for table in (feature_rows, predictions, signals, paper_trades):
            kept = [column for column in table.c if column.name not in {"id", "decided_at"}]
            rows = connection.execute(select(*kept)).all()
            found[table.name] = sorted(tuple(map(str, row)) for row in rows)
    return found


def said(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(connection.execute(select(signals).order_by(signals.c.bar_ms, signals.c.symbol)))


def test_a_replay_records_every_bar_of_every_symbol_and_bundle(engine, market, bundles):
    """Signals for all, predictions of both bundles for valid rows, trades for actions; the summary counts them."""
    summary = run(engine, market, lineup_of(bundles))
    found = content(engine)
    assert (summary.bars, summary.first_index, summary.last_index) == (N, TRAIN_END, TRAIN_END + N - 1)
    assert summary.signals == len(found["signals"]) == 3 * N
    assert summary.predictions == len(found["predictions"]) == 6 * N
    assert len(found["feature_rows"]) == 3 * N
    assert summary.opened == len(found["paper_trades"]) > 10
    assert summary.reasons == {"ok": 3 * N}
    assert sum(summary.funnel.values()) == sum(summary.actions.values()) == 3 * N
    assert summary.actions[1] > 0
    assert summary.actions[2] > 0
    with engine.connect() as connection:
        roles = Counter(connection.scalars(select(predictions.c.role)))
        open_now = connection.scalars(select(paper_trades.c.bar_ms).where(paper_trades.c.exit_ms.is_(None))).all()
    assert roles == {"champion": 3 * N, "challenger": 3 * N}
    assert summary.opened - summary.closed == len(open_now)
    assert all(at >= TIMEFRAME.open_time(TRAIN_END + N - 13) for at in open_now)


def test_what_is_served_is_what_the_backtest_decides(engine, market, bundles):
    """Actions, sizes and steps of a replay equal ``decide_history`` over batch features of the same bars."""
    bundle = bundles[0]
    run(engine, market, lineup_of(bundles))
    blocks, exits = [], []
    for symbol in SYMBOLS:
        inputs = batch_inputs(
            market.lake, symbol, market.contract, first_index=TRAIN_END, end_index=TRAIN_END + N, as_of_ms=None
        )
        block = compute_features(inputs, market.contract, start_index=TRAIN_END)
        blocks.append(block.values)
        path = known_path(market.lake, symbol, TIMEFRAME, first_index=TRAIN_END, end_index=END_INDEX)
        exits.append(
            simulate_trades(
                path,
                np.arange(TRAIN_END, TRAIN_END + N),
                atr_fraction=block.values[:, market.contract.index_of("atr_pct")].astype(float),
                vol_ratio=block.values[:, market.contract.index_of("atr_ratio")].astype(float),
                spec=bundle.label_spec,
            ).exit_index
        )
    X = np.stack(blocks, axis=1)
    p = bundle.predict_models(np.ascontiguousarray(X.reshape(N * 3, -1))).reshape(3, N, 3, 3).transpose(1, 2, 0, 3)
    tested = decide_history(
        bundle.policy,
        bundle.weights,
        first_index=TRAIN_END,
        probabilities=p,
        eligible=np.ones((N, 3), bool),
        volatility=X[:, :, market.contract.index_of("realized_vol_288")].astype(float) * np.sqrt(288),
        exit_index=np.stack(exits, axis=1),
    )
    rows = said(engine)
    order = [SYMBOLS.index(row.symbol) for row in rows]
    at = [row.bar_ms // TIMEFRAME.ms - TRAIN_END for row in rows]
    assert [row.action for row in rows] == [int(tested.action[t, s]) for t, s in zip(at, order, strict=True)]
    assert [row.size or 0.0 for row in rows] == [float(tested.size[t, s]) for t, s in zip(at, order, strict=True)]
    assert np.count_nonzero(tested.action) > 10


def test_serving_again_changes_nothing_and_serves_nothing(engine, market, bundles):
    """A second replay finds every bar served, by looking at the rows."""
    run(engine, market, lineup_of(bundles), bars=30)
    before = content(engine)
    again = run(engine, market, lineup_of(bundles), bars=30)
    assert (again.bars, again.already_served) == (0, 30)
    assert content(engine) == before


def test_a_run_in_two_parts_equals_a_run_in_one(engine, market, bundles, tmp_path):
    """Stopping between bars, with trades open and memory full, leaves no trace."""
    lineup = lineup_of(bundles)
    run(engine, market, lineup)
    whole = content(engine)
    _empty(engine)
    for bars in (1, 41, 42, 90, N):
        run(engine, market, lineup, bars=bars)
    assert content(engine) == whole


def test_a_hole_in_what_was_recorded_is_filled_with_the_same_rows(engine, market, bundles):
    """Rows lost in the middle are found missing and served again as they were."""
    lineup = lineup_of(bundles)
    run(engine, market, lineup)
    whole = content(engine)
    hole = TIMEFRAME.open_time(TRAIN_END + 50)
    with engine.begin() as connection:
        connection.execute(signals.delete().where(signals.c.bar_ms == hole))
        connection.execute(predictions.delete().where(predictions.c.bar_ms == hole + 5 * TIMEFRAME.ms))
    again = run(engine, market, lineup)
    assert again.already_served == 50
    assert content(engine) == whole


_VICTIM = """
import sys
from pathlib import Path
from infra.database import open_database
from infra.lake import Lake
from infra.settings import load_settings
from registry.load import load_bundle
from serving.lineup import Lineup, ServedBundle, ServePlan
from serving.worker import replay
from tests.fakes.small_market import SYMBOLS, TRAIN_END, small_contract
home, lake, first, second = map(Path, sys.argv[1:5])
loaded = [load_bundle(d, expected_hash=None) for d in (first, second)]
bundles = [ServedBundle(bundle=one, version=k + 1) for k, one in enumerate(loaded)]
with open_database(load_settings(home, environ={})) as engine:
    replay(
        engine, Lake(lake), Lineup(champion=bundles[0], challengers=(bundles[1],)),
        plan=ServePlan(model_name="m", symbols=SYMBOLS, contract=small_contract(), run="r"),
        start_index=TRAIN_END, end_index=TRAIN_END + int(sys.argv[5]),
        on_progress=lambda done, total: print(done, flush=True),
    )
"""


@pytest.mark.integration
def test_killed_at_any_bar_and_started_again_the_rows_are_the_same(engine, home, market, bundles, bundle_dirs):
    """SIGKILL in mid-replay, twice; the third run ends with exactly the rows of an undisturbed one."""
    lineup = lineup_of(bundles)
    run(engine, market, lineup)
    whole = content(engine)
    _empty(engine)
    for kill_after in (30, 60):
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, home, market.lake.root, *bundle_dirs.values(), str(N)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert victim.stdout is not None
        for line in victim.stdout:
            if int(line) >= kill_after:
                break
        victim.kill()
        victim.communicate()
    kept = content(engine)
    assert 0 < len(kept["signals"]) < 3 * N
    run(engine, market, lineup)
    assert content(engine) == whole


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (feature_rows, predictions, signals, paper_trades):
            connection.execute(table.delete())


def test_a_challenger_that_joins_later_adds_its_rows_and_changes_none(engine, market, bundles):
    """Bars served without it are predicted for it, as if it had been there; what was said stays said."""
    both = lineup_of(bundles)
    run(engine, market, replace(both, challengers=()), bars=40)
    before = content(engine)
    joined = run(engine, market, both, bars=40)
    after = content(engine)
    assert joined.bars == 40
    assert after["signals"] == before["signals"]
    assert set(before["predictions"]) < set(after["predictions"])
    assert len(after["predictions"]) == 2 * len(before["predictions"])
    _empty(engine)
    run(engine, market, both, bars=40)
    assert content(engine) == after


def test_without_a_champion_every_signal_is_flat_and_the_challenger_is_still_scored(engine, market, bundles):
    """No champion: FLAT with that reason, no action, and shadow evidence all the same."""
    challenger = ServedBundle(bundle=bundles[1], version=2)
    summary = run(engine, market, Lineup(challengers=(challenger,)), bars=20)
    rows = said(engine)
    assert {(row.state, row.reason, row.action, row.bundle_hash) for row in rows} == {("FLAT", "no_champion", 0, None)}
    assert summary.predictions == 60


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"symbols": ["SYNBTCUSDT"]}, "symbol_not_covered"),
        ({"synthetic": False}, "synthetic_model"),
        ({"train_end_ms": TIMEFRAME.open_time(TRAIN_END) - 91 * DAY_MS}, "model_expired"),
        ({"train_end_ms": TIMEFRAME.open_time(TRAIN_END) - 89 * DAY_MS}, "ok"),
    ],
)
def test_a_champion_that_must_not_speak_here_is_flat(engine, market, bundles, facts, reason):
    """Uncovered symbol, other kind of market, too old: FLAT with the reason, on both sides of the age limit."""
    champion = replace(bundles[0], facts={**bundles[0].facts, **facts})
    run(engine, market, Lineup(champion=ServedBundle(bundle=champion, version=1)), bars=10)
    spoken = {row.symbol: row.reason for row in said(engine)}
    assert spoken["SYNETHUSDT"] == reason
    if reason == "symbol_not_covered":
        assert spoken["SYNBTCUSDT"] == "ok"


@pytest.mark.parametrize(
    ("cause", "has_champion", "state", "reason"),
    [
        ("bundle_refused", True, "LAST_GOOD", "bundle_refused"),
        ("registry_down", True, "LAST_GOOD", "registry_down"),
        ("contract_mismatch", True, "FLAT", "contract_mismatch"),
        ("bundle_refused", False, "FLAT", "no_champion"),
        ("contract_mismatch", False, "FLAT", "contract_mismatch"),
    ],
)
def test_the_last_good_champion_speaks_on_and_says_so(engine, market, bundles, cause, has_champion, state, reason):
    """LAST_GOOD acts like FULL under its own name; without a last good one there is nothing but FLAT."""
    lineup = replace(lineup_of(bundles), cause=cause, detail="why")
    run(engine, market, lineup if has_champion else replace(lineup, champion=None), bars=60)
    rows = said(engine)
    assert {(row.state, row.reason) for row in rows} == {(state, reason)}
    assert any(row.action for row in rows) == (state == "LAST_GOOD")


@dataclass(frozen=True)
class Failing:
    """A predictor that breaks."""

    name: str
    kind: str
    error: Exception

    def predict(self, X):
        """Break."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PredictionError("nan", why="w", remedy="r"), "model_error"),
        (RuntimeError("surprise"), "unknown_error"),
    ],
)
def test_a_broken_champion_is_flat_and_the_challenger_goes_on(engine, market, bundles, error, reason):
    """The champion's error is its own: FLAT with the cause, counted, and the other bundle is scored."""
    broken = replace(bundles[0], predictors=(Failing("x", "logistic", error), *bundles[0].predictors[1:]))
    lineup = replace(lineup_of(bundles), champion=ServedBundle(bundle=broken, version=1))
    summary = run(engine, market, lineup, bars=10)
    assert {(row.state, row.reason, row.action) for row in said(engine)} == {("FLAT", reason, 0)}
    assert summary.errors == {broken.hash: 10}
    assert summary.predictions == 30


def test_too_few_healthy_models_is_flat(engine, market, bundles):
    """A policy that wants more models than there are decides nothing."""
    lonely = replace(bundles[0], policy=replace(bundles[0].policy, min_healthy=4))
    run(engine, market, Lineup(champion=ServedBundle(bundle=lonely, version=1)), bars=5)
    assert {(row.state, row.reason) for row in said(engine)} == {("FLAT", "no_quorum")}


def test_a_plan_that_fits_no_bundle_is_refused(engine, market, bundles):
    """Doubled symbols and another contract are refused before anything is served."""
    with pytest.raises(ReplayError, match="each market"):
        run(engine, market, lineup_of(bundles), symbols=("SYNBTCUSDT", "SYNBTCUSDT"))
    with pytest.raises(ReplayError, match="max_filled"):
        run(engine, market, lineup_of(bundles), contract=replace(market.contract, max_filled=3))
    assert said(engine) == []


def once(engine, market, lineup, *, now_ms: int, lake: Lake | None = None, **options):
    return serve_once(engine, lake or market.lake, lineup, plan=plan_for(market, run="live"), now_ms=now_ms, **options)


AT = TRAIN_END + 20


def test_the_newest_closed_bar_is_served_once(engine, market, bundles):
    """Right after a close that bar is decided; asking again serves nothing; the heartbeat tells."""
    now = TIMEFRAME.close_time(AT) + 7_000
    view = _until(market, AT)
    first = once(engine, market, lineup_of(bundles), now_ms=now, lake=view)
    assert (first.bars, first.last_index, first.reasons) == (1, AT, {"ok": 3})
    assert once(engine, market, lineup_of(bundles), now_ms=now + 1000, lake=view).bars == 0
    with engine.connect() as connection:
        assert connection.scalar(select(heartbeats.c.component)) == "worker"
        assert set(connection.scalars(select(feature_rows.c.known_at_ms))) == {now}


class _CutLake(Lake):
    """The real lake, as it was before later bars were collected."""

    def __init__(self, lake: Lake, last_index: int) -> None:
        super().__init__(lake.root)
        self._last = last_index

    def watermark(self, symbol, timeframe):
        """The newest bar collected so far."""
        return timeframe.open_time(self._last)


def _until(market: SmallMarket, last_index: int) -> Lake:
    return _CutLake(market.lake, last_index)


def test_missed_bars_are_caught_up_and_stale_ones_are_flat(engine, market, bundles):
    """After six bars of silence all six are recorded; only those within ``max_age_bars`` may speak."""
    lineup = lineup_of(bundles)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=_until(market, AT))
    caught = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 6) + 7_000, lake=_until(market, AT + 6))
    assert caught.bars == 6
    reasons = {row.bar_ms // TIMEFRAME.ms - AT: row.reason for row in said(engine)}
    assert reasons == {0: "ok", 1: "stale_data", 2: "stale_data", 3: "stale_data", 4: "stale_data", 5: "ok", 6: "ok"}
    assert caught.predictions == 36


def test_catching_up_has_a_limit_that_is_told(engine, market, bundles):
    """Bars beyond the limit are passed over and counted."""
    lineup = lineup_of(bundles)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=_until(market, AT))
    late = once(
        engine,
        market,
        lineup,
        now_ms=TIMEFRAME.close_time(AT + 10) + 7_000,
        lake=_until(market, AT + 10),
        max_catch_up=4,
    )
    assert (late.bars, late.passed_over, late.first_index) == (4, 6, AT + 7)


def test_a_bar_that_has_not_come_is_waited_for_and_then_a_gap(engine, market, bundles, tmp_path):
    """Within the grace the bar is left alone; after it the bar is recorded as missing."""
    lineup = lineup_of(bundles)
    lake = _short_lake(market, tmp_path / "short", AT)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=lake)
    assert once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 60_000, lake=lake).bars == 0
    overdue = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 60_001, lake=lake)
    assert (overdue.bars, overdue.reasons) == (1, {"gap": 3})
    assert {row.state for row in said(engine) if row.bar_ms == TIMEFRAME.open_time(AT + 1)} == {"FLAT"}


def _short_lake(market: SmallMarket, root: Path, last_index: int) -> Lake:
    lake = Lake(root)
    for symbol in SYMBOLS:
        end = TIMEFRAME.open_time(last_index + 1)
        lake.append_candles(market.lake.candles(symbol, TIMEFRAME, end_ms=end), source="synthetic")
        lake.append_funding(market.lake.funding(symbol, end_ms=end), source="synthetic")
        times, values = market.lake.open_interest(symbol, end_ms=end)
        lake.append_open_interest(symbol, times, values, source="synthetic")
    return lake


def test_bars_from_the_future_are_clock_skew(engine, market, bundles):
    """A lake that is ahead of the clock blocks every symbol, and predictions go on."""
    summary = once(engine, market, lineup_of(bundles), now_ms=TIMEFRAME.close_time(AT) + 7_000)
    assert summary.reasons == {"clock_skew": 3}
    assert summary.predictions == 6


def test_the_halt_switch_blocks_and_releases(engine, market, bundles):
    """HALT while it is on, with predictions recorded; FULL again once it is off."""
    lineup = lineup_of(bundles)
    set_halt(engine, on=True, why="test", who="tester")
    halted = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=_until(market, AT))
    set_halt(engine, on=False, why="over", who="tester")
    free = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 7_000, lake=_until(market, AT + 1))
    assert (halted.reasons, halted.predictions) == ({"halted": 3}, 6)
    assert {row.state for row in said(engine) if row.bar_ms == TIMEFRAME.open_time(AT)} == {State.HALT.name}
    assert free.reasons == {"ok": 3}


def test_a_damaged_lake_is_flat_with_its_cause(engine, market, bundles, tmp_path):
    """What cannot be read says nothing about prices, and that is said."""
    lake = _short_lake(market, tmp_path / "broken", AT)
    lineup = lineup_of(bundles)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=lake)
    for path in (lake.root / "funding" / "SYNETHUSDT").glob("*.parquet"):
        path.write_bytes(b"not parquet")
    broken = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 90_000, lake=lake)
    assert broken.reasons == {"lake_unreadable": 3}
    assert state_of("lake_unreadable") is State.FLAT


def test_for_ever_serves_each_close_and_survives_errors(engine, market, bundles):
    """The loop serves a bar after its settle delay, hands errors to its caller, and ends when told."""
    stop, ticks, bars, errors = Event(), iter(range(100)), [], []
    lineup = lineup_of(bundles)
    start = TIMEFRAME.close_time(AT)
    clock = [start + 1_000]

    def clock_ms() -> int:
        return clock[0]

    def adopt(loaded: Lineup | None) -> Lineup:
        tick = next(ticks)
        if tick == 0:
            assert loaded is None
        if tick == 1:
            raise OperationalError("select", {}, Exception("gone"))
        clock[0] = start + (1_000 if tick == 0 else 6_000)
        if tick == 4:
            stop.set()
        return lineup

    serve_forever(
        engine,
        _until(market, AT),
        plan=plan_for(market, run="live"),
        adopt=adopt,
        stop=stop,
        settle_delay_ms=5_000,
        poll_s=0.001,
        on_bar=bars.append,
        on_error=lambda error, cause: errors.append(cause),
        clock_ms=clock_ms,
    )
    assert errors == ["database_down"]
    assert [(one.bars, one.last_index) for one in bars][-1] == (1, AT)
