"""How does a synthetic bar follow from the bars before it?

Sequential rules, one bar after the other, in log prices relative to a symbol's first. Volatility is a GARCH(1,1)
(Bollerslev 1986) times a slow regime (three levels, changing about once in 370 bars); shocks are Student-t with 5
degrees of freedom; a symbol is beta times a common factor plus a shock of its own. The planted edge is *exhaustion*:
the mean of the next bar leans against the moves of the last hours, in units of the bar's volatility, and more so after
high volume. It is fixed by returns and volumes up to the close before, so whoever measures momentum and volume sees
it, and nothing of the future enters. The lengths of swing and trend scale with the timeframe.
"""

# numba infers the types of what it compiles; the two public functions are typed for everybody else.
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
# ruff: noqa: ANN001, ANN202

import numpy as np
from numba import njit

from market.candles import Floats

__all__ = ["DRAWS", "factor_path", "symbol_path"]

DRAWS = 16  # standard normals a bar: 0-5 shock, 6-7 regime, 8-13 inside the bar, 14 volume, 15 funding
_SUB = 6  # steps inside one bar, for its high and low
_EXHAUSTION = 0.14  # drift a bar in deviations, for a stretched market, at edge 1
_ALPHA, _BETA = 0.10, 0.88  # GARCH(1,1): clustered, with a finite variance
_LEVELS = (0.65, 1.0, 1.6)  # calm, normal, wild


def factor_path(draws: Floats, scale: float) -> Floats:
    """``(n, 2)``: log return of the common factor, and its volatility in units of ``scale``.

    ``draws`` ``(n, DRAWS)`` standard normals; ``scale`` the usual log return of one bar.
    """
    out: Floats = _factor(draws, scale, _LEVELS)
    return out


def symbol_path(
    factor: Floats, draws: Floats, *, scale: float, beta: float, wildness: float, edge: float, bars_of_5m: float
) -> Floats:
    """``(n, 7)``: log open, high, low, close; volume, funding rate at the open, open interest.

    1 is usual for volume and open interest. ``wildness`` is the volatility of the symbol's own shock in units of
    ``scale``; ``bars_of_5m`` the length of one bar.
    """
    out: Floats = _symbol(factor, draws, (scale, beta, wildness, edge, bars_of_5m))
    return out


@njit(cache=True)
def _student(draws, row):
    """Student-t with 5 degrees of freedom and unit variance from six normals, cut at 8 deviations."""
    chi = 0.0
    for k in range(1, 6):
        chi += draws[row, k] ** 2
    t = draws[row, 0] / np.sqrt(chi / 5.0) * np.sqrt(3.0 / 5.0)
    return min(max(t, -8.0), 8.0)


@njit(cache=True)
def _garch(variance, shock):
    return min(max(1.0 - _ALPHA - _BETA + variance * (_BETA + _ALPHA * shock * shock), 0.2), 12.0)


@njit(cache=True)
def _factor(draws, scale, levels):
    n = draws.shape[0]
    out = np.empty((n, 2))
    regime = 1
    variance = 1.0
    level = 1.0
    for t in range(n):
        if abs(draws[t, 6]) > 3.0:
            regime = (regime + (1 if draws[t, 7] > 0 else 2)) % 3
        level += 0.02 * (levels[regime] - level)
        shock = _student(draws, t)
        out[t, 1] = level * np.sqrt(variance)
        out[t, 0] = scale * out[t, 1] * shock
        variance = _garch(variance, shock)
    return out


@njit(cache=True)
def _inside(draws, row, move, deviation):
    """Highest and lowest point of a bridge from 0 to ``move``."""
    wander = 0.0
    for k in range(_SUB):
        wander += draws[row, 8 + k]
    at = highest = lowest = 0.0
    for k in range(_SUB):
        at += move / _SUB + deviation * (draws[row, 8 + k] - wander / _SUB) / np.sqrt(_SUB)
        highest = max(highest, at)
        lowest = min(lowest, at)
    return max(highest, move), min(lowest, move)


@njit(cache=True)
def _symbol(factor, draws, character):
    scale, beta, wildness, edge, bars_of_5m = character
    n = draws.shape[0]
    out = np.empty((n, 7))
    fast, slow = min(bars_of_5m / 72.0, 0.5), min(bars_of_5m / 200.0, 0.5)
    variance = heat = usual = 1.0
    close = swing = trend = premium = interest = 0.0
    for t in range(n):
        deviation = scale * np.sqrt((beta * factor[t, 1]) ** 2 + wildness**2 * variance)
        # The edge: fixed before this bar begins, by the moves (swing) and volumes (heat) of the bars before it.
        stretched = np.tanh(swing / np.sqrt(0.5 / fast))
        drift = -edge * deviation * _EXHAUSTION * stretched * min(max(heat, 0.5), 2.0)
        shock = _student(draws, t)
        move = beta * factor[t, 0] + scale * wildness * np.sqrt(variance) * shock + drift
        variance = _garch(variance, shock)
        highest, lowest = _inside(draws, t, move, deviation)
        size = min(abs(move) / deviation, 4.0)
        volume = np.exp(0.35 * draws[t, 14] + 0.45 * size - 0.45) * np.sqrt(deviation / scale)
        out[t, 0] = close
        out[t, 1] = close + highest
        out[t, 2] = close + lowest
        close += move
        out[t, 3] = close
        out[t, 4] = volume
        out[t, 5] = min(max(0.0001 + 0.5 * premium + 0.00002 * draws[t, 15], -0.003), 0.003)
        out[t, 6] = np.exp(interest)
        swing += move / deviation - fast * swing
        trend += move / deviation - slow * trend
        usual += 0.004 * (volume - usual)
        heat += 0.04 * (volume / usual - heat)
        premium += 0.006 * (move - premium)
        interest += 0.01 * (0.3 * np.tanh(trend / 10.0) + 0.3 * (heat - 1.0) - interest)
    return out
