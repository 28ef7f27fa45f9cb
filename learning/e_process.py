"""When may a running comparison be stopped without fooling ourselves?

A betting e-process (Waudby-Smith and Ramdas 2024; Ville's inequality): wealth that starts at 1 and, if the
challenger is no better, exceeds 1 / alpha with probability at most alpha. Values are mean differences per bar,
clipped to ``[-bound, bound]``.

Labels of one horizon overlap, so bars are split into one process per residue of the bar index modulo the horizon:
inside a residue a label has ended exactly when the next bet is placed. The processes start with equal stakes and
are averaged. A single process fed every bar is wrong: it bets on moves it has already seen. The fraction bet at bar
t is the approximate growth-rate-adaptive one (aGRAPA), truncated, and uses only bars whose labels ended by bar t.

At one checkpoint fixed beforehand the average is a valid e-value. Between two bets of a residue the others have already
seen part of its label, so reading after every bar would peek: the value is read at a few checkpoints only, at least
one horizon apart, and the tests hold the false promotion rate over all of them by simulation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.errors import EvidenceError
from learning.significance import BarSeries, check_horizon
from market.candles import Floats, Ints

__all__ = ["EProcess", "checkpoint_bars", "e_process"]

_PRIOR_WINDOWS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EProcess:
    """Evidence that the mean is above zero.

    ``value`` is the e-value at the last checkpoint; ``checkpoints`` ``(k,) int64`` absolute bars with ``values``
    ``(k,)``; ``crossed_at`` the first checkpoint at or above 1 / alpha, None if there is none; ``clipped_share``
    the share of bars outside the bound.
    """

    value: float
    alpha: float
    bound: float
    checkpoints: Ints
    values: Floats
    crossed_at: int | None
    clipped_share: float


def checkpoint_bars(*, first_index: int, last_index: int, horizon_bars: int, count: int = 10) -> Ints:
    """At most ``count`` evenly spaced bars up to and including the last, at least one horizon apart.

    Example:
        >>> checkpoint_bars(first_index=0, last_index=100, horizon_bars=12, count=4).tolist()
        [25, 50, 75, 100]
    """
    check_horizon(horizon_bars)
    span = last_index - first_index
    pieces = int(np.clip(span // horizon_bars, 1, count))
    return np.unique(last_index - (span * np.arange(pieces)) // pieces).astype(np.int64)


def e_process(
    series: BarSeries,
    *,
    horizon_bars: int,
    bound: float,
    alpha: float = 0.05,
    checkpoints: Ints | None = None,
    largest_bet: float = 0.5,
) -> EProcess:
    """Bet that the mean of a bar series is above zero; for harm, pass the negated series.

    ``bound`` is in the unit of the values; ``largest_bet`` in (0, 1) truncates the fraction so that one bar costs
    at most that share of a process. ``checkpoints`` None sets ten. An empty series gives the value 1. Raises
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
    if checkpoints is None:
        checkpoints = checkpoint_bars(first_index=series.first_index, last_index=last, horizon_bars=horizon_bars)
    present = np.isfinite(series.values)
    raw = np.where(present, series.values, 0.0)
    values = np.clip(raw, -bound, bound)
    bets = _bets(values, present, horizon_bars=horizon_bars, bound=bound, largest=largest_bet / bound)
    growth = np.log1p(bets * values)
    at = np.array([_wealth(growth, until=int(c) - series.first_index, horizon=horizon_bars) for c in checkpoints])
    crossed = np.flatnonzero(at >= 1.0 / alpha)
    return EProcess(
        value=float(at[-1]) if at.size and span else 1.0,
        alpha=alpha,
        bound=bound,
        checkpoints=checkpoints,
        values=at,
        crossed_at=int(checkpoints[crossed[0]]) if crossed.size else None,
        clipped_share=float((np.abs(raw) > bound).sum() / max(int(present.sum()), 1)),
    )


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
    total = np.zeros(values.size)
    if values.size > horizon:
        total[horizon:] = np.cumsum(values)[: values.size - horizon]
    return total


def _wealth(growth: Floats, *, until: int, horizon: int) -> float:
    """Mean wealth of the residue processes after the bar in row ``until``."""
    seen = growth[: max(until + 1, 0)]
    padded = np.zeros(-(-max(seen.size, 1) // horizon) * horizon)
    padded[: seen.size] = seen
    return float(np.exp(padded.reshape(-1, horizon).sum(axis=0)).mean())
