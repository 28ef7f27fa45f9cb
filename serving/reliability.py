"""Does it happen as often as it was said?

Of the most probable class: how sure the forecast was, ``(n,)`` in 1/3..1, against whether that class happened.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats

__all__ = ["BINS", "Bins", "recalibration", "reliability_bins"]

BINS = 10
_MOST_STEPS = 100
_SEPARATED = 1e3


@dataclass(frozen=True, slots=True)
class Bins:
    """Of the bins that hold rows, ascending: mean confidence, share that happened, rows."""

    confidence: tuple[float, ...]
    happened: tuple[float, ...]
    rows: tuple[int, ...]

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean distance of the two, weighed by rows (Guo et al. 2017); None without."""
        total = sum(self.rows)
        if total == 0:
            return None
        apart = zip(self.confidence, self.happened, self.rows, strict=True)
        return sum(abs(c - h) * k for c, h, k in apart) / total


def reliability_bins(confidence: Floats, happened: NDArray[np.bool_]) -> Bins:
    """Ten bins of equal width over 0..1; a confidence of exactly 1 is in the last."""
    at = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    held = [at == b for b in range(BINS) if (at == b).any()]
    return Bins(
        tuple(float(confidence[one].mean()) for one in held),
        tuple(float(happened[one].mean()) for one in held),
        tuple(int(one.sum()) for one in held),
    )


def recalibration(confidence: Floats, happened: NDArray[np.bool_]) -> tuple[float | None, float | None]:
    """Slope and intercept of ``logit(happened) = intercept + slope * logit(confidence)`` (Cox 1958), by Newton.

    (None, None) where confidence does not vary, one outcome is absent, or the two are separated perfectly.
    """
    c = np.clip(confidence, 1e-12, 1.0 - 1e-12)
    x = np.log(c / (1.0 - c))
    y = happened.astype(np.float64)
    if np.ptp(x) < 1e-9 or y.min() == y.max():
        return None, None
    design = np.column_stack((np.ones(x.size), x))
    theta = np.array([0.0, 1.0])
    for _ in range(_MOST_STEPS):
        q = 1.0 / (1.0 + np.exp(-np.clip(design @ theta, -500.0, 500.0)))
        hessian = design.T @ (design * (q * (1.0 - q))[:, None])
        if not np.isfinite(hessian).all() or np.linalg.cond(hessian) > 1e14:
            return None, None
        step = np.linalg.solve(hessian, design.T @ (y - q))
        theta = theta + np.clip(step, -2.0, 2.0)
        if np.abs(theta).max() > _SEPARATED:
            return None, None
        if np.abs(step).max() < 1e-10:
            return float(theta[1]), float(theta[0])
    return None, None
