"""The class of a pair of outcomes."""

import numpy as np
import pytest

from market.label_rule import label_classes


@pytest.mark.parametrize(
    ("net", "label"),
    [
        ((1e-9, -1.0), 1),
        ((0.0, -1.0), 0),
        ((-1.0, 1e-9), 2),
        ((-1.0, 0.0), 0),
        ((0.02, 0.01), 1),
        ((0.01, 0.02), 2),
        ((0.01, 0.01), 0),
        ((-0.01, -0.02), 0),
        ((np.nan, 0.02), -1),
        ((np.inf, 0.02), -1),
    ],
)
def test_the_side_with_the_larger_profit_is_the_class(net, label):
    """Zero is no profit, equal profits are no direction, and a number that is none leaves no class."""
    found = label_classes(np.array([net]), np.array([[1, 1]], dtype=np.int8))
    assert found.dtype == np.int8
    assert found.tolist() == [label]


@pytest.mark.parametrize("barrier", [(0, 1), (1, 0), (0, 0)])
def test_one_unresolved_side_leaves_no_class(barrier):
    """A known profit of one side says nothing while the other side is open."""
    assert label_classes(np.array([[0.02, -0.02]]), np.array([barrier], dtype=np.int8)).tolist() == [-1]


@pytest.mark.parametrize(
    ("net", "barrier", "sides", "label"),
    [
        ((0.01, 0.02), (1, 1), (True, False), 1),
        ((-0.01, 0.02), (2, 1), (True, False), 0),
        ((0.03, 0.02), (1, 1), (False, True), 2),
        ((0.03, -0.02), (1, 2), (False, True), 0),
        ((0.01, np.nan), (1, 0), (True, False), 1),
        ((np.nan, 0.01), (0, 1), (True, False), -1),
        ((0.01, 0.02), (1, 1), (False, False), -1),
    ],
)
def test_a_side_named_beforehand_is_the_only_one_that_counts(net, barrier, sides, label):
    """Meta-labels: the named side paid or not, whatever the other one did; no side is no class."""
    found = label_classes(np.array([net]), np.array([barrier], dtype=np.int8), np.array([sides]))
    assert found.tolist() == [label]
