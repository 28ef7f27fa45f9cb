"""A planted look into the future is caught: by the split, by the gates, and by a score that moves with one bar."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb

from learning.bootstrap import block_bootstrap_mean
from learning.errors import LeakError
from learning.metrics import log_loss_rows
from learning.plausibility import plausibility
from learning.significance import bar_series
from registry.calibration import VectorScaling
from registry.predictors import ModelPart
from tests.learning.honest_market import HORIZON, NAMES
from tests.learning.honest_runs import edge_market, judge, noise_market, trained


def unpurged(bar_index, label_end, *, trainable, before_index, plan):
    """Every row decided before the test window, wherever its label ends."""
    return np.flatnonzero(trainable & (bar_index < before_index))


def by_rows(bar_index, label_end, *, trainable, before_index, plan):
    """Four fifths of the rows, drawn at random: the usual 80/20."""
    return np.flatnonzero(trainable & (np.random.default_rng(1).random(bar_index.size) < 0.8))


def after_it(bar_index, label_end, *, trainable, before_index, plan):
    """The last fifth of the rows is tested and trained on as well."""
    return np.flatnonzero(trainable & (bar_index >= before_index))


@pytest.mark.parametrize("rule", [unpurged, by_rows, after_it])
def test_a_split_that_leaks_stops_the_training(monkeypatch, rule):
    """Whatever rule picks training rows, one whose label touches the test window is refused in words."""
    monkeypatch.setattr("learning.walk_forward.training_rows", rule)
    with pytest.raises(LeakError, match="a score on rows that training has seen means nothing"):
        trained(noise_market(0).panel)


def shifted(panel, bars):
    """Each symbol's features of ``bars`` later (negative: earlier) at every row; the ends keep their own."""
    rows = np.clip(np.arange(len(panel)) + bars * len(panel.symbols), 0, len(panel) - 1)
    at_end = rows // len(panel.symbols) == np.arange(len(panel)) // len(panel.symbols)
    rows = np.where(at_end, np.arange(len(panel)), rows)
    assert (panel.symbol_id[rows] == panel.symbol_id).all()
    return replace(panel, X=panel.X[rows])


def change(panel, other, *, scored):
    """Interval of how much the log loss of one training lies below that of another, on the same rows."""
    ours, theirs = trained(other).scored, scored
    np.testing.assert_array_equal(ours.y, theirs.y)
    gain = log_loss_rows(theirs.ensemble, theirs.y) - log_loss_rows(ours.ensemble, ours.y)
    return block_bootstrap_mean(
        bar_series(gain, bar_index=ours.bar_index), horizon_bars=HORIZON, seed=1, confidence=0.99
    )


def test_features_one_bar_too_old_lower_the_score():
    """What was known a bar ago is worth less than what is known now, beyond noise."""
    one = edge_market(0)
    assert change(one.panel, shifted(one.panel, -1), scored=one.result.scored).high < 0.0


def test_features_one_bar_too_new_raise_the_score():
    """The next bar's return is part of what is to be foretold: even pure noise becomes predictable, beyond noise."""
    one = noise_market(0)
    assert change(one.panel, shifted(one.panel, 1), scored=one.result.scored).low > 0.01


def test_the_gates_alone_would_promote_features_one_bar_too_new():
    """Pure noise with that leak passes every gate, shadow included: this is what the recomputation of rows is for."""
    one = judge(shifted(noise_market(0).panel, 1))
    assert one.verdict == "promote", "if a gate sees it now, say so in docs/honesty.md"


def test_features_that_are_not_shifted_change_nothing():
    """A shift by no bar is the same training: the changes above are those of the shift."""
    one = edge_market(0)
    found = change(one.panel, shifted(one.panel, 0), scored=one.result.scored)
    assert (found.low, found.mean, found.high) == (0.0, 0.0, 0.0)


def with_column(panel, name, values):
    """The panel with one feature replaced."""
    X = panel.X.copy()
    X[:, NAMES.index(name)] = values
    return replace(panel, X=X)


def test_a_label_among_the_features_is_refused_as_too_good_to_be_true():
    """The outcome's own return, a little blurred, passes every test of skill and profit, and fails this one."""
    panel = noise_market(0).panel
    blurred = np.nan_to_num(panel.gross[:, 0]) * 100.0 + np.random.default_rng(1).normal(0.0, 0.2, len(panel))
    one = judge(with_column(panel, "slow_noise", blurred))
    assert {"skill_share_max"} <= one.failed <= {"skill_share_max", "importance_share_max"}
    assert one.verdict == "refuse"


def test_one_feature_that_carries_everything_is_refused_by_name():
    """Even where it explains little: the gate says which feature to look at."""
    panel = noise_market(0).panel
    rng = np.random.default_rng(1)
    hint = np.nan_to_num(panel.gross[:, 0]) * 100.0 + rng.normal(0.0, 0.5, len(panel))
    X = np.where(np.isin(np.arange(len(NAMES)), [4, 5, 6]), panel.X, np.float32(0.0))
    one = judge(with_column(replace(panel, X=X), "slow_noise", hint))
    gate = next(gate for gate in one.gates if gate.name == "importance_share_max")
    assert not gate.passed
    assert "slow_noise holds 100% of the gain" in gate.detail


def test_honest_trainings_are_plausible():
    """An edge as large as that is explained to a twentieth, by two features, and hardly better on its own rows."""
    found = plausibility(edge_market(0).result, edge_market(0).panel, names=NAMES)
    assert 0.02 < found.skill_share < 0.10
    assert found.seen_share - found.skill_share == pytest.approx(found.overfit_gap)
    assert -0.02 < found.overfit_gap < 0.05
    assert (found.importance_feature, found.importance_share < 0.7) == ("lean", True)


def test_a_model_that_learnt_its_rows_by_heart_is_refused():
    """Deep trees without early stopping know their own rows and nothing else: the gap shows it."""
    one = noise_market(0)
    rows = one.result.training_rows
    params = {"objective": "multi:softprob", "num_class": 3, "max_depth": 12, "eta": 0.3, "nthread": 1, "verbosity": 0}
    booster = xgb.train(params, xgb.DMatrix(one.panel.X[rows], one.panel.y[rows]), 60)
    heart = ModelPart(
        name="xgboost", kind="xgboost", payload=bytes(booster.save_raw("ubj")), calibration=VectorScaling.identity()
    )
    learnt = replace(one.result, models=(heart,), weights=np.ones(1))
    found = plausibility(learnt, one.panel, names=NAMES)
    assert found.seen_share > 0.6
    assert found.overfit_gap > 0.6
    assert plausibility(one.result, one.panel, names=NAMES).overfit_gap < 0.05
