"""How much does each model count?

Learnt weights are chosen on out-of-fold rows from a coarse grid: each within bounds (.15 to .40) in steps of .05, sum
1. The bounds keep one lucky model from taking over and one unlucky one from vanishing; the coarse grid keeps the choice
from fitting noise. Where the bounds cannot hold, as with one or two models, the weights are equal. Fixed weights are
taken as given, as shares of the models there are.

    >>> weight_grid(3).tolist()[0]
    [0.35, 0.35, 0.3]
    >>> fixed_weights(EnsembleRule(rule="fixed"), ("lightgbm", "xgboost", "logistic")).tolist()
    [0.5, 0.5, 0.0]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil, floor, isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learning.errors import EnsembleError
from market.candles import Floats
from registry.calibration import SMALLEST_PROBABILITY
from registry.predictors import KINDS

__all__ = [
    "FIXED_WEIGHTS",
    "EnsembleRule",
    "best_weights",
    "equal_weights",
    "fixed_weights",
    "parse_weights",
    "weight_grid",
]

FIXED_WEIGHTS: Mapping[str, float] = {"xgboost": 0.25, "lightgbm": 0.25, "nhits": 0.30, "patchtst": 0.20}
"""What the audited system used; a model not named here has no vote."""
_KNOWN = (*KINDS, "nhits", "patchtst")
_UNITS = 20
_SUM_WITHIN = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRule:
    """Where weights come from: ``learnt`` within ``weight_min`` and ``weight_max``, or ``fixed`` as given by model.

    Bounds are for learnt weights only. Raises ``EnsembleError`` for bounds or weights that make no sense.
    """

    rule: Literal["learnt", "fixed"] = "learnt"
    weight_min: float = 0.15
    weight_max: float = 0.40
    weights: Mapping[str, float] = field(default_factory=lambda: dict(FIXED_WEIGHTS))

    def __post_init__(self) -> None:
        """Refuse bounds out of order, unknown models, and weights that are negative or do not sum to 1."""
        if not 0.0 <= self.weight_min <= self.weight_max <= 1.0:
            raise _refused(f"weights between {self.weight_min} and {self.weight_max}", "no weight lies between them")
        unknown = sorted(set(self.weights) - set(_KNOWN))
        if unknown:
            raise _refused(f"fixed weights for {', '.join(unknown)}", f"known models are {', '.join(sorted(_KNOWN))}")
        wrong = {name: weight for name, weight in self.weights.items() if not (isfinite(weight) and weight >= 0.0)}
        if wrong:
            raise _refused(f"the fixed weights {wrong}", "a weight is a share of the vote, from 0 to 1")
        total = sum(self.weights.values())
        if abs(total - 1.0) > _SUM_WITHIN:
            raise _refused(
                f"fixed weights that sum to {100.0 * total:.4g} %", "shares of one vote sum to 100 %, within 0.1 %"
            )


def parse_weights(text: str) -> dict[str, float]:
    """``xgboost=0.25, lightgbm=0.75`` by name; raises ``EnsembleError`` for anything else."""
    found: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, number = (part.strip() for part in entry.partition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not (name and equals) or name in found or weight < 0.0:
            raise _refused(f"fixed weight {entry.strip()!r}", "each must read name=weight, and name a model once")
        found[name] = weight
    return found


def equal_weights(models: int) -> Floats:
    """``(M,)``, sum 1: what to use while nothing has been learnt about the models."""
    return np.full(models, 1.0 / models)


def fixed_weights(rule: EnsembleRule, models: Sequence[str]) -> Floats:
    """``(M,)`` given weights as shares of these models, sum 1; raises ``EnsembleError`` where none has a weight."""
    given = np.array([rule.weights.get(name, 0.0) for name in models], dtype=np.float64)
    if not given.sum() > 0.0:
        raise _refused(f"no fixed weight for any of {', '.join(models)}", "nobody would have a vote")
    shares: Floats = given / given.sum()
    return shares


@cache
def weight_grid(models: int, low: float = 0.15, high: float = 0.40) -> Floats:
    """``(k, M)`` allowed weights, the nearest to equal first; ``(0, M)`` where the bounds allow none."""
    least, most = ceil(low * _UNITS - 1e-9), floor(high * _UNITS + 1e-9)
    rows = sorted(_divided(_UNITS, models, least, most), key=lambda row: sum(unit * unit for unit in row))
    grid = np.array(rows, dtype=np.float64).reshape(-1, models) / _UNITS
    grid.flags.writeable = False
    return grid


def _divided(units: int, parts: int, least: int, most: int) -> Iterator[tuple[int, ...]]:
    """Every way to divide ``units`` among ``parts``, the larger first part first."""
    if parts == 0:
        if units == 0:
            yield ()
        return
    rest = parts - 1
    for first in range(min(most, units - rest * least), max(least, units - rest * most) - 1, -1):
        for others in _divided(units - first, rest, least, most):
            yield (first, *others)


def best_weights(probabilities: Floats, y: NDArray[np.integer], *, low: float = 0.15, high: float = 0.40) -> Floats:
    """``(M,)`` weights of least log loss of the weighted mean; ``probabilities (M, n, 3)``, ``y (n,)`` in 0..2."""
    models = probabilities.shape[0]
    grid = weight_grid(models, low, high)
    if y.size == 0 or grid.shape[0] == 0:
        return equal_weights(models)
    chosen = probabilities[:, np.arange(y.size), y]
    losses = [-np.log(np.maximum(weights @ chosen, SMALLEST_PROBABILITY)).mean() for weights in grid]
    best = int(np.argmin(np.round(losses, 12)))
    chosen_weights: Floats = grid[best].copy()
    return chosen_weights


def _refused(what: str, why: str) -> EnsembleError:
    return EnsembleError(
        what, why=why, remedy="correct the settings of the group ensemble (docs/settings.md lists them)"
    )
