"""Outcomes of served rows, against labels computed from the whole history."""

import numpy as np
import pytest
from sqlalchemy import select

from features.batch import compute_features
from infra.lake import Lake
from infra.tables import feature_rows, outcomes
from market.barriers import simulate_trades
from market.label_rule import label_classes
from serving.lake_inputs import batch_inputs, known_path
from serving.lineup import Lineup, ServePlan
from serving.outcomes import OutcomeCount, resolve_outcomes
from serving.worker import replay
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME, SmallMarket

START = END_INDEX - 40


@pytest.fixture
def served(engine, market):
    """The last forty bars, served without any bundle."""
    plan = ServePlan(model_name="m", symbols=SYMBOLS, contract=market.contract, run="r")
    replay(engine, market.lake, Lineup(), plan=plan, start_index=START, end_index=END_INDEX)
    return engine


def resolve(engine, market: SmallMarket, spec, *, lake: Lake | None = None) -> OutcomeCount:
    return resolve_outcomes(
        engine,
        lake or market.lake,
        label_spec=spec,
        contract=market.contract,
        symbols=SYMBOLS,
        start_index=START,
        end_index=END_INDEX,
    )


def test_outcomes_are_the_labels_of_the_same_bars(served, market, bundles):
    """Class, net returns and exit of every row whose horizon is over equal those of the label rule on history."""
    spec = bundles[0].label_spec
    count = resolve(served, market, spec)
    with served.connect() as connection:
        rows = connection.execute(select(outcomes)).all()
    found = {(row.symbol, row.bar_ms): row for row in rows}
    assert count.resolved == len(found)
    assert count.resolved + count.waiting == 3 * 40
    index = np.arange(START, END_INDEX)
    known = 0
    for symbol in SYMBOLS:
        inputs = batch_inputs(
            market.lake, symbol, market.contract, first_index=START, end_index=END_INDEX, as_of_ms=None
        )
        X = compute_features(inputs, market.contract, start_index=START).values.astype(float)
        path = known_path(market.lake, symbol, TIMEFRAME, first_index=START, end_index=END_INDEX)
        truth = simulate_trades(
            path,
            index,
            atr_fraction=X[:, market.contract.index_of("atr_pct")],
            vol_ratio=X[:, market.contract.index_of("atr_ratio")],
            spec=spec,
        )
        for k, label in enumerate(label_classes(truth.net, truth.barrier)):
            row = found.get((symbol, TIMEFRAME.open_time(int(index[k]))))
            assert (row is None) == (label == -1)
            if row is not None:
                known += 1
                assert row.label == label
                assert (row.net_long, row.net_short) == pytest.approx(tuple(truth.net[k]), abs=1e-15)
                assert row.exit_ms == TIMEFRAME.open_time(int(truth.exit_index[k].max()))
    assert known == count.resolved > 60


def test_resolving_again_adds_nothing(served, market, bundles):
    """Resolved rows stay; the waiting ones still wait."""
    first = resolve(served, market, bundles[0].label_spec)
    again = resolve(served, market, bundles[0].label_spec)
    assert again == OutcomeCount(resolved=0, waiting=first.waiting)


def test_unknown_funding_leaves_rows_waiting(served, market, bundles, tmp_path):
    """Without funding only trades that end in their entry bar are resolved; the others once funding is there."""
    lake = Lake(tmp_path / "lake")
    for symbol in SYMBOLS:
        lake.append_candles(market.lake.candles(symbol, TIMEFRAME), source="synthetic")
    early = resolve(served, market, bundles[0].label_spec, lake=lake).resolved
    with served.connect() as connection:
        rows = connection.execute(select(outcomes)).all()
    assert len(rows) == early < 20
    assert {row.exit_ms - row.bar_ms for row in rows} <= {TIMEFRAME.ms}
    for symbol in SYMBOLS:
        lake.append_funding(market.lake.funding(symbol), source="synthetic")
    assert resolve(served, market, bundles[0].label_spec, lake=lake).resolved > 60


def test_rows_that_are_not_valid_have_no_outcome(served, market, bundles):
    """A row with a reason was never predicted on, so nothing is resolved for it."""
    with served.begin() as connection:
        connection.execute(feature_rows.update().where(feature_rows.c.symbol == SYMBOLS[1]).values(reason=2))
    resolve(served, market, bundles[0].label_spec)
    with served.connect() as connection:
        assert set(connection.scalars(select(outcomes.c.symbol))) == {SYMBOLS[0], SYMBOLS[2]}
