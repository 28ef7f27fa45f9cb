"""How much should one row count in a fit?

Labels of neighbouring bars look at the same future, so a thousand of them are not a thousand observations.
Average uniqueness (Lopez de Prado, Advances in Financial Machine Learning, ch. 4.4): the mean, over the bars a
label looks at, of one over the number of labels of the same symbol that look at that bar too. On top of it, where
asked for, older rows count less (exponentially, where ch. 4.7 decays piecewise) and every class counts the same in sum.
Counting classes alike distorts what a model calls probable; ``class_weights`` returns by how much, so that it can be
undone exactly.

    >>> import numpy as np
    >>> average_uniqueness(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([2, 3, 2])).tolist()
    [0.75, 0.75, 1.0]
    >>> time_decay(np.array([0, 10, 20]), half_life_bars=10.0).tolist()
    [0.25, 0.5, 1.0]
    >>> class_weights(np.array([0, 0, 0, 1, 1, 2]), np.ones(6)).tolist()
    [0.6666666666666666, 1.0, 2.0]
"""

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints

__all__ = [
    "average_uniqueness",
    "class_weights",
    "effective_rows",
    "time_decay",
    "uniqueness_weights",
    "with_mean_one",
]


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
    return with_mean_one(average_uniqueness(symbol_id, bar_index, label_end))


def time_decay(bar_index: Ints, *, half_life_bars: float) -> Floats:
    """``(n,) float64`` in (0, 1]: 1 for the last bar, half of it every ``half_life_bars`` before; 1 where that is 0."""
    if half_life_bars == 0.0 or bar_index.size == 0:
        return np.ones(bar_index.size)
    age = (int(bar_index.max()) - bar_index).astype(np.float64)
    return np.exp2(-age / half_life_bars)


def class_weights(y: NDArray[np.integer], weight: Floats) -> Floats:
    """``(3,) float64`` by which to multiply rows of each class, so that the classes weigh the same in sum.

    A model fitted so says ``q(k) = c(k) p(k) / sum``; hence ``p(k) = (q(k) / c(k)) / sum``. Every class must occur.
    """
    total = np.bincount(y, weights=weight, minlength=3)
    balanced: Floats = total.sum() / (3.0 * total)
    return balanced


def effective_rows(weight: Floats) -> float:
    """How many equally weighted rows tell as much: ``(sum w)^2 / sum w^2`` (Kish, Survey Sampling, 1965, sec. 11.7)."""
    return float(np.square(weight.sum()) / np.square(weight).sum()) if weight.size else 0.0


def with_mean_one(weight: Floats) -> Floats:
    """``(n,)`` weights scaled to mean 1, so that regularisation means the same whatever they are."""
    return weight / weight.mean() if weight.size else weight
