"""Is the challenger better than what it would replace, on bars that neither has seen?

Both are scored on the same resolved rows with log loss; the difference of one bar is the mean over its symbols of
reference minus challenger, so positive is better. Everything here is a mean over bars, never over rows. Only bars a
label horizon apart count as independent. A row without both predictions or without its label is left out and
counted, never filled.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from learning.bootstrap import block_bootstrap_mean
from learning.e_process import e_process
from learning.errors import EvidenceError
from learning.metrics import brier_rows, log_loss_rows
from learning.significance import BarSeries, bar_series, independent_windows
from market.candles import Floats, Ints

__all__ = ["ShadowEvidence", "paired_evidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowEvidence:
    """What a paired comparison showed; losses in nats, means over bars, NaN where nothing was resolved.

    ``rows`` counts rows offered, ``unpaired`` those without both predictions, ``resolved`` those scored, ``bars``
    distinct bars, ``independent`` windows a horizon apart. ``mean_difference`` is reference minus challenger with
    its bootstrap interval; ``mde`` the smallest true difference found with 80% probability; ``e_superiority`` the
    e-value at the last checkpoint and ``e_harm``, a process of its own, the largest at any: harm once shown stays.
    Both bet on differences clipped to ``bound`` (``clipped_share`` of bars were); ``identical`` whether both sides
    gave the same numbers on every scored row.
    """

    rows: int
    unpaired: int
    resolved: int
    bars: int
    independent: int
    horizon_bars: int
    first_index: int
    last_index: int
    mean_difference: float
    ci_low: float
    ci_high: float
    standard_error: float
    mde: float
    confidence: float
    e_superiority: float
    e_harm: float
    bound: float
    clipped_share: float
    log_loss_challenger: float
    log_loss_reference: float
    brier_challenger: float
    brier_reference: float
    identical: bool


def paired_evidence(
    *,
    challenger: Floats,
    reference: Floats,
    y: NDArray[np.integer],
    bar_index: Ints,
    horizon_bars: int,
    seed: int,
    bound: float = 0.25,
    alpha: float = 0.05,
    origin: int | None = None,
    resamples: int = 2000,
) -> ShadowEvidence:
    """Score ``challenger`` against ``reference`` (both ``(n, 3)`` probabilities) on the same rows.

    ``y`` ``(n,)`` holds 0 HOLD, 1 BUY, 2 SELL and -1 where the label has not resolved; ``bar_index`` ``(n,)
    int64``. A row with NaN on either side is unpaired. ``bound`` (nats) clips the difference of one bar for the
    e-values, whose checkpoints count from bar ``origin`` (None: the first row's). Serves walk-forward rows too, with
    climatology, logistic regression or the champion as reference. Raises ``EvidenceError``.
    """
    _check(challenger=challenger, reference=reference, y=y, bar_index=bar_index)
    paired = np.isfinite(challenger).all(axis=1) & np.isfinite(reference).all(axis=1)
    use = paired & (y >= 0)
    ours, theirs, happened, bars = challenger[use], reference[use], y[use], bar_index[use]
    _check_probabilities(ours, who="challenger")
    _check_probabilities(theirs, who="reference")
    loss, loss_reference = log_loss_rows(ours, happened), log_loss_rows(theirs, happened)
    difference = bar_series(loss_reference - loss, bar_index=bars)
    against = BarSeries(first_index=difference.first_index, values=-difference.values)
    interval = block_bootstrap_mean(
        difference, horizon_bars=horizon_bars, seed=seed, confidence=1.0 - alpha, resamples=resamples
    )
    better, worse = (
        e_process(s, horizon_bars=horizon_bars, bound=bound, alpha=alpha, origin=origin) for s in (difference, against)
    )
    return ShadowEvidence(
        rows=int(y.size),
        unpaired=int((~paired).sum()),
        resolved=int(use.sum()),
        bars=difference.bars,
        independent=independent_windows(bars, horizon_bars=horizon_bars),
        horizon_bars=horizon_bars,
        first_index=difference.first_index,
        last_index=difference.first_index + max(int(difference.values.size) - 1, 0),
        mean_difference=interval.mean,
        ci_low=interval.low,
        ci_high=interval.high,
        standard_error=interval.standard_error,
        mde=interval.mde,
        confidence=interval.confidence,
        e_superiority=better.value,
        e_harm=worse.largest,
        bound=bound,
        clipped_share=better.clipped_share,
        log_loss_challenger=_bar_mean(loss, bars),
        log_loss_reference=_bar_mean(loss_reference, bars),
        brier_challenger=_bar_mean(brier_rows(ours, happened), bars),
        brier_reference=_bar_mean(brier_rows(theirs, happened), bars),
        identical=bool(use.any()) and bool(np.array_equal(ours, theirs)),
    )


def _bar_mean(values: Floats, bars: Ints) -> float:
    return bar_series(values, bar_index=bars).mean if values.size else nan


def _check(*, challenger: Floats, reference: Floats, y: NDArray[np.integer], bar_index: Ints) -> None:
    n = y.size
    if challenger.shape != (n, 3) or reference.shape != (n, 3) or bar_index.shape != (n,):
        raise EvidenceError(
            f"challenger {challenger.shape}, reference {reference.shape}, labels {y.shape}, bars {bar_index.shape}",
            why="a paired comparison needs both predictions of the same rows",
            remedy="align both on (symbol, bar), with NaN where one made no prediction",
        )
    if n and (int(y.min()) < -1 or int(y.max()) > 2):
        raise EvidenceError(
            f"labels from {int(y.min())} to {int(y.max())}",
            why="classes are 0 HOLD, 1 BUY, 2 SELL and -1 unresolved",
            remedy="pass the class codes of registry.policy.Action",
        )


def _check_probabilities(p: Floats, *, who: str) -> None:
    if p.size and (float(p.min()) < 0.0 or float(np.abs(p.sum(axis=1) - 1.0).max()) > 1e-6):
        raise EvidenceError(
            f"{who} rows that are no probabilities (smallest {float(p.min()):g}, sums {float(p.sum(axis=1).min()):g} "
            f"to {float(p.sum(axis=1).max()):g})",
            why="a proper score of them would be meaningless",
            remedy="pass calibrated class probabilities that sum to one",
        )
