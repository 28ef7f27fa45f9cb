"""How is multinomial logistic regression fitted on more rows than should be copied?

Newton's method on sums over blocks of rows: ``C * sum(weight * log loss) + |coef|^2 / 2``, intercepts free, as
scikit-learn states it, and to the same optimum, but without its float64 copies of the whole matrix. It starts from the
optimum of a tenth of the rows, so that few steps see them all. (Bishop, Pattern Recognition and Machine Learning,
sec. 4.3.4, with the Hessian's rows summing to zero over classes, so that three products give all nine blocks.)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.binned import FitData, Sample, row_blocks
from market.candles import Floats, Ints
from registry.scaler import Scaler

__all__ = ["fit_logistic"]

_BLOCK = 8_192
_STEPS = 50
_PAIRS = ((0, 1), (0, 2), (1, 2))
_FEWEST = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Task:
    data: FitData
    rows: Ints
    weight: Floats
    scaler: Scaler
    ridge: float

    def blocks(self) -> "list[slice]":
        return [slice(at, at + _BLOCK) for at in range(0, self.rows.size, _BLOCK)]


def fit_logistic(data: FitData, sample: Sample, *, scaler: Scaler, c: float) -> tuple[Floats, Floats]:
    """``coef (3, k)`` on the scaler's columns and ``intercept (3,)`` with mean 0; deterministic on one BLAS thread."""
    share = sample.weight / sample.weight.sum()
    ridge = 1.0 / (c * float(sample.weight.sum()))
    theta = np.zeros((3, scaler.columns.size + 1))
    strides = (10, 1) if sample.rows.size >= _FEWEST else (1,)
    for stride in strides:
        part = share[::stride]
        task = _Task(data=data, rows=sample.rows[::stride], weight=part / part.sum(), scaler=scaler, ridge=ridge)
        theta = _newton(task, theta, within=1e-6 if stride == 1 else 1e-3)
    return theta[:, :-1].copy(), theta[:, -1].copy()


def _newton(task: _Task, theta: Floats, *, within: float) -> Floats:
    """Step until half the squared Newton decrement (the loss still to be gained, nats a row) is below ``within**2``."""
    loss, gradient, hessian = _derivatives(task, theta)
    for _ in range(_STEPS):
        step = np.linalg.solve(hessian, gradient.ravel()).reshape(theta.shape)
        decrement = float((gradient * step).sum())
        if decrement < within * within:
            break
        scale = 1.0
        while True:
            tried = theta - scale * step
            found = _derivatives(task, tried)
            if found[0] <= loss - 1e-4 * scale * decrement or scale < 1e-4:
                break
            scale /= 2.0
        if found[0] > loss:
            break
        theta, (loss, gradient, hessian) = tried, found
    return theta


def _derivatives(task: _Task, theta: Floats) -> tuple[float, Floats, NDArray[np.float64]]:
    """Loss, gradient ``(3, k + 1)`` and Hessian in the order of ``theta.ravel()``."""
    k = theta.shape[1]
    loss, gradient = 0.0, np.zeros_like(theta)
    cross = np.zeros((3, k, k))
    Z = np.ones((_BLOCK, k))
    for at, X in zip(task.blocks(), row_blocks(task.data.X, task.rows, _BLOCK), strict=True):
        z = Z[: X.shape[0]]
        z[:, :-1] = task.scaler.transform(X)
        y, weight = task.data.y[task.rows[at]].astype(np.int64), task.weight[at]
        scores = z @ theta.T
        scores -= scores.max(axis=1, keepdims=True)
        q = np.exp(scores)
        total = q.sum(axis=1, keepdims=True)
        q /= total
        hit = np.arange(y.size), y
        loss += float((weight * (np.log(total[:, 0]) - scores[hit])).sum())
        for pair, (i, j) in enumerate(_PAIRS):
            cross[pair] += (z * (weight * q[:, i] * q[:, j])[:, None]).T @ z
        q[hit] -= 1.0
        gradient += (q * weight[:, None]).T @ z
    return _penalised(task.ridge, theta, loss, gradient, cross)


def _penalised(
    ridge: float, theta: Floats, loss: float, gradient: Floats, cross: Floats
) -> tuple[float, Floats, NDArray[np.float64]]:
    """Add the pull of coefficients to 0, and one of the intercepts' sum, which otherwise nothing determines."""
    k = theta.shape[1]
    hessian = np.zeros((3, k, 3, k))
    for pair, (i, j) in enumerate(_PAIRS):
        hessian[i, :, j] = hessian[j, :, i] = -cross[pair]
        hessian[i, :, i] += cross[pair]
        hessian[j, :, j] += cross[pair]
    coef, free = theta[:, :-1], float(theta[:, -1].sum())
    loss += 0.5 * ridge * float(np.square(coef).sum()) + 0.5 * free * free
    gradient[:, :-1] += ridge * coef
    gradient[:, -1] += free
    hessian[:, -1, :, -1] += 1.0
    flat = hessian.reshape(3 * k, 3 * k)
    penalty = np.full((3, k), ridge)
    penalty[:, -1] = 0.0
    flat[np.diag_indices(3 * k)] += penalty.ravel()
    return loss, gradient, flat
