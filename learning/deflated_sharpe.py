"""Is a Sharpe ratio good, or only the best of many that were tried?

Probabilistic Sharpe ratio (Bailey and Lopez de Prado 2012): the probability that the true Sharpe ratio exceeds a
benchmark, given its length, skewness and kurtosis. Deflated Sharpe ratio (Bailey and Lopez de Prado 2014): the same
with the benchmark that the best of N trials without any skill would reach. N is the trial ledger's count, never a
guess. All Sharpe ratios here are per period (per bar or per day), not annualised.
"""

from dataclasses import dataclass, replace
from math import e, isnan, nan, sqrt

import numpy as np

from learning.errors import EvidenceError
from market.candles import Floats

__all__ = [
    "DeflatedSharpe",
    "deflated_by",
    "deflated_sharpe",
    "effective_observations",
    "expected_best_sharpe",
    "probabilistic_sharpe",
]

_EULER_GAMMA = 0.5772156649015329
_FEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflatedSharpe:
    """``probability`` that the true Sharpe exceeds what ``trials`` tries without skill would show; NaN if unknown.

    ``sharpe`` and ``benchmark`` are per period; ``observations`` is the effective number of periods.
    """

    probability: float
    sharpe: float
    benchmark: float
    trials: int
    observations: float
    skew: float
    kurtosis: float


def probabilistic_sharpe(
    sharpe: float, *, benchmark: float, observations: float, skew: float, kurtosis: float
) -> float:
    """P(true Sharpe > benchmark); ``kurtosis`` is not excess (3 for a normal).

    Example:
        >>> round(probabilistic_sharpe(0.1, benchmark=0.0, observations=101, skew=0.0, kurtosis=3.0), 4)
        0.8407
    """
    from scipy.stats import norm

    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    if observations <= 1 or not spread > 0.0:
        return nan
    return float(norm.cdf((sharpe - benchmark) * sqrt(observations - 1.0) / sqrt(spread)))


def expected_best_sharpe(*, trials: int, trial_variance: float) -> float:
    """Expected largest of ``trials`` Sharpe ratios whose true value is zero (False Strategy theorem).

    ``trial_variance`` is the variance of the trials' per-period Sharpe ratios.
    """
    from scipy.stats import norm

    if trials < 1 or not trial_variance >= 0.0:
        raise EvidenceError(
            f"{trials} trials with Sharpe variance {trial_variance}",
            why="the best of N needs N of at least 1 and a variance",
            remedy="take the count from the trial ledger",
        )
    if trials == 1:
        return 0.0
    best = (1.0 - _EULER_GAMMA) * norm.ppf(1.0 - 1.0 / trials) + _EULER_GAMMA * norm.ppf(1.0 - 1.0 / (trials * e))
    return float(sqrt(trial_variance) * best)


def effective_observations(returns: Floats, *, lag: int) -> float:
    """How many independent periods a return series is worth, never more than its length.

    ``(n,) float64``, oldest first. Length times variance over long-run variance (Newey and West 1987, Bartlett
    weights up to ``lag`` periods): overlapping positions shrink it.
    """
    n = returns.size
    centered = returns - returns.mean() if n else returns
    variance = float(centered @ centered)
    if n < 2 or variance <= 0.0:
        return float(n)
    lags = range(1, min(lag, n - 1) + 1)
    covariance = sum((1.0 - k / (lag + 1.0)) * float(centered[k:] @ centered[:-k]) for k in lags)
    return float(n) * min(1.0, variance / max(variance + 2.0 * covariance, 1e-12 * variance))


def deflated_sharpe(
    returns: Floats, *, trials: int, trial_variance: float | None = None, dependence_lag: int = 0
) -> DeflatedSharpe:
    """Deflated Sharpe ratio of per-period ``returns`` (``(n,) float64``, oldest first).

    ``trial_variance`` None estimates it as the sampling variance of a Sharpe ratio without skill, 1 / (observations
    - 1). ``dependence_lag`` > 0 corrects the number of observations for autocorrelation up to that many periods.
    Fewer than 10 returns or no variation gives a probability of NaN. Raises ``EvidenceError`` on returns that
    are not finite.
    """
    from scipy.stats import kurtosis, skew

    if not np.isfinite(returns).all():
        raise EvidenceError(
            f"{int((~np.isfinite(returns)).sum())} of {returns.size} returns are not finite",
            why="a Sharpe ratio over them would be meaningless",
            remedy="leave unresolved trades out",
        )
    observations = effective_observations(returns, lag=dependence_lag) if dependence_lag else float(returns.size)
    deviation = float(returns.std(ddof=1)) if returns.size >= _FEWEST else 0.0
    if deviation <= 1e-15 or observations <= 2:
        return DeflatedSharpe(
            probability=nan,
            sharpe=nan,
            benchmark=nan,
            trials=trials,
            observations=observations,
            skew=nan,
            kurtosis=nan,
        )
    sharpe = float(returns.mean()) / deviation
    variance = 1.0 / (observations - 1.0) if trial_variance is None else trial_variance
    benchmark = expected_best_sharpe(trials=trials, trial_variance=variance)
    third, fourth = float(skew(returns)), float(kurtosis(returns, fisher=False))
    return DeflatedSharpe(
        probability=probabilistic_sharpe(
            sharpe, benchmark=benchmark, observations=observations, skew=third, kurtosis=fourth
        ),
        sharpe=sharpe,
        benchmark=benchmark,
        trials=trials,
        observations=observations,
        skew=third,
        kurtosis=fourth,
    )


def deflated_by(found: DeflatedSharpe, *, trials: int) -> DeflatedSharpe:
    """The same returns against the best of ``trials``: what was tried later on the same data counts too.

    For a ratio whose trials' variance was estimated from the observations. The probability of one that could not be had
    stays NaN.
    """
    if trials == found.trials or isnan(found.probability):
        return replace(found, trials=trials)
    variance = 1.0 / (found.observations - 1.0)
    benchmark = expected_best_sharpe(trials=trials, trial_variance=variance)
    probability = probabilistic_sharpe(
        found.sharpe,
        benchmark=benchmark,
        observations=found.observations,
        skew=found.skew,
        kurtosis=found.kurtosis,
    )
    return replace(found, trials=trials, benchmark=benchmark, probability=probability)
