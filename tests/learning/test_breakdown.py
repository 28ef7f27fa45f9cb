"""The parts of an evaluation add up to it, and know only what was known."""

from dataclasses import replace

import numpy as np
import pytest

from learning.breakdown import breakdown
from learning.judged import judged_rows
from learning.regimes import regime_edges, regimes_at
from learning.training import train
from learning.walk_forward import Fold
from tests.learning.planted import CONTRACT, FIRST, NAMES, SPEC, planted_panel, tiny_config

END = FIRST + 2800


@pytest.fixture(scope="module")
def panel():
    """A market with an edge whose volatility differs from bar to bar."""
    made = planted_panel(edge=1.0)
    return replace(made, volatility=np.random.default_rng(3).lognormal(-3.5, 0.5, len(made)))


@pytest.fixture(scope="module")
def result(panel):
    return train(panel, CONTRACT, SPEC, tiny_config(), train_end_index=END)


@pytest.mark.parametrize("kind", ["symbol", "month", "volatility", "trend"])
def test_the_groups_of_a_kind_add_up_to_the_whole(result, kind):
    """Rows, log losses, trades and net returns over the groups are those of the evaluation."""
    groups, whole = result.evaluation["breakdown"][kind], result.evaluation["strategies"]
    assert len({group["name"] for group in groups}) == len(groups) > (0 if kind == "month" else 1)
    assert sum(group["rows"] for group in groups) == result.evaluation["scored"]["rows"]
    assert sum(group["trades"] for group in groups) == whole["ensemble"]["trades"] > 20
    assert sum(group["net_return"] for group in groups) == pytest.approx(whole["ensemble"]["net_return"])
    for ours, name in (("log_loss", "ensemble"), ("climatology_log_loss", "climatology")):
        total = sum(group["rows"] * group[ours] for group in groups if group["rows"])
        assert total / result.evaluation["scored"]["rows"] == pytest.approx(whole[name]["log_loss"])
    trades = result.trades
    done = trades.resolved
    costs = (trades.size[done] * (trades.gross[done] - trades.net[done])).sum()
    assert sum(group["costs"] for group in groups) == pytest.approx(costs)


def test_a_group_without_trades_has_no_hit_rate(result):
    """None, not zero, and rows still count."""
    judged = result.trades_by["ensemble"]
    empty = replace(
        judged,
        table=replace(judged.table, **{name: getattr(judged.table, name)[:0] for name in judged.table.__slots__}),
        fold=judged.fold[:0],
        regimes=replace(judged.regimes, volatility=judged.regimes.volatility[:0], trend=judged.regimes.trend[:0]),
    )
    for group in breakdown(result.scored, empty, symbols=("a", "b", "c"), timeframe_ms=300_000)["symbol"]:
        assert group["rows"] > 0
        assert (group["trades"], group["net_return"], group["costs"]) == (0, 0.0, 0.0)
        assert (group["hit_rate"], group["profit_factor"], group["cost_share"]) == (None, None, None)


def test_months_turn_at_midnight_utc_on_the_first(result):
    """The last bar of a month and the first of the next are in different groups, by the bar of the decision."""
    scored = result.scored
    turn = int(np.datetime64("2027-03-01", "ms").astype(np.int64)) // 300_000
    moved = replace(scored, bar_index=np.where(np.arange(scored.y.size) < 5, turn - 1, turn))
    trades = result.trades_by["ensemble"]
    late = replace(trades, table=replace(trades.table, bar_index=np.full(len(trades.table), turn)))
    groups = breakdown(moved, late, symbols=("a", "b", "c"), timeframe_ms=300_000)["month"]
    assert [(group["name"], group["rows"]) for group in groups] == [("2027-02", 5), ("2027-03", scored.y.size - 5)]
    assert groups[0]["trades"] == 0


def test_regime_edges_come_from_training_rows_alone(panel):
    """A third of the training rows is in each tercile, and wild test rows change no edge."""
    train_rows, test_rows = np.arange(3000), np.arange(3000, 4000)
    edges = regime_edges(panel, train_rows, NAMES)
    inside = np.bincount(regimes_at(panel, train_rows, edges, NAMES).volatility, minlength=3)
    assert np.ptp(inside) <= 2
    wild = replace(panel, volatility=np.where(np.arange(len(panel)) >= 3000, 9.0, panel.volatility))
    assert regime_edges(wild, train_rows, NAMES) == edges
    assert set(regimes_at(wild, test_rows, edges, NAMES).volatility.tolist()) == {2}


def test_the_trend_has_the_sign_of_the_averages(panel):
    """Small is sideways; without the feature, or where it is missing, nobody can tell."""
    column = NAMES.index("ema_9_21_diff")
    X = panel.X[:6].copy()
    X[:, column] = [-2.0, -0.1, 0.0, 0.1, 2.0, np.nan]
    few = replace(panel, X=np.concatenate((X, panel.X[6:])))
    edges = replace(regime_edges(few, np.arange(3000), NAMES), trend=1.0)
    assert regimes_at(few, np.arange(6), edges, NAMES).trend.tolist() == [0, 1, 1, 1, 2, -1]
    assert set(regimes_at(few, np.arange(6), edges, ("hint",)).trend.tolist()) == {-1}


def test_a_trade_has_the_fold_and_the_regime_of_its_decision(panel, result):
    """Found again by symbol and bar, one by one."""
    judged, table = result.trades_by["lightgbm"], result.trades_by["lightgbm"].table
    folds = result.evaluation["folds"]
    for k in range(len(table)):
        fold = folds[judged.fold[k]]
        assert fold["test_first_index"] <= table.bar_index[k] < fold["test_end_index"]
    rows = {(int(s), int(b)): k for k, (s, b) in enumerate(zip(panel.symbol_id, panel.bar_index, strict=True))}
    numbers = np.array([rows[int(s), int(b)] for s, b in zip(table.symbol_id, table.bar_index, strict=True)])
    order = np.argsort(panel.volatility[numbers])
    for number in set(judged.fold.tolist()):
        within = judged.regimes.volatility[order][judged.fold[order] == number]
        assert (np.diff(within) >= 0).all()


def test_edges_belong_to_their_own_fold(panel):
    """The same row is calm after wild training rows and wild after calm ones."""
    test_rows = np.array([5000])
    median = float(np.median(panel.volatility))
    made = replace(panel, volatility=np.where(np.arange(len(panel)) == 5000, median, panel.volatility))
    calm = np.flatnonzero(made.volatility[:4000] < median)
    wild = np.flatnonzero(made.volatility[:4000] > median)

    def level(rows):
        fold = Fold(number=0, train_rows=rows, test_rows=test_rows, test_first_index=0, test_end_index=1)
        return judged_rows(made, [fold], NAMES).regimes.volatility.tolist()

    assert (level(calm), level(wild)) == ([2], [0])
