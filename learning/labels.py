"""How far does a label look?

A row's class is ``market.label_rule.label_classes``; its label looks at every bar up to the last exit of the sides that
may be taken. Purging and uniqueness read where labels end from here alone.
"""

import numpy as np

from features.events import Sides
from market.barriers import TradeOutcomes
from market.candles import Ints
from market.label_rule import UNRESOLVED

__all__ = ["UNRESOLVED", "label_ends"]


def label_ends(outcomes: TradeOutcomes, decision_index: Ints, *, horizon_bars: int, sides: Sides) -> Ints:
    """``(n,) int64``: absolute index of the last bar a row's label looks at.

    The later exit of the sides ``(n, 2)`` that may be taken; for an unresolved row, or one without a side, the end of
    its horizon, which no exit passes.
    """
    latest: Ints = np.where(sides, outcomes.exit_index, -1).max(axis=1)
    unresolved = (sides & (outcomes.exit_index < 0)).any(axis=1) | ~sides.any(axis=1)
    return np.where(unresolved, decision_index + horizon_bars, latest).astype(np.int64)
