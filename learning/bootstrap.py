"""How sure is a mean when neighbouring bars share the same price moves?

Circular block bootstrap (Politis and Romano 1992; Kuensch 1989 for blocks): whole blocks of consecutive bars are
drawn with replacement, so the dependence inside a block survives. A block is never shorter than the label horizon;
by default it is three horizons where at least twenty such blocks fit, because a block of one horizon sees only two
thirds of the variance of a mean of overlapping labels. The percentile interval is widened from the normal to
Student's t with (blocks - 1) degrees of freedom: few blocks mean less certainty, not more.
"""

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from learning.errors import EvidenceError
from learning.significance import BarSeries, check_horizon
from market.candles import Floats

__all__ = [
    "MeanInterval",
    "block_bootstrap_mean",
    "block_bootstrap_sharpe",
    "default_block_bars",
    "minimal_detectable_effect",
]

_CHUNK_CELLS = 4_000_000
_FEWEST_BLOCKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """A mean with its interval; ``low``, ``high``, ``standard_error`` and ``mde`` are NaN below three blocks.

    ``mde`` is the smallest true mean this sample would have found with 80% probability.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    mde: float
    confidence: float
    bars: int
    blocks: int
    block_bars: int


def default_block_bars(*, span_bars: int, horizon_bars: int) -> int:
    """Three horizons where twenty such blocks fit into the span, else less, never below one horizon."""
    check_horizon(horizon_bars)
    return int(np.clip(span_bars // 20, horizon_bars, 3 * horizon_bars))


def block_bootstrap_mean(
    series: BarSeries,
    *,
    horizon_bars: int,
    seed: int,
    block_bars: int | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> MeanInterval:
    """Two-sided bootstrap interval of the mean of a bar series.

    Time gaps are kept: a block covers ``block_bars`` bars of time however many have a value. Raises
    ``EvidenceError`` on a block shorter than the horizon or a confidence outside (0, 1).
    """
    span = int(series.values.size)
    block = default_block_bars(span_bars=span, horizon_bars=horizon_bars) if block_bars is None else block_bars
    _check(block=block, horizon_bars=horizon_bars, confidence=confidence, resamples=resamples)
    means = np.empty(0)
    if span // block >= _FEWEST_BLOCKS:
        means = _resampled_means(series, block=block, resamples=resamples, seed=seed)
    return _interval(series.mean, means, bars=series.bars, blocks=span // block, block=block, confidence=confidence)


def block_bootstrap_sharpe(
    returns: Floats,
    *,
    horizon_bars: int,
    bars_per_year: int,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> MeanInterval:
    """Two-sided bootstrap interval of a yearly Sharpe ratio; ``returns`` ``(T,) float64`` per bar, all finite.

    Mean and mean square are drawn together, so a resample has its own standard deviation. All NaN but the counts
    where returns do not vary.
    """
    block = default_block_bars(span_bars=returns.size, horizon_bars=horizon_bars)
    _check(block=block, horizon_bars=horizon_bars, confidence=confidence, resamples=resamples)
    blocks, found, ratios = returns.size // block, nan, np.empty(0)
    spread = float(returns.std(ddof=1)) if returns.size > 1 else 0.0
    if spread > 0.0:
        yearly = sqrt(bars_per_year)
        found = float(returns.mean()) / spread * yearly
    if spread > 0.0 and blocks >= _FEWEST_BLOCKS:
        mean, square = (
            _resampled_means(BarSeries(first_index=0, values=values), block=block, resamples=resamples, seed=seed)
            for values in (returns, returns * returns)
        )
        variance = (square - mean * mean) * returns.size / (returns.size - 1)
        moved = variance > 1e-12 * spread * spread
        ratios = mean[moved] / np.sqrt(variance[moved]) * yearly
    return _interval(found, ratios, bars=returns.size, blocks=blocks, block=block, confidence=confidence)


def _interval(center: float, samples: Floats, *, bars: int, blocks: int, block: int, confidence: float) -> MeanInterval:
    """Percentiles of the resampled statistic around ``center``, widened to Student's t; NaN without samples."""
    from scipy.stats import norm, t

    low, high, error = nan, nan, nan
    if samples.size > 1:
        tail = (1.0 - confidence) / 2.0
        small_sample = sqrt(blocks / (blocks - 1))
        error = float(samples.std(ddof=1)) * small_sample
        stretch = small_sample * float(t.ppf(1.0 - tail, blocks - 1) / norm.ppf(1.0 - tail))
        low, high = (float(end) for end in center + stretch * (np.quantile(samples, [tail, 1.0 - tail]) - center))
    return MeanInterval(
        mean=center,
        low=low,
        high=high,
        standard_error=error,
        mde=minimal_detectable_effect(error, blocks=blocks, confidence=confidence),
        confidence=confidence,
        bars=bars,
        blocks=blocks,
        block_bars=block,
    )


def minimal_detectable_effect(
    standard_error: float, *, blocks: int, confidence: float = 0.95, power: float = 0.8
) -> float:
    """Smallest true mean that a two-sided test at this confidence finds with probability ``power``.

    Example:
        >>> round(minimal_detectable_effect(1.0, blocks=100_000), 2)
        2.8
    """
    from scipy.stats import t

    freedom = max(blocks - 1, 1)
    return float((t.ppf(0.5 + confidence / 2.0, freedom) + t.ppf(power, freedom)) * standard_error)


def _resampled_means(series: BarSeries, *, block: int, resamples: int, seed: int) -> Floats:
    """Means of ``resamples`` series glued from circular blocks, via running sums: no series is ever built."""
    present = np.isfinite(series.values)
    span = present.size
    wrapped = np.concatenate((present, present[:block]))
    values = np.where(present, series.values, 0.0)
    totals = np.concatenate(([0.0], np.cumsum(np.concatenate((values, values[:block])))))
    counts = np.concatenate(([0], np.cumsum(wrapped)))
    block_total = totals[block : block + span] - totals[:span]
    block_count = counts[block : block + span] - counts[:span]
    draws = -(-span // block)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _CHUNK_CELLS // draws)
    for lo in range(0, resamples, step):
        hi = min(lo + step, resamples)
        start = rng.integers(0, span, size=(hi - lo, draws))
        means[lo:hi] = block_total[start].sum(axis=1) / np.maximum(block_count[start].sum(axis=1), 1)
    return means


def _check(*, block: int, horizon_bars: int, confidence: float, resamples: int) -> None:
    check_horizon(horizon_bars)
    if block < horizon_bars:
        raise EvidenceError(
            f"a block of {block} bars for labels of {horizon_bars} bars",
            why="labels inside one horizon overlap, and shorter blocks would treat them as independent",
            remedy=f"use blocks of at least {horizon_bars} bars",
        )
    if not 0.0 < confidence < 1.0 or resamples < 100:
        raise EvidenceError(
            f"confidence {confidence} with {resamples} resamples",
            why="an interval needs a confidence between 0 and 1 and at least 100 resamples",
            remedy="use for example confidence 0.95 and 2000 resamples",
        )
