"""How far did equity fall, by closed paper trades?

Each trade books its result (size times net return, a fraction of equity at the start) when it is settled; equity
starts at 1. Open positions are not valued.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from learning.metrics import max_drawdown
from market.timeframe import DAY_MS

__all__ = ["Booked", "daily_drawdown", "drawdown"]


class Booked(NamedTuple):
    """When a trade was booked (ms UTC), and its result as a fraction of equity."""

    at_ms: int
    result: float


def drawdown(booked: Sequence[Booked]) -> float | None:
    """The largest fall below the highest equity so far, as a fraction of it; None without a trade.

    >>> round(drawdown([Booked(0, 0.1), Booked(1, -0.11), Booked(2, 0.2)]), 4)
    0.1
    """
    return _largest_fall(booked, start=1.0) if booked else None


def daily_drawdown(booked: Sequence[Booked]) -> float | None:
    """The largest fall within one UTC day, below the highest equity of that day, its opening included; None without."""
    equity, worst = 1.0, None
    days: dict[int, list[Booked]] = {}
    for one in sorted(booked):
        days.setdefault(one.at_ms // DAY_MS, []).append(one)
    for trades in days.values():
        worst = max(worst or 0.0, _largest_fall(trades, start=equity))
        equity += sum(one.result for one in trades)
    return worst


def _largest_fall(booked: Sequence[Booked], *, start: float) -> float:
    """By the equity after every moment at which trades were booked together; 1 where there was none to lose."""
    if start <= 0.0:
        return 1.0
    moments: dict[int, float] = {}
    for one in sorted(booked):
        moments[one.at_ms] = moments.get(one.at_ms, 0.0) + one.result
    return max_drawdown((start + np.cumsum(list(moments.values()))) / start)
