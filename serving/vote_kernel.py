"""What do the models of one bundle agree on? In compiled code.

Comparisons of sums of weights allow for rounding, because .25 + .25 + .10 is not .60 in binary.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from serving import decision_numbers as to

__all__ = ["agreement", "cast_votes", "effective_weights", "finite"]

_F = NDArray[np.float64]
_B = NDArray[np.int8]
_BOOL = NDArray[np.bool_]


@njit()
def effective_weights(rules: to.Rules, weights: _F, healthy: _BOOL) -> _F:
    """Weights over the healthy models ``(M,)``, sum 1; all zero where there is no quorum."""
    used = np.zeros(weights.size)
    total = 0.0
    count = 0
    for m in range(weights.size):
        if healthy[m]:
            total += weights[m]
            count += 1
    if count < rules.min_healthy or not total > 0.0:
        return used
    for m in range(weights.size):
        if healthy[m]:
            used[m] = weights[m] / total
    return used


@njit()
def finite(p: _F, healthy: _BOOL, volatility: float, correlation: float) -> bool:
    """Whether every number the decision will use exists and every probability is one."""
    if not np.isfinite(volatility) or volatility < 0.0 or not abs(correlation) <= 1.0:
        return False
    for m in range(healthy.size):
        if healthy[m]:
            for c in range(3):
                if not (p[m, c] >= 0.0 and p[m, c] <= 1.0):
                    return False
    return True


@njit()
def cast_votes(rules: to.Rules, p: _F, healthy: _BOOL, votes: _B) -> None:
    """Each healthy model votes for the greater side at its threshold, else it holds."""
    for m in range(healthy.size):
        votes[m] = to.EXCLUDED
        if healthy[m]:
            votes[m] = 0
            if p[m, to.BUY] > p[m, to.SELL] and p[m, to.BUY] >= rules.buy:
                votes[m] = to.BUY
            elif p[m, to.SELL] > p[m, to.BUY] and p[m, to.SELL] >= rules.sell:
                votes[m] = to.SELL


@njit()
def _confidence(rules: to.Rules, p: _F, used: _F, votes: _B, action: int) -> float:
    """Weighted mean probability of the action among its voters, raised or cut by how many they are."""
    voters = 0
    healthy = 0
    share = 0.0
    probability = 0.0
    for m in range(votes.size):
        if votes[m] >= 0:
            healthy += 1
        if votes[m] == action:
            voters += 1
            share += used[m]
            probability += used[m] * p[m, action]
    multiplier = rules.split_multiplier
    if voters == healthy:
        multiplier = rules.unanimous_multiplier
    elif voters >= rules.strong_share * healthy - to.ROUNDING:
        multiplier = rules.strong_multiplier
    return min(probability / share * multiplier, rules.confidence_cap)


@njit()
def agreement(rules: to.Rules, p: _F, used: _F, votes: _B) -> tuple[int, float, float, int]:
    """(action, share of weight behind it, confidence, step) of one symbol's votes."""
    shares = np.zeros(3)
    for m in range(votes.size):
        if votes[m] > 0:
            shares[votes[m]] += used[m]
    if shares[to.BUY] == 0.0 and shares[to.SELL] == 0.0:
        return 0, 0.0, np.nan, to.NO_VOTE
    if abs(shares[to.BUY] - shares[to.SELL]) <= to.ROUNDING:
        return 0, shares[to.BUY], np.nan, to.EVEN_SPLIT
    action = to.BUY if shares[to.BUY] > shares[to.SELL] else to.SELL
    share = shares[action]
    if share < rules.consensus_share - to.ROUNDING:
        return action, share, np.nan, to.NO_CONSENSUS
    return action, share, _confidence(rules, p, used, votes, action), to.TAKEN
