"""Ensemble weights: bounded, on the grid, and the best of it."""

from itertools import product

import numpy as np
import pytest

from infra.settings_groups import EnsembleSettings
from learning.ensemble import (
    FIXED_WEIGHTS,
    EnsembleRule,
    best_weights,
    equal_weights,
    fixed_weights,
    parse_weights,
    weight_grid,
)
from learning.errors import EnsembleError


@pytest.mark.parametrize("models", [3, 4, 5])
def test_every_allowed_weight_is_bounded_and_sums_to_one(models):
    """.15 to .40 each, in steps of .05, sum 1."""
    grid = weight_grid(models)
    np.testing.assert_allclose(grid.sum(axis=1), 1.0)
    assert grid.min() >= 0.15
    assert grid.max() <= 0.40
    assert grid.shape[0] == np.unique(grid, axis=0).shape[0]


def test_the_best_model_gets_the_most_and_the_worst_the_least():
    """Model 1 knows the outcome, model 2 is certain of the wrong one."""
    y = np.arange(300) % 3
    knows = np.full((300, 3), 0.1)
    knows[np.arange(300), y] = 0.8
    wrong = np.full((300, 3), 0.05)
    wrong[np.arange(300), (y + 1) % 3] = 0.9
    weights = best_weights(np.stack((np.full((300, 3), 1 / 3), knows, wrong)), y)
    assert weights.tolist() == [0.4, 0.4, 0.2]


def test_equal_models_share_equally():
    """Without a difference the weights nearest to equal are taken."""
    p = np.tile(np.full((30, 3), 1 / 3), (4, 1, 1))
    assert best_weights(p, np.arange(30) % 3).tolist() == [0.25] * 4


@pytest.mark.parametrize("models", [1, 2])
def test_bounds_that_cannot_hold_give_equal_weights(models):
    """Two models of at most .40 cannot sum to 1."""
    p = np.tile(np.full((30, 3), 1 / 3), (models, 1, 1))
    assert best_weights(p, np.arange(30) % 3).tolist() == [1.0 / models] * models


def test_nothing_learnt_yet_gives_equal_weights():
    """No rows, no preference."""
    assert best_weights(np.zeros((3, 0, 3)), np.zeros(0, dtype=int)).tolist() == equal_weights(3).tolist()


def test_the_grid_is_every_division_within_the_bounds():
    """Against trying all of them, for other bounds than the usual."""
    units = [row for row in product(range(21), repeat=3) if sum(row) == 20 and min(row) >= 2 and max(row) <= 14]
    assert sorted(map(tuple, (weight_grid(3, 0.10, 0.70) * 20).round().astype(int).tolist())) == sorted(units)


def test_wider_bounds_let_the_best_model_count_more():
    """The bounds are what holds weights back."""
    y = np.arange(300) % 3
    knows = np.full((300, 3), 0.1)
    knows[np.arange(300), y] = 0.8
    p = np.stack((np.full((300, 3), 1 / 3), knows, np.full((300, 3), 1 / 3)))
    assert best_weights(p, y, low=0.05, high=0.90).tolist() == [0.05, 0.9, 0.05]


def test_fixed_weights_are_shares_of_the_models_there_are():
    """The two sequence models are not there, so the other two share the whole; a model not named has no vote."""
    rule = EnsembleRule(rule="fixed")
    assert fixed_weights(rule, ("lightgbm", "xgboost", "logistic")).tolist() == [0.5, 0.5, 0.0]
    given = EnsembleRule(rule="fixed", weights={"lightgbm": 0.2, "xgboost": 0.3, "logistic": 0.5})
    assert fixed_weights(given, ("xgboost", "logistic")) == pytest.approx([0.375, 0.625])


def test_fixed_weights_that_name_none_of_the_models_are_refused():
    """Nobody would have a vote."""
    with pytest.raises(EnsembleError, match="no fixed weight for any of logistic: nobody would have a vote"):
        fixed_weights(EnsembleRule(rule="fixed"), ("logistic",))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weights": {"lightgbm": 0.9, "xgboost": 0.98, "logistic": 0.2}}, "sum to 208 %: .*within 0.1 %"),
        ({"weights": {"lightgbm": 0.5, "xgboost": 0.4985}}, "sum to 99.85 %"),
        (
            {"weights": {"lightgbm": 0.5, "catboost": 0.3, "oracle": 1.0}},
            "weights for catboost, oracle: known models are",
        ),
        ({"weights": {"lightgbm": 1.5, "xgboost": -0.5}}, r"'xgboost': -0.5.*from 0 to 1"),
        ({"weights": {"lightgbm": float("nan"), "xgboost": 1.0}}, "'lightgbm': nan"),
        ({"weight_min": 0.5, "weight_max": 0.4}, "between 0.5 and 0.4"),
        ({"weight_max": 1.4}, "between 0.15 and 1.4"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong, said):
    """Each with the numbers and the reason."""
    with pytest.raises(EnsembleError, match=said):
        EnsembleRule(**wrong)


def test_weights_within_a_thousandth_of_one_are_accepted():
    """Rounded thirds are shares of one vote."""
    EnsembleRule(weights={"lightgbm": 0.333, "xgboost": 0.333, "logistic": 0.3335})


def test_the_settings_default_is_the_audited_systems():
    """The text a person writes is read as those weights."""
    assert parse_weights(EnsembleSettings().fixed_weights) == FIXED_WEIGHTS


@pytest.mark.parametrize("text", ["", "lightgbm", "lightgbm=a", "=0.5", "lightgbm=0.5,lightgbm=0.5", "xgboost=-1"])
def test_text_that_is_no_list_of_weights_is_refused(text):
    """With the entry that cannot be read."""
    with pytest.raises(EnsembleError, match="each must read name=weight, and name a model once"):
        parse_weights(text)
