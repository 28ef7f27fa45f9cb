"""Does the configuration that looks best also do well where nobody looked?

Probability of backtest overfitting by combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado
and Zhu 2017): time is cut into S blocks; for each choice of S/2 blocks the best configuration by Sharpe ratio is
ranked on the other half. PBO is the share of choices in which the winner lands at or below the median. Rows are
observations, columns are configurations: a transposed matrix gives a plausible but wrong number, so the shape is
checked.
"""

from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np

from learning.errors import EvidenceError
from market.candles import Floats

__all__ = ["Overfitting", "probability_of_overfitting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """``pbo`` in 0..1; ``median_logit`` above 0 means that winners stay above the median out of sample."""

    pbo: float
    median_logit: float
    loss_probability: float
    combinations: int
    configurations: int
    observations: int


def probability_of_overfitting(returns: Floats, *, blocks: int = 10) -> Overfitting:
    """PBO of ``returns`` ``(observations, configurations) float64``, per-period, oldest first.

    ``loss_probability`` is the share of choices in which the winner loses money out of sample. A configuration that
    never varies has Sharpe 0. With one configuration nothing was selected: ``pbo`` is NaN. Raises
    ``EvidenceError`` on an odd or small number of blocks, values that are not finite, or more configurations
    than observations (transposed).
    """
    from scipy.stats import rankdata

    _check(returns, blocks)
    observations, configurations = returns.shape
    picks = list(combinations(range(blocks), blocks // 2))
    if configurations < 2:
        return Overfitting(
            pbo=nan,
            median_logit=nan,
            loss_probability=nan,
            combinations=len(picks),
            configurations=configurations,
            observations=observations,
        )
    edges = np.linspace(0, observations, blocks + 1).astype(np.int64)
    count = np.diff(edges).astype(np.float64)
    total = np.add.reduceat(returns, edges[:-1], axis=0)
    square = np.add.reduceat(returns * returns, edges[:-1], axis=0)
    inside = np.zeros((len(picks), blocks))
    for row, pick in enumerate(picks):
        inside[row, list(pick)] = 1.0
    winner = _sharpe(inside, count, total, square).argmax(axis=1)
    outside = _sharpe(1.0 - inside, count, total, square)
    rows = np.arange(len(picks))
    share = rankdata(outside, axis=1)[rows, winner] / (configurations + 1.0)
    logit = np.log(share / (1.0 - share))
    return Overfitting(
        pbo=float((logit <= 1e-12).mean()),
        median_logit=float(np.median(logit)),
        loss_probability=float((outside[rows, winner] < 0.0).mean()),
        combinations=len(picks),
        configurations=configurations,
        observations=observations,
    )


def _sharpe(chosen: Floats, count: Floats, total: Floats, square: Floats) -> Floats:
    """Sharpe ratio of every configuration over the chosen blocks: ``(choices, configurations)``."""
    n = (chosen @ count)[:, None]
    mean = chosen @ total / n
    variance = np.maximum(chosen @ square / n - mean * mean, 0.0)
    flat = variance <= 1e-14 * np.maximum(chosen @ square / n, 1e-300)
    deviation = np.sqrt(np.where(flat, 1.0, variance))
    return np.asarray(np.where(flat, 0.0, mean / deviation), dtype=np.float64)


def _check(returns: Floats, blocks: int) -> None:
    if returns.ndim != 2 or returns.shape[1] < 1 or returns.shape[0] < max(returns.shape[1], 4 * blocks):
        raise EvidenceError(
            f"a matrix of shape {returns.shape} for {blocks} blocks",
            why=f"rows are observations (at least {4 * blocks} and no fewer than columns), columns are configurations",
            remedy="transpose it if configurations are in rows, or provide more observations",
        )
    if blocks < 4 or blocks % 2 or blocks > 16:
        raise EvidenceError(
            f"{blocks} blocks",
            why="half of the blocks select and the other half judges",
            remedy="use an even number from 4 to 16",
        )
    if not np.isfinite(returns).all():
        raise EvidenceError(
            "returns that are not finite",
            why="a Sharpe ratio over them would be meaningless",
            remedy="use 0 where a configuration holds no position",
        )
