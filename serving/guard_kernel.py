"""What may a bundle say, given how its own closed trades went? In compiled code.

Two records, both of closed trades alone, so that backtest, replay and live see the same numbers. The book goes on at
full size whatever is said: it moves the performance guard (NORMAL, REDUCED, PAUSED), which can therefore recover. What
was said moves the daily loss limit, which ends with the UTC day, and the drawdown limit, which holds until a person
resumes. Results are fractions of the equity at the start; drawdowns are fractions of the peak.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "DAY",
    "DAY_BEGAN",
    "GUARD_LEVELS",
    "KILLED",
    "LEVEL",
    "SAID",
    "SAID_PEAK",
    "GuardArrays",
    "GuardNumbers",
    "begin_day",
    "book_trade",
    "has_lost",
    "said_share",
]

GUARD_LEVELS = ("NORMAL", "REDUCED", "PAUSED")
NORMAL, REDUCED, PAUSED = 0, 1, 2
SEEN, PLACE, STREAK, LEVEL, DAY, KILLED = range(6)
BOOK, BOOK_PEAK, SAID, SAID_PEAK, DAY_BEGAN = range(5)

# What keeps a position of the book from being said; the decision's step codes of these names.
SAY_ALL, SAY_NOT_PAUSED, SAY_NOT_REDUCED, SAY_NOT_DAILY_LOSS, SAY_NOT_DRAWDOWN = range(5)
_ROUNDING = 1e-12

_F = NDArray[np.float64]


class GuardNumbers(NamedTuple):
    """The numbers of a ``GuardRule`` and of the two loss limits, in the types the compiled code expects."""

    min_trades: int
    normal_hit_rate: float
    reduced_hit_rate: float
    reduced_streak: int
    reduced_drawdown: float
    reduced_size: float
    reduced_threshold: float
    paused_hit_rate: float
    paused_streak: int
    paused_drawdown: float
    daily_loss_limit: float
    drawdown_limit: float
    bars_per_day: int


class GuardArrays(NamedTuple):
    """What is remembered of closed trades, changed in place.

    ``gains`` ``(window,) int8`` is a ring of results, 1 for a gain. ``counts`` ``(6,) int64``: trades seen, the ring's
    next place, losses in a row, level, day, and 1 after the drawdown limit. ``money`` ``(5,) float64``: the book's
    equity and its peak, the equity of what was said, its peak, and that equity as the day began.
    """

    gains: NDArray[np.int8]
    counts: NDArray[np.int64]
    money: _F


def has_lost(now: float, before: float, limit: float) -> bool:
    """Whether equity fell by this fraction or more."""
    return now <= before * (1.0 - limit) + _ROUNDING


_has_lost = njit()(has_lost)


@njit()
def begin_day(rule: Any, guard: Any, bar: int) -> None:
    """A new UTC day starts with the equity there is."""
    day = bar // rule.bars_per_day
    if day > guard.counts[DAY]:
        guard.counts[DAY] = day
        guard.money[DAY_BEGAN] = guard.money[SAID]


@njit()
def _level(rule: Any, guard: Any) -> int:
    """The level after the last closed trade."""
    n = min(guard.counts[SEEN], guard.gains.size)
    rate = guard.gains[:n].sum() / n
    judged = n >= rule.min_trades
    streak = guard.counts[STREAK]
    drawdown = 1.0 - guard.money[BOOK] / guard.money[BOOK_PEAK]
    if (judged and rate < rule.paused_hit_rate) or streak >= rule.paused_streak or drawdown > rule.paused_drawdown:
        return PAUSED
    low = judged and rate < rule.reduced_hit_rate
    if low or streak >= rule.reduced_streak or drawdown > rule.reduced_drawdown:
        return REDUCED
    if guard.counts[LEVEL] == NORMAL:
        return NORMAL
    recovered = judged and rate >= rule.normal_hit_rate and drawdown < rule.reduced_drawdown
    return NORMAL if recovered else REDUCED


@njit()
def book_trade(rule: Any, guard: Any, bar: int, book: float, said: float) -> None:
    """Take in one trade closed at this bar: ``book`` and ``said`` are size times net; NaN is not known, and nothing."""
    begin_day(rule, guard, bar)
    if not np.isfinite(book) or not np.isfinite(said):
        return
    gain = book > 0.0
    guard.gains[guard.counts[PLACE]] = 1 if gain else 0
    guard.counts[PLACE] = (guard.counts[PLACE] + 1) % guard.gains.size
    guard.counts[SEEN] += 1
    guard.counts[STREAK] = 0 if gain else guard.counts[STREAK] + 1
    guard.money[BOOK] += book
    guard.money[BOOK_PEAK] = max(guard.money[BOOK_PEAK], guard.money[BOOK])
    guard.money[SAID] += said
    guard.money[SAID_PEAK] = max(guard.money[SAID_PEAK], guard.money[SAID])
    guard.counts[LEVEL] = _level(rule, guard)
    if _has_lost(guard.money[SAID], guard.money[SAID_PEAK], rule.drawdown_limit):
        guard.counts[KILLED] = 1


@njit()
def said_share(rule: Any, guard: Any, confidence: float, threshold: float) -> tuple[float, int]:
    """(share of the book's size that is said, what keeps it back or ``SAY_ALL``)."""
    if guard.counts[KILLED] != 0:
        return 0.0, SAY_NOT_DRAWDOWN
    if _has_lost(guard.money[SAID], guard.money[DAY_BEGAN], rule.daily_loss_limit):
        return 0.0, SAY_NOT_DAILY_LOSS
    if guard.counts[LEVEL] == PAUSED:
        return 0.0, SAY_NOT_PAUSED
    if guard.counts[LEVEL] == REDUCED:
        if confidence < threshold + rule.reduced_threshold - _ROUNDING:
            return 0.0, SAY_NOT_REDUCED
        return rule.reduced_size, SAY_ALL
    return 1.0, SAY_ALL
