"""What does each number in an evaluation mean?

One definition per name, computed from stored probabilities, labels and trades, never from one another. A number
that cannot be had (no trades, no losses, no variation) is None, not zero. Probabilities are ``(n, 3) float64`` in
the order of ``Action``, labels ``(n,)`` in 0..2, returns fractions of equity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from registry.calibration import log_probabilities

__all__ = [
    "Reliability",
    "brier",
    "brier_rows",
    "calibration_slope",
    "drawdown",
    "hit_rate",
    "log_loss",
    "log_loss_rows",
    "max_drawdown",
    "profit_factor",
    "reliability",
    "sharpe",
]

Labels = NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reliability:
    """Per class and bin ``(3, bins)``: mean predicted probability, observed frequency, rows (NaN, NaN, 0 if empty)."""

    predicted: Floats
    observed: Floats
    rows: NDArray[np.int64]


def log_loss_rows(p: Floats, y: Labels) -> Floats:
    """``(n,)`` minus the log probability of what happened, in nats (Good 1952)."""
    return -log_probabilities(p)[np.arange(y.size), y]


def log_loss(p: Floats, y: Labels) -> float:
    """Mean of ``log_loss_rows``; lower is better, log(3) knows nothing."""
    return float(log_loss_rows(p, y).mean())


def brier_rows(p: Floats, y: Labels) -> Floats:
    """``(n,)`` squared distance to the outcome, summed over classes, 0..2 (Brier 1950)."""
    hit = np.zeros_like(p)
    hit[np.arange(y.size), y] = 1.0
    distance: Floats = np.square(p - hit).sum(axis=1)
    return distance


def brier(p: Floats, y: Labels) -> float:
    """Mean of ``brier_rows``."""
    return float(brier_rows(p, y).mean())


def calibration_slope(p: Floats, y: Labels, *, steps: int = 50) -> float | None:
    """Slope of a recalibration ``softmax(slope * log p + intercepts)`` fitted by maximum likelihood.

    1 is calibrated, below 1 overconfident, above 1 underconfident (Cox 1958; for several classes Van Hoorde et al.,
    Journal of Biomedical Informatics 54, 2015, with one slope). Newton's method; None when the probabilities do not
    vary or a class is absent.
    """
    logs = log_probabilities(p)
    logs = logs - logs[:, :1]
    if np.unique(y).size < 3 or np.ptp(logs, axis=0).max() < 1e-9:
        return None
    design = np.zeros((y.size, 3, 3))  # row, class, parameter: slope, intercept of BUY, intercept of SELL
    design[:, :, 0] = logs
    design[:, 1, 1] = design[:, 2, 2] = 1.0
    theta = np.array([1.0, 0.0, 0.0])
    happened = design[np.arange(y.size), y].mean(axis=0)
    for _ in range(steps):
        scores = design @ theta
        q = np.exp(scores - scores.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        expected = np.einsum("nc,ncp->np", q, design)
        second = np.einsum("nc,ncp,ncr->pr", q, design, design) / y.size - expected.T @ expected / y.size
        step = np.linalg.solve(second + 1e-12 * np.eye(3), happened - expected.mean(axis=0))
        theta = theta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return float(theta[0])


def reliability(p: Floats, y: Labels, *, bins: int = 10) -> Reliability:
    """Predicted against observed in bins of equal count per class (reliability diagram, Murphy and Winkler 1977)."""
    predicted, observed = np.full((3, bins), np.nan), np.full((3, bins), np.nan)
    rows = np.zeros((3, bins), dtype=np.int64)
    for c in range(3):
        order = np.argsort(p[:, c], kind="stable")
        for b, part in enumerate(np.array_split(order, bins)):
            rows[c, b] = part.size
            if part.size:
                predicted[c, b] = p[part, c].mean()
                observed[c, b] = (y[part] == c).mean()
    return Reliability(predicted=predicted, observed=observed, rows=rows)


def sharpe(bar_returns: Floats, *, bars_per_year: int) -> float | None:
    """Mean over standard deviation (ddof 1) of bar returns, times ``sqrt(bars_per_year)`` (Sharpe 1994; no risk-free).

    Every bar counts, also those without a position; None below two bars or without variation.
    """
    if bar_returns.size < 2:
        return None
    spread = float(bar_returns.std(ddof=1))
    return float(bar_returns.mean()) / spread * float(np.sqrt(bars_per_year)) if spread > 0.0 else None


def profit_factor(results: Floats) -> float | None:
    """Sum of gains over sum of losses of trades; None without a loss (of more than 1e-12, which is rounding)."""
    losses = float(-results[results < 0.0].sum())
    return float(results[results > 0.0].sum()) / losses if losses > 1e-12 else None


def hit_rate(results: Floats) -> float | None:
    """Share of trades with a positive net result; None without trades."""
    return float((results > 0.0).mean()) if results.size else None


def drawdown(equity: Floats) -> Floats:
    """``(n,)`` fraction of equity below its highest value so far, starting from 1.0."""
    peak = np.maximum.accumulate(np.maximum(equity, 1.0))
    fall: Floats = (peak - equity) / peak
    return fall


def max_drawdown(equity: Floats) -> float:
    """Largest ``drawdown``, 0 where equity never falls."""
    return float(drawdown(equity).max()) if equity.size else 0.0
