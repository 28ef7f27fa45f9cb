"""How much does each model count?

Weights are chosen on out-of-fold rows from a coarse grid: each within .15 to .40 in steps of .05, sum 1. The bounds
keep one lucky model from taking over and one unlucky one from vanishing; the coarse grid keeps the choice from
fitting noise. With one or two models the bounds cannot hold and the weights are equal.

    >>> weight_grid(3).tolist()[0]
    [0.35, 0.35, 0.3]
"""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from registry.calibration import SMALLEST_PROBABILITY

__all__ = ["best_weights", "equal_weights", "weight_grid"]

_UNITS, _LOW, _HIGH = 20, 3, 8


def equal_weights(models: int) -> Floats:
    """``(M,)``, sum 1: what to use while nothing has been learnt about the models."""
    return np.full(models, 1.0 / models)


@cache
def weight_grid(models: int) -> Floats:
    """``(k, M)`` allowed weights, the nearest to equal first; ``(0, M)`` where the bounds allow none."""
    rows = [row for row in product(range(_HIGH, _LOW - 1, -1), repeat=models) if sum(row) == _UNITS]
    rows.sort(key=lambda row: sum(unit * unit for unit in row))
    grid = np.array(rows, dtype=np.float64).reshape(-1, models) / _UNITS
    grid.flags.writeable = False
    return grid


def best_weights(probabilities: Floats, y: NDArray[np.integer]) -> Floats:
    """``(M,)`` weights of least log loss of the weighted mean; ``probabilities (M, n, 3)``, ``y (n,)`` in 0..2."""
    models = probabilities.shape[0]
    grid = weight_grid(models)
    if y.size == 0 or grid.shape[0] == 0:
        return equal_weights(models)
    chosen = probabilities[:, np.arange(y.size), y]
    losses = [-np.log(np.maximum(weights @ chosen, SMALLEST_PROBABILITY)).mean() for weights in grid]
    best = int(np.argmin(np.round(losses, 12)))
    chosen_weights: Floats = grid[best].copy()
    return chosen_weights
