"""Which action would have paid at this bar?

The class of a row is the side whose simulated trade nets a profit after every cost, the larger one if both do,
else HOLD. A row with an unresolved side (the data ends first, funding unknown, entry bar not real) has no class.

    >>> import numpy as np
    >>> from market.barriers import TradeOutcomes
    >>> net = np.array([[0.01, -0.02], [-0.01, 0.02], [-0.01, -0.01], [0.01, np.nan]])
    >>> zero = np.zeros((4, 2))
    >>> outcomes = TradeOutcomes(
    ...     net=net, gross=zero, funding=zero, exit_index=zero.astype(np.int64), barrier=zero.astype(np.int8)
    ... )
    >>> label_classes(outcomes).tolist()
    [1, 2, 0, -1]
"""

import numpy as np
from numpy.typing import NDArray

from market.barriers import TradeOutcomes
from market.candles import Ints
from registry.policy import Action

__all__ = ["UNRESOLVED", "label_classes", "label_ends"]

UNRESOLVED = -1


def label_classes(outcomes: TradeOutcomes) -> NDArray[np.int8]:
    """``(n,) int8``: an ``Action`` per row, ``UNRESOLVED`` where either side is unresolved."""
    long, short = outcomes.net[:, 0], outcomes.net[:, 1]
    best = np.maximum(long, short)
    side = np.where(long >= short, Action.BUY, Action.SELL)
    label = np.where(best > 0.0, side, Action.HOLD)
    return np.where(np.isnan(best), UNRESOLVED, label).astype(np.int8)


def label_ends(outcomes: TradeOutcomes, decision_index: Ints, *, horizon_bars: int) -> Ints:
    """``(n,) int64``: absolute index of the last bar a row's label looks at.

    The later exit of the two sides; for an unresolved row the end of its horizon, which no exit passes.
    """
    latest: Ints = outcomes.exit_index.max(axis=1)
    unresolved = (outcomes.exit_index < 0).any(axis=1)
    return np.where(unresolved, decision_index + horizon_bars, latest).astype(np.int64)
