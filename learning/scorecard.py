"""How good were these forecasts and trades, by what happened?

Pure statistics over resolved rows. Forecasts: probabilities ``(n, 3)`` in the order of ``Action``, the class that
happened ``(n,)`` in 0..2, the side that was named ``(n,)`` (0 none, 1 BUY, 2 SELL). A number that cannot be had is
None, with the reason beside it where that may surprise. Below ``FEWEST`` rows the verdict is ``unknown``; the numbers
are shown all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learning.metrics import brier, calibration_slope, hit_rate, profit_factor
from learning.reliability import Bins, reliability_bins
from market.candles import Floats, Ints

__all__ = [
    "FEWEST",
    "Forecasts",
    "TradeScores",
    "forecast_scores",
    "trade_scores",
    "wilson",
    "windows_apart",
]

FEWEST = 30
LOW_HIT_RATE, HIGH_ECE, HIGH_BIAS = 0.45, 0.10, 0.15
_Z = NormalDist().inv_cdf(0.975)
Verdict = Literal["unknown", "fine", "alert"]
Classes = NDArray[np.integer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """Scores of one model or of the ensemble.

    ``independent`` counts label windows that do not overlap in time; ``with_side`` rows that named a side and
    ``hit_rate`` the share of these on which that side was the class (``hit_interval`` Wilson, 95 %). ``brier`` is 0..2
    over three classes, ``slope`` its calibration slope; ``bins`` and ``ece`` look at the most probable class. ``bias``
    is the mean sign of the sides named.
    """

    name: str
    n: int
    independent: int
    with_side: int
    hit_rate: float | None
    hit_interval: tuple[float, float] | None
    brier: float | None
    ece: float | None
    slope: float | None
    buy_share: float | None
    sell_share: float | None
    hold_share: float | None
    bias: float | None
    bins: Bins
    verdict: Verdict
    alerts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeScores:
    """Scores of closed paper trades: net returns are fractions of notional, ``net_return`` one of equity."""

    trades: int
    independent: int
    unresolved: int
    win_rate: float | None
    win_interval: tuple[float, float] | None
    profit_factor: float | None
    profit_factor_reason: str | None
    average_win: float | None
    average_loss: float | None
    net_return: float | None
    losses_in_a_row: int
    verdict: Verdict
    alerts: tuple[str, ...]


def wilson(hits: int, n: int) -> tuple[float, float] | None:
    """95 % interval of a share (Wilson 1927); None without rows.

    >>> tuple(round(end, 3) for end in wilson(6, 10) or ())
    (0.313, 0.832)
    """
    if n == 0:
        return None
    share, z2 = hits / n, _Z * _Z
    middle = share + z2 / (2 * n)
    half = _Z * sqrt(share * (1.0 - share) / n + z2 / (4 * n * n))
    return max(0.0, (middle - half) / (1.0 + z2 / n)), min(1.0, (middle + half) / (1.0 + z2 / n))


def windows_apart(first: Ints, last: Ints) -> int:
    """The most windows ``[first, last)`` that do not overlap, in any unit of time (earliest end first).

    >>> windows_apart(np.array([0, 1, 4, 5]), np.array([4, 5, 9, 6]))
    2
    """
    order = np.argsort(last, kind="stable")
    count, free_from = 0, None
    for begin, end in zip(first[order].tolist(), last[order].tolist(), strict=True):
        if free_from is None or begin >= free_from:
            count, free_from = count + 1, end
    return count


def forecast_scores(name: str, p: Floats, y: Classes, side: Classes, *, independent: int) -> Forecasts:
    """Every score of ``n`` resolved forecasts; ``n`` may be 0."""
    n, named = int(y.size), side > 0
    with_side, hits = int(named.sum()), int((side[named] == y[named]).sum())
    bins = reliability_bins(p.max(axis=1), p.argmax(axis=1) == y) if n else Bins((), (), ())
    shares = [float((side == c).mean()) if n else None for c in range(3)]
    ece = bins.ece
    bias = (int((side == 1).sum()) - int((side == 2).sum())) / with_side if with_side else None
    hit_rate = hits / with_side if with_side else None
    enough = with_side >= FEWEST
    alerts = _alerts(
        (enough and hit_rate is not None and hit_rate < LOW_HIT_RATE, "hit rate"),
        (ece is not None and ece > HIGH_ECE, "calibration"),
        (enough and bias is not None and abs(bias) > HIGH_BIAS, "one-sided"),
    )
    return Forecasts(
        name=name,
        n=n,
        independent=independent,
        with_side=with_side,
        hit_rate=hit_rate,
        hit_interval=wilson(hits, with_side),
        brier=brier(p, y) if n else None,
        ece=ece,
        slope=calibration_slope(p, y) if n else None,
        buy_share=shares[1],
        sell_share=shares[2],
        hold_share=shares[0],
        bias=bias,
        bins=bins,
        verdict=_verdict(n, alerts),
        alerts=alerts,
    )


def trade_scores(net: Floats, size: Floats, *, independent: int, unresolved: int) -> TradeScores:
    """Scores of ``n`` closed trades in the order in which they ended; ``net (n,)``, ``size (n,)`` of equity."""
    n = int(net.size)
    gains, losses = net[net > 0.0], net[net < 0.0]
    factor, win_rate = profit_factor(size * net), hit_rate(net)
    streak = _losses_in_a_row(net.tolist())
    alerts = _alerts(
        (win_rate is not None and win_rate < LOW_HIT_RATE, "win rate"), (streak >= 3, "three losses in a row")
    )
    return TradeScores(
        trades=n,
        independent=independent,
        unresolved=unresolved,
        win_rate=win_rate,
        win_interval=wilson(int(gains.size), n),
        profit_factor=factor,
        profit_factor_reason=None if factor is not None else "no trades" if n == 0 else "no losses to divide by",
        average_win=float(gains.mean()) if gains.size else None,
        average_loss=float(losses.mean()) if losses.size else None,
        net_return=float((size * net).sum()) if n else None,
        losses_in_a_row=streak,
        verdict=_verdict(n, alerts),
        alerts=alerts,
    )


def _losses_in_a_row(net: Sequence[float]) -> int:
    """Losses at the end."""
    count = 0
    for one in reversed(net):
        if one >= 0.0:
            break
        count += 1
    return count


def _alerts(*asked: tuple[bool, str]) -> tuple[str, ...]:
    return tuple(name for raised, name in asked if raised)


def _verdict(n: int, alerts: tuple[str, ...]) -> Verdict:
    return "unknown" if n < FEWEST else "alert" if alerts else "fine"
