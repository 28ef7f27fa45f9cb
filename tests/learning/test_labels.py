"""Labels end with the last exit of the sides that may be taken."""

import numpy as np

from learning.labels import label_ends
from market.barriers import TradeOutcomes

BOTH, LONG, SHORT, NONE = [True, True], [True, False], [False, True], [False, False]


def ends(exits, sides):
    """Label ends of one row decided at bar 100, horizon 12."""
    exit_index = np.array([exits], dtype=np.int64)
    net = np.where(exit_index < 0, np.nan, 0.01)
    outcomes = TradeOutcomes(
        net=net, gross=net, funding=net, exit_index=exit_index, barrier=(exit_index >= 0).astype(np.int8)
    )
    return label_ends(outcomes, np.array([100]), horizon_bars=12, sides=np.array([sides])).tolist()


def test_the_label_ends_with_its_later_side():
    """The label looks at both sides, so it ends when the later one exits."""
    assert ends([104, 109], BOTH) == [109]


def test_a_named_side_alone_decides_where_the_label_ends():
    """Where the primary rule named the long, the short is never looked at, resolved or not."""
    assert ends([104, 109], LONG) == [104]
    assert ends([104, 109], SHORT) == [109]
    assert ends([104, -1], LONG) == [104]


def test_an_unresolved_label_reaches_to_its_horizon():
    """Nobody knows where an unresolved label ends, so it ends at the latest possible bar."""
    assert ends([104, -1], BOTH) == [112]
    assert ends([-1, 104], LONG) == [112]
    assert ends([104, 104], NONE) == [112]
