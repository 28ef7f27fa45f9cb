"""Which class does a pair of trade outcomes teach?

The side that nets a profit, the larger one where both do, HOLD where neither does. Labels, outcome resolution and
shadow evidence read classes from here alone. A pair with an unresolved side has no class.

    >>> import numpy as np
    >>> net = np.array([[0.01, -0.02], [0.01, 0.02], [-0.01, -0.02], [0.01, np.nan]])
    >>> label_classes(net, np.array([[1, 2], [1, 1], [2, 2], [1, 0]], dtype=np.int8)).tolist()
    [1, 2, 0, -1]
"""

import numpy as np
from numpy.typing import NDArray

from market.barriers import Barrier
from market.candles import Floats

__all__ = ["UNRESOLVED", "label_classes"]

UNRESOLVED = -1


def label_classes(net: Floats, barrier: NDArray[np.int8]) -> NDArray[np.int8]:
    """Classes ``(m,) int8``: 0 HOLD, 1 BUY, 2 SELL, -1 unresolved.

    ``net`` ``(m, 2)`` are net returns (column 0 long, 1 short), ``barrier`` ``(m, 2)`` what ended each trade. Zero
    is no profit; two equal profits cannot be told apart and are HOLD.
    """
    long, short = net[:, 0], net[:, 1]
    label = np.zeros(net.shape[0], dtype=np.int8)
    label[(long > 0.0) & (long > short)] = 1
    label[(short > 0.0) & (short > long)] = 2
    unresolved = (barrier == Barrier.UNRESOLVED).any(axis=1) | ~np.isfinite(net).all(axis=1)
    label[unresolved] = UNRESOLVED
    return label
