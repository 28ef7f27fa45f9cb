"""Labels: the class is the side that pays, and unresolved stays unresolved."""

import numpy as np

from learning.labels import label_classes, label_ends
from market.barriers import TradeOutcomes


def outcomes(net, exit_index):
    net = np.array(net, dtype=float)
    return TradeOutcomes(
        net=net,
        gross=net,
        funding=np.zeros_like(net),
        exit_index=np.array(exit_index, dtype=np.int64),
        barrier=(~np.isnan(net)).astype(np.int8),
    )


def test_the_larger_profit_names_the_class():
    """Both sides can profit in a wide bar: the larger one is the label, a tie goes to the long."""
    found = label_classes(outcomes([[0.02, 0.01], [0.01, 0.02], [0.01, 0.01]], np.full((3, 2), 9)))
    assert found.tolist() == [1, 2, 1]


def test_a_net_of_exactly_zero_is_hold():
    """Not losing is not a profit."""
    assert label_classes(outcomes([[0.0, -0.01]], [[9, 9]])).tolist() == [0]


def test_one_unresolved_side_leaves_no_class():
    """A row whose other side is unknown could be either, so it has no class."""
    assert label_classes(outcomes([[0.03, np.nan], [np.nan, -0.01]], [[9, -1], [-1, 9]])).tolist() == [-1, -1]


def test_the_label_ends_with_its_later_side():
    """The label looks at both sides, so it ends when the later one exits."""
    found = label_ends(outcomes([[0.1, -0.1]], [[104, 109]]), np.array([100]), horizon_bars=12)
    assert found.tolist() == [109]


def test_an_unresolved_label_reaches_to_its_horizon():
    """Nobody knows where an unresolved label ends, so it ends at the latest possible bar."""
    found = label_ends(outcomes([[0.1, np.nan]], [[104, -1]]), np.array([100]), horizon_bars=12)
    assert found.tolist() == [112]
