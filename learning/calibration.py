"""How are a model's probabilities brought to frequencies, and is it worth it?

Vector scaling (Guo et al. 2017, sec. 4.2) fitted by Newton's method on out-of-fold rows, with a weak pull towards
changing nothing. It is kept only where it lowers the log loss of later rows that it was not fitted on.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learning.metrics import log_loss
from learning.walk_forward import split_by_time
from market.candles import Floats, Ints
from registry.calibration import VectorScaling, log_probabilities, softmax

__all__ = ["Calibrated", "fit_vector_scaling", "kept_vector_scaling"]

_RIDGE = 1e-4
_LATER_SHARE = 0.3
_FEWEST_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A calibration, and the log loss (nats) of later rows ``before`` and ``after`` one fitted on the earlier ones.

    Kept where that helped, identity otherwise; None where there were too few rows to judge.
    """

    scaling: VectorScaling
    before: float | None = None
    after: float | None = None

    @property
    def gain(self) -> float:
        """What it gained on later rows (nats); 0 where it was not kept."""
        return self.before - self.after if self.before is not None and self.after is not None and self.kept else 0.0

    @property
    def kept(self) -> bool:
        """Whether it changes anything."""
        return self.before is not None and self.after is not None and self.after < self.before


def kept_vector_scaling(
    p: Floats, y: NDArray[np.integer], weight: Floats, *, bar_index: Ints, label_end: Ints, gap_bars: int = 0
) -> Calibrated:
    """Fit on the first 70 % of the time, judge on the purged rest, refit on all if that helped, else identity."""
    nothing = Calibrated(scaling=VectorScaling.identity())
    if y.size < _FEWEST_ROWS:
        return nothing
    earlier, later = split_by_time(bar_index, label_end, later_share=_LATER_SHARE, gap_bars=gap_bars)
    if min(earlier.size, later.size) < _FEWEST_ROWS:
        return nothing
    tried = fit_vector_scaling(p[earlier], y[earlier], weight[earlier])
    judged = Calibrated(
        scaling=nothing.scaling,
        before=log_loss(p[later], y[later]),
        after=log_loss(tried.apply(p[later]), y[later]),
    )
    return replace(judged, scaling=fit_vector_scaling(p, y, weight)) if judged.kept else judged


def fit_vector_scaling(p: Floats, y: NDArray[np.integer], weight: Floats, *, steps: int = 50) -> VectorScaling:
    """Minimise weighted log loss + ridge * distance to identity over 12 numbers; deterministic.

    ``p (n, 3)``, ``y (n,)`` in 0..2, ``weight (n,)`` positive.
    """
    inputs = np.column_stack((log_probabilities(p), np.ones(y.size)))
    share = weight / weight.sum()
    hit = np.zeros((y.size, 3))
    hit[np.arange(y.size), y] = 1.0
    start = np.vstack((np.eye(3), np.zeros((1, 3))))
    theta = start.copy()
    loss = _objective(inputs, y, share, theta, start)
    for _ in range(steps):
        gradient, hessian = _derivatives(inputs, hit, share, theta, start)
        step = np.linalg.solve(hessian, gradient.ravel()).reshape(4, 3)
        scale = 1.0
        while scale > 1e-6 and not _objective(inputs, y, share, theta - scale * step, start) <= loss:
            scale /= 2.0
        if scale <= 1e-6:
            break
        theta = theta - scale * step
        before, loss = loss, _objective(inputs, y, share, theta, start)
        if before - loss < 1e-12:
            break
    return VectorScaling(matrix=np.ascontiguousarray(theta[:3]), bias=theta[3].copy())


def _objective(inputs: Floats, y: NDArray[np.integer], share: Floats, theta: Floats, start: Floats) -> float:
    q = softmax(inputs @ theta)
    chosen = np.maximum(q[np.arange(y.size), y], 1e-300)
    return float(-(share * np.log(chosen)).sum() + 0.5 * _RIDGE * np.square(theta - start).sum())


def _derivatives(
    inputs: Floats, hit: Floats, share: Floats, theta: Floats, start: Floats
) -> tuple[Floats, NDArray[np.float64]]:
    """Gradient ``(4, 3)`` and Hessian ``(12, 12)`` in the order of ``theta.ravel()``."""
    q = softmax(inputs @ theta)
    gradient = inputs.T @ ((q - hit) * share[:, None]) + _RIDGE * (theta - start)
    hessian = np.zeros((4, 3, 4, 3))
    for i in range(3):
        for j in range(3):
            curve = share * q[:, i] * (float(i == j) - q[:, j])
            hessian[:, i, :, j] = inputs.T @ (inputs * curve[:, None])
    flat = hessian.reshape(12, 12)
    flat[np.diag_indices(12)] += _RIDGE
    return gradient, flat
