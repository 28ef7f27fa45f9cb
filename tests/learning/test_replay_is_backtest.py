"""On real bars, a replay of the worker and the backtest of training are the same trades, to the last bit."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from features.batch import compute_features
from features.contract import FeatureSpec, running_contract
from infra.database import open_database
from infra.lake import Lake
from infra.settings import load_settings
from infra.sources.cutting import between
from infra.sources.files import FileSource
from infra.tables import paper_trades, predictions
from learning.backtest import decide, dense_market, dense_probabilities, trades_of
from learning.panel import Panel, SymbolHistory, build_panel
from market.barriers import BarrierSpec
from registry.load import LoadedBundle
from registry.policy import DecisionPolicy
from registry.policy_rules import GuardRule
from serving.lake_inputs import batch_inputs, known_path
from serving.lineup import Lineup, ServedBundle, ServePlan
from serving.worker import replay
from tests.fakes.small_market import BLOCK, TIMEFRAME, WARMUP, SmallMarket, small_bundle
from tests.real_data import real_data_dir

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DAY = 288
FIRST = TIMEFRAME.index_of(int(np.datetime64("2025-10-01", "ms").astype(np.int64))) // BLOCK * BLOCK
TRAIN_END = FIRST + 6 * DAY
START, END = TRAIN_END, TRAIN_END + 6 * DAY  # through the crash of 2025-10-10
HORIZON = 24
# Every rule may speak: a guard that is easily reduced, room for two, a rest, and a day that can be lost.
POLICY = DecisionPolicy(
    thresholds=(0.35, 0.35),
    horizon_bars=HORIZON,
    max_positions=2,
    cooldown_bars=2,
    size_base=0.1,
    daily_loss_limit=0.01,
    guard=GuardRule(reduced_drawdown=0.01, paused_drawdown=0.03),
)
LABELS = BarrierSpec(horizon_bars=HORIZON, profit=3.0, stop=2.0, trail=1.5, trail_after=1.0)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> SmallMarket:
    """Three real markets with their real funding, in a lake."""
    source = FileSource(real_data_dir() / "marketlab_um")
    lake = Lake(tmp_path_factory.mktemp("real") / "lake", settle_delay_ms=5000)
    start_ms, end_ms = TIMEFRAME.open_time(FIRST - WARMUP), TIMEFRAME.open_time(END + HORIZON + 1)
    for symbol in SYMBOLS:
        history = source.history(symbol, TIMEFRAME)
        lake.append_candles(between(history.candles, start_ms, end_ms), source="files")
        lake.append_funding(between(history.funding, start_ms - 8 * 3_600_000, end_ms), source="files")
    contract = running_contract(
        FeatureSpec(timeframe=TIMEFRAME, reference_symbol="BTCUSDT", block_bars=BLOCK, warmup_bars=WARMUP)
    )
    return SmallMarket(lake=lake, contract=contract, symbols=SYMBOLS, first_index=FIRST - WARMUP, train_end=TRAIN_END)


@pytest.fixture(scope="module")
def bundle(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    """Three models, sealed and loaded."""
    return small_bundle(
        market,
        tmp_path_factory.mktemp("bundle") / "b",
        seed=3,
        policy=POLICY,
        label_spec=LABELS,
        synthetic=False,
    )


def panel_of(market: SmallMarket, bundle: LoadedBundle) -> Panel:
    """The panel of training over the replayed period."""
    histories = []
    for symbol in SYMBOLS:
        inputs = batch_inputs(market.lake, symbol, market.contract, first_index=START, end_index=END, as_of_ms=None)
        block = compute_features(inputs, market.contract, start_index=START)
        path = known_path(market.lake, symbol, TIMEFRAME, first_index=START, end_index=END + HORIZON + 1)
        histories.append(SymbolHistory(symbol=symbol, features=block, path=path))
    return build_panel(histories, contract=market.contract, spec=bundle.label_spec, events=bundle.events)


def replayed(home: Path, market: SmallMarket, bundle: LoadedBundle) -> tuple[dict, Counter[str]]:
    """Paper trades by (bar, symbol) and the steps of all predictions, after a replay of the period."""
    plan = ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r")
    with open_database(load_settings(home, environ={})) as engine:
        lineup = Lineup(champion=ServedBundle(bundle=bundle, version=1))
        replay(engine, market.lake, lineup, plan=plan, start_index=START, end_index=END)
        with engine.connect() as connection:
            rows = connection.execute(select(paper_trades)).all()
            steps = Counter(one["step"] for one in connection.scalars(select(predictions.c.steps)))
    return {(row.bar_ms // TIMEFRAME.ms, row.symbol): row for row in rows}, steps


@pytest.mark.integration
def test_a_replay_and_the_backtest_agree_trade_for_trade(market, bundle, tmp_path):
    """Same bars, sides, sizes, entries, exits, barriers, nets and funding; and the same untold positions."""
    found, steps = replayed(tmp_path / "home", market, bundle)
    panel = panel_of(market, bundle)
    rows = np.flatnonzero(panel.event)
    layout = dense_market(panel, rows, first_index=START, end_index=END)
    p = dense_probabilities(layout, rows, bundle.predict_models(panel.X[rows]))
    decided = decide(bundle.policy, bundle.weights, layout, p)
    tested = trades_of(decided, layout, panel)
    assert len(found) == np.count_nonzero(decided.action)
    spoken = {key: row for key, row in found.items() if row.size > 0}
    assert len(spoken) == len(tested) > 50
    assert len(found) > len(spoken)
    ended = 0
    for k in range(len(tested)):
        row = spoken[int(tested.bar_index[k]), SYMBOLS[tested.symbol_id[k]]]
        assert (row.side, row.size) == (tested.side[k], tested.size[k])
        assert row.entry_ms == tested.entry_index[k] * TIMEFRAME.ms
        if row.exit_ms is None:  # still open when the replay ended
            assert tested.exit_index[k] >= END
            continue
        ended += 1
        assert (row.exit_ms // TIMEFRAME.ms, row.barrier) == (tested.exit_index[k], tested.barrier[k])
        assert row.gross == tested.gross[k]
        # Funding is summed from the entry here and from the history's first bar there: the last bits may differ.
        assert row.funding == pytest.approx(tested.funding[k], abs=1e-15)
        assert row.net == pytest.approx(tested.net[k], abs=1e-15)
    assert ended > 50
    assert {"TAKEN", "POSITION_OPEN", "MAX_POSITIONS", "COOLDOWN"} <= set(steps)
    assert {"GUARD_PAUSED", "GUARD_REDUCED", "DAILY_LOSS"} & set(steps)
