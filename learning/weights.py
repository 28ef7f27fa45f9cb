"""How much of a label is its own?

Labels of neighbouring bars look at the same future, so a thousand of them are not a thousand observations.
Average uniqueness (Lopez de Prado, Advances in Financial Machine Learning, ch. 4.4): the mean, over the bars a
label looks at, of one over the number of labels of the same symbol that look at that bar too.

    >>> import numpy as np
    >>> average_uniqueness(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([2, 3, 2])).tolist()
    [0.75, 0.75, 1.0]
"""

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints

__all__ = ["average_uniqueness", "uniqueness_weights"]


def average_uniqueness(symbol_id: NDArray[np.integer], bar_index: Ints, label_end: Ints) -> Floats:
    """``(n,) float64`` in (0, 1]: uniqueness of labels that look at bars ``bar_index + 1`` to ``label_end``.

    All arguments ``(n,)``, in any order; indices are absolute bar indices.
    """
    unique = np.ones(bar_index.size)
    for symbol in np.unique(symbol_id):
        rows = np.flatnonzero(symbol_id == symbol)
        first = bar_index[rows] + 1
        base = int(first.min())
        start, stop = first - base, label_end[rows] + 1 - base
        width = int(stop.max()) + 1
        labels = np.cumsum(np.bincount(start, minlength=width) - np.bincount(stop, minlength=width))
        share = np.divide(1.0, labels, out=np.zeros(width), where=labels > 0)
        summed = np.concatenate((np.zeros(1), np.cumsum(share)))
        unique[rows] = (summed[stop] - summed[start]) / (stop - start)
    return unique


def uniqueness_weights(symbol_id: NDArray[np.integer], bar_index: Ints, label_end: Ints) -> Floats:
    """``(n,) float64`` sample weights: average uniqueness, scaled to mean 1."""
    unique = average_uniqueness(symbol_id, bar_index, label_end)
    return unique / unique.mean() if unique.size else unique
