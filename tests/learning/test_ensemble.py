"""Ensemble weights: bounded, on the grid, and the best of it."""

import numpy as np
import pytest

from learning.ensemble import best_weights, equal_weights, weight_grid


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
