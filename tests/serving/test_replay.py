"""Replaying bars: what is recorded, and what survives being killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from features.batch import compute_features
from infra.tables import paper_trades, predictions, signals
from market.barriers import simulate_trades
from serving.decision import decide_history
from serving.lake_inputs import batch_inputs, known_path
from serving.market_facts import MarketFacts, facts_of_rows
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME, TRAIN_END
from tests.serving.replays import N, content, empty, lineup_of, run, said

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def whole(shared_engine, market, bundles):
    """What one undisturbed replay records."""
    empty(shared_engine)
    run(shared_engine, market, lineup_of(bundles))
    return content(shared_engine)


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
    blocks, ends = [], []
    for symbol in SYMBOLS:
        inputs = batch_inputs(
            market.lake, symbol, market.contract, first_index=TRAIN_END, end_index=TRAIN_END + N, as_of_ms=None
        )
        block = compute_features(inputs, market.contract, start_index=TRAIN_END)
        blocks.append(block.values)
        path = known_path(market.lake, symbol, TIMEFRAME, first_index=TRAIN_END, end_index=END_INDEX)
        ends.append(
            simulate_trades(
                path,
                np.arange(TRAIN_END, TRAIN_END + N),
                atr_fraction=block.values[:, market.contract.index_of("atr_pct")].astype(float),
                vol_ratio=block.values[:, market.contract.index_of("atr_ratio")].astype(float),
                spec=bundle.label_spec,
            )
        )
    X = np.stack(blocks, axis=1)
    p = bundle.predict_models(np.ascontiguousarray(X.reshape(N * 3, -1))).reshape(3, N, 3, 3).transpose(1, 2, 0, 3)
    facts = facts_of_rows(X.reshape(N * 3, -1), market.contract.names, bars_per_day=288)
    tested = decide_history(
        bundle.policy,
        bundle.weights,
        first_index=TRAIN_END,
        probabilities=p,
        eligible=np.ones((N, 3), bool),
        facts=MarketFacts(**{name: getattr(facts, name).reshape(N, 3) for name in MarketFacts.__slots__}),
        exit_index=np.stack([one.exit_index for one in ends], axis=1),
        net=np.stack([one.net for one in ends], axis=1),
    )
    rows = said(engine)
    order = [SYMBOLS.index(row.symbol) for row in rows]
    at = [row.bar_ms // TIMEFRAME.ms - TRAIN_END for row in rows]
    spoken = np.where(tested.size > 0.0, tested.action, 0)
    assert [row.action for row in rows] == [int(spoken[t, s]) for t, s in zip(at, order, strict=True)]
    assert [row.size or 0.0 for row in rows] == [float(tested.size[t, s]) for t, s in zip(at, order, strict=True)]
    assert np.count_nonzero(tested.action) > 10


def test_serving_again_changes_nothing_and_serves_nothing(engine, market, bundles):
    """A second replay finds every bar served, by looking at the rows."""
    run(engine, market, lineup_of(bundles), bars=30)
    before = content(engine)
    again = run(engine, market, lineup_of(bundles), bars=30)
    assert (again.bars, again.already_served) == (0, 30)
    assert content(engine) == before


def test_a_run_in_two_parts_equals_a_run_in_one(engine, market, bundles, whole):
    """Stopping between bars, with trades open and memory full, leaves no trace."""
    lineup = lineup_of(bundles)
    for bars in (1, 41, 42, 90, N):
        run(engine, market, lineup, bars=bars)
    assert content(engine) == whole


def test_a_hole_in_what_was_recorded_is_filled_with_the_same_rows(engine, market, bundles, whole):
    """Rows lost in the middle are found missing and served again as they were."""
    lineup = lineup_of(bundles)
    run(engine, market, lineup)
    hole = TIMEFRAME.open_time(TRAIN_END + 50)
    with engine.begin() as connection:
        connection.execute(signals.delete().where(signals.c.bar_ms == hole))
        untraded = predictions.c.bar_ms == hole + 5 * TIMEFRAME.ms, predictions.c.action == 0
        assert connection.execute(predictions.delete().where(*untraded)).rowcount > 0
    again = run(engine, market, lineup)
    assert again.already_served == 50
    assert content(engine) == whole


_VICTIMS = """
import os, sys
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
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        with open_database(load_settings(home, environ={})) as engine:
            replay(
                engine, Lake(lake), Lineup(champion=bundles[0], challengers=(bundles[1],)),
                plan=ServePlan(model_name="m", symbols=SYMBOLS, contract=small_contract(), run="r"),
                start_index=TRAIN_END, end_index=TRAIN_END + int(sys.argv[5]),
                on_progress=lambda done, total: print(os.getpid(), done, flush=True),
            )
        os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.mark.integration
def test_killed_at_any_bar_and_started_again_the_rows_are_the_same(engine, home, market, bundles, bundle_dirs, whole):
    """SIGKILL in mid-replay, twice; the third run ends with exactly the rows of an undisturbed one."""
    victims = subprocess.Popen(
        [sys.executable, "-c", _VICTIMS, home, market.lake.root, *bundle_dirs.values(), str(N)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    limits, killed = [30, 60], []
    for line in victims.stdout:
        if len(line.split()) != 2:  # a line that the kill cut off
            continue
        pid, done = map(int, line.split())
        if pid not in killed and done >= limits[len(killed)]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    victims.communicate()
    assert len(killed) == 2
    kept = content(engine)
    assert 0 < len(kept["signals"]) < 3 * N
    run(engine, market, lineup_of(bundles))
    assert content(engine) == whole


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
    empty(engine)
    run(engine, market, both, bars=40)
    assert content(engine) == after
