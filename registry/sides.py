"""What remains of a probability where only one side may be taken?

In mode ``meta`` the primary rule has named the side. The class of the other side cannot happen, so its probability is
taken out and the rest brought to a sum of 1: what remains is the probability that the named side pays. A row without
any side is HOLD. Where both sides are open nothing changes, bit for bit.

    >>> import numpy as np
    >>> restrict_to_sides(np.array([[0.5, 0.3, 0.2]]), np.array([[False, True]])).round(3).tolist()
    [[0.714, 0.0, 0.286]]
"""

import numpy as np

from features.events import Sides
from market.candles import Floats

__all__ = ["restrict_to_sides"]


def restrict_to_sides(p: Floats, sides: Sides) -> Floats:
    """``(..., n, 3)`` probabilities given the sides ``(n, 2)`` that are open."""
    closed = ~sides
    if not closed.any():
        return p
    left = p.copy()
    left[..., 1:][..., closed] = 0.0
    total = left.sum(axis=-1, keepdims=True)
    hold = np.array([1.0, 0.0, 0.0])
    shared: Floats = np.divide(left, total, out=np.broadcast_to(hold, left.shape).copy(), where=~(total <= 0.0))
    both = sides.all(axis=1)
    shared[..., both, :] = p[..., both, :]
    shared[..., ~sides.any(axis=1), :] = hold
    return shared
