"""Which class does a pair of trade outcomes teach?

The side that nets a profit, the larger one where both do, HOLD where neither does. Labels, outcome resolution and
shadow evidence read classes from here alone. A pair with an unresolved side has no class. Where a rule named the side
beforehand (meta-labelling) only that side counts: it paid, or HOLD.

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


def label_classes(net: Floats, barrier: NDArray[np.int8], sides: NDArray[np.bool_] | None = None) -> NDArray[np.int8]:
    """Classes ``(m,) int8``: 0 HOLD, 1 BUY, 2 SELL, -1 unresolved.

    ``net`` ``(m, 2)`` are net returns (column 0 long, 1 short), ``barrier`` ``(m, 2)`` what ended each trade. Zero
    is no profit; two equal profits cannot be told apart and are HOLD. ``sides`` ``(m, 2)`` are those that may be taken
    (both, where it is None); a row without one has no class.
    """
    open_ = np.ones(net.shape, dtype=np.bool_) if sides is None else sides
    counted = np.where(open_, net, -np.inf)
    long, short = counted[:, 0], counted[:, 1]
    label = np.zeros(net.shape[0], dtype=np.int8)
    label[(long > 0.0) & (long > short)] = 1
    label[(short > 0.0) & (short > long)] = 2
    unresolved = (open_ & ((barrier == Barrier.UNRESOLVED) | ~np.isfinite(net))).any(axis=1)
    label[unresolved | ~open_.any(axis=1)] = UNRESOLVED
    return label
