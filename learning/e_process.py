"""When may a running comparison be stopped without fooling ourselves?

A betting e-process (Waudby-Smith and Ramdas 2024; Ville's inequality): wealth that starts at 1 and, if the
challenger is no better, exceeds 1 / alpha with probability at most alpha. Values are mean differences per bar,
clipped to ``[-bound, bound]``.

Labels of one horizon overlap, so bars are split into one process per residue of the bar index modulo the horizon:
inside a residue a label has ended exactly when the next bet is placed. The processes start with equal stakes and
are averaged. A single process fed every bar is wrong: it bets on moves it has already seen. The fraction bet at bar
t is the approximate growth-rate-adaptive one (aGRAPA), truncated, and uses only bars whose labels ended by bar t.

At one bar fixed beforehand the average is a valid e-value. Between two bets of a residue the others have already seen
part of its label, so reading after every bar would peek: the value is read at checkpoints only, every
``CHECKPOINT_HORIZONS`` horizons from the first bar of the comparison. They are set before any data arrive, and asking
again later moves none of them. ``learning.shadow_simulation`` holds the rate of false promotions over all of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.errors import EvidenceError
from learning.significance import BarSeries, check_horizon
from market.candles import Floats, Ints

__all__ = ["CHECKPOINT_HORIZONS", "EProcess", "checkpoint_bars", "e_process", "wealth_at"]

CHECKPOINT_HORIZONS = 6
LARGEST_BET = 0.5
_PRIOR_WINDOWS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EProcess:
    """Evidence that the mean is above zero.

    ``value`` is the e-value at the last checkpoint, 1 before the first; ``largest`` the largest at any so far, at least
    1. ``checkpoints`` ``(k,) int64`` absolute bars with ``values`` ``(k,)``; ``crossed_at`` the first checkpoint at or
    above 1 / alpha, None if there is none; ``clipped_share`` the share of bars outside the bound.
    """

    value: float
    largest: float
    alpha: float
    bound: float
    checkpoints: Ints
    values: Floats
    crossed_at: int | None
    clipped_share: float


def checkpoint_bars(*, first_index: int, last_index: int, horizon_bars: int) -> Ints:
    """The last bar of every ``CHECKPOINT_HORIZONS`` horizons from ``first_index`` that is over by ``last_index``.

    Example:
        >>> checkpoint_bars(first_index=0, last_index=200, horizon_bars=12).tolist()
        [71, 143]
    """
    check_horizon(horizon_bars)
    step = CHECKPOINT_HORIZONS * horizon_bars
    return np.arange(first_index + step - 1, last_index + 1, step, dtype=np.int64)


def e_process(
    series: BarSeries,
    *,
    horizon_bars: int,
    bound: float,
    alpha: float = 0.05,
    origin: int | None = None,
    largest_bet: float = LARGEST_BET,
) -> EProcess:
    """Bet that the mean of a bar series is above zero; for harm, pass the negated series.

    ``bound`` is in the unit of the values; ``largest_bet`` in (0, 1) truncates the fraction so that one bar costs
    at most that share of a process. Checkpoints count from bar ``origin`` (None: the first of the series):
    pass the first bar the comparison may use, whatever came in. An empty series gives the value 1. Raises
    ``EvidenceError``.
    """
    check_horizon(horizon_bars)
    if not (bound > 0.0 and 0.0 < largest_bet < 1.0 and 0.0 < alpha < 1.0):
        raise EvidenceError(
            f"bound {bound}, largest bet {largest_bet}, alpha {alpha}",
            why="wealth must stay positive and the level must be a probability",
            remedy="use a bound above 0, and a bet and a level between 0 and 1",
        )
    span = int(series.values.size)
    last = series.first_index + span - 1
    first = series.first_index if origin is None else origin
    checkpoints = checkpoint_bars(first_index=first, last_index=last if span else first - 1, horizon_bars=horizon_bars)
    rows = checkpoints - series.first_index
    at = wealth_at(series.values, rows, horizon_bars=horizon_bars, bound=bound, largest_bet=largest_bet)
    crossed = np.flatnonzero(at >= 1.0 / alpha)
    present = np.isfinite(series.values)
    return EProcess(
        value=float(at[-1]) if at.size else 1.0,
        largest=float(at.max(initial=1.0)),
        alpha=alpha,
        bound=bound,
        checkpoints=checkpoints,
        values=at,
        crossed_at=int(checkpoints[crossed[0]]) if crossed.size else None,
        clipped_share=float((np.abs(series.values[present]) > bound).sum() / max(int(present.sum()), 1)),
    )


def wealth_at(
    values: Floats, rows: Ints, *, horizon_bars: int, bound: float, largest_bet: float = LARGEST_BET
) -> Floats:
    """Mean wealth ``(..., k)`` of the residue processes after each of ``rows (k,)`` of ``values (..., n)``.

    NaN is a bar without a value; a negative row comes before every bet.
    """
    present = np.isfinite(values)
    known = np.clip(np.where(present, values, 0.0), -bound, bound)
    bets = _bets(known, present, horizon_bars=horizon_bars, bound=bound, largest=largest_bet / bound)
    growth = np.log1p(bets * known)
    out = np.ones((*values.shape[:-1], rows.size))
    for k, row in enumerate(rows.tolist()):
        out[..., k] = _wealth(growth, until=row, horizon=horizon_bars)
    return out


def _bets(
    values: Floats,
    present: NDArray[np.bool_],
    *,
    horizon_bars: int,
    bound: float,
    largest: float,
) -> Floats:
    """The fraction bet on each bar, from the mean and variance of bars at least a horizon older."""
    count = _known(present.astype(np.float64), horizon_bars)
    total = _known(values, horizon_bars)
    square = _known(values * values, horizon_bars)
    mean = total / (count + _PRIOR_WINDOWS * horizon_bars)
    prior = _PRIOR_WINDOWS * (bound / 4.0) ** 2
    variance = np.maximum((square + prior) / (count + _PRIOR_WINDOWS) - mean * mean, 0.0)
    fraction = mean / np.maximum(variance + mean * mean, 1e-300)
    return np.asarray(np.clip(fraction, 0.0, largest), dtype=np.float64)


def _known(values: Floats, horizon: int) -> Floats:
    """Sum of the values of bars ``t - horizon`` and older, for every bar t."""
    total = np.zeros(values.shape)
    if values.shape[-1] > horizon:
        total[..., horizon:] = np.cumsum(values, axis=-1)[..., : values.shape[-1] - horizon]
    return total


def _wealth(growth: Floats, *, until: int, horizon: int) -> Floats:
    """Mean wealth of the residue processes after the bar in row ``until``."""
    seen = growth[..., : max(until + 1, 0)]
    n, before = seen.shape[-1], seen.shape[:-1]
    padded = np.zeros((*before, -(-max(n, 1) // horizon) * horizon))
    padded[..., :n] = seen
    wealth: Floats = np.exp(padded.reshape(*before, -1, horizon).sum(axis=-2)).mean(axis=-1)
    return wealth
