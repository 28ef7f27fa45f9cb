"""How does one bar of model probabilities become actions, in compiled code?

The one implementation of the decision: serving calls it for one bar, the backtest loops it over a history, so
the two cannot differ. Rules come as numbers (``Rules``), state as arrays that are changed in place. Every symbol
leaves with exactly one ``step`` code: 0 where an action was taken, else the first rule that made it a HOLD.
Comparisons of sums of weights and sizes allow for rounding (1e-12), because .25 + .25 + .10 is not .60 in binary.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["HELD_BY", "Decided", "PositionArrays", "Rules", "decide_bars", "decide_one_bar", "effective_weights"]

_F = NDArray[np.float64]
_I = NDArray[np.int64]
_B = NDArray[np.int8]
_BOOL = NDArray[np.bool_]

_ROUNDING = 1e-12
_BUY, _SELL = 1, 2
EXCLUDED = -1

# Codes written to ``step``; their meaning is told by serving.decision.Step, which is built from this table.
HELD_BY = (
    "TAKEN",
    "NOT_ELIGIBLE",
    "NO_QUORUM",
    "NOT_FINITE",
    "NO_VOTE",
    "EVEN_SPLIT",
    "NO_CONSENSUS",
    "VOLATILITY",
    "SUPERVISOR",
    "POSITION_OPEN",
    "MAX_POSITIONS",
    "MAX_EXPOSURE",
    "NO_EVENT",
)
_TAKEN, _NOT_ELIGIBLE, _NO_QUORUM, _NOT_FINITE, _NO_VOTE, _EVEN_SPLIT = 0, 1, 2, 3, 4, 5
_NO_CONSENSUS, _VOLATILITY, _SUPERVISOR, _POSITION_OPEN, _MAX_POSITIONS, _MAX_EXPOSURE = 6, 7, 8, 9, 10, 11


class Rules(NamedTuple):
    """The numbers of a decision policy, in the types the compiled code expects."""

    buy: float
    sell: float
    consensus_share: float
    strong_share: float
    unanimous_multiplier: float
    strong_multiplier: float
    split_multiplier: float
    confidence_cap: float
    min_healthy: int
    volatility_limit: float
    volatility_confidence: float
    supervisor_window: int
    supervisor_min: int
    supervisor_share: float
    max_positions: int
    max_exposure: float
    size_base: float
    size_cap: float
    volatility_target: float
    horizon_bars: int


class PositionArrays(NamedTuple):
    """What the decision remembers: open positions per symbol ``(S,)`` and the ring of recent actions ``(window,)``.

    ``side`` is +1, -1 or 0 (flat); ``until`` the bar at whose close the position is over; ``ring_at`` ``(2,)`` holds
    how many actions the ring has seen and where the next one goes.
    """

    until: _I
    side: _B
    size: _F
    ring: _B
    ring_at: _I


class Decided(NamedTuple):
    """Where one bar's result is written: ``votes (S, M)``, the others ``(S,)``."""

    action: _B
    confidence: _F
    size: _F
    votes: _B
    share: _F
    step: NDArray[np.int16]


@njit(cache=True)
def effective_weights(rules: Rules, weights: _F, healthy: _BOOL) -> _F:
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


@njit(cache=True)
def _finite(p: _F, healthy: _BOOL, volatility: float) -> bool:
    """Whether every number the decision will use exists and every probability is one."""
    if not np.isfinite(volatility) or volatility < 0.0:
        return False
    for m in range(healthy.size):
        if healthy[m]:
            for c in range(3):
                if not (p[m, c] >= 0.0 and p[m, c] <= 1.0):
                    return False
    return True


@njit(cache=True)
def _cast_votes(rules: Rules, p: _F, healthy: _BOOL, votes: _B) -> None:
    for m in range(healthy.size):
        votes[m] = EXCLUDED
        if healthy[m]:
            votes[m] = 0
            if p[m, _BUY] > p[m, _SELL] and p[m, _BUY] >= rules.buy:
                votes[m] = _BUY
            elif p[m, _SELL] > p[m, _BUY] and p[m, _SELL] >= rules.sell:
                votes[m] = _SELL


@njit(cache=True)
def _confidence(rules: Rules, p: _F, used: _F, votes: _B, action: int) -> float:
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
    elif voters >= rules.strong_share * healthy - _ROUNDING:
        multiplier = rules.strong_multiplier
    return min(probability / share * multiplier, rules.confidence_cap)


@njit(cache=True)
def _agreement(rules: Rules, p: _F, used: _F, votes: _B) -> tuple[int, float, float, int]:
    """(action, share of weight behind it, confidence, step) of one symbol's votes."""
    shares = np.zeros(3)
    for m in range(votes.size):
        if votes[m] > 0:
            shares[votes[m]] += used[m]
    if shares[_BUY] == 0.0 and shares[_SELL] == 0.0:
        return 0, 0.0, np.nan, _NO_VOTE
    if abs(shares[_BUY] - shares[_SELL]) <= _ROUNDING:
        return 0, shares[_BUY], np.nan, _EVEN_SPLIT
    action = _BUY if shares[_BUY] > shares[_SELL] else _SELL
    share = shares[action]
    if share < rules.consensus_share - _ROUNDING:
        return action, share, np.nan, _NO_CONSENSUS
    return action, share, _confidence(rules, p, used, votes, action), _TAKEN


@njit(cache=True)
def _position_size(rules: Rules, confidence: float, volatility: float) -> float:
    calm = 2.0
    if volatility * calm > rules.volatility_target:
        calm = rules.volatility_target / volatility
    return min(rules.size_cap, rules.size_base * confidence * calm)


@njit(cache=True)
def _one_sided(rules: Rules, state: PositionArrays, action: int) -> bool:
    """Whether the recent actions already lean so far to this side that it is blocked."""
    n = min(state.ring_at[0], state.ring.size)
    if n < rules.supervisor_min or n == 0:
        return False
    same = 0
    for i in range(n):
        if state.ring[i] == action:
            same += 1
    return bool(same > rules.supervisor_share * n + _ROUNDING)


@njit(cache=True)
def _remember(state: PositionArrays, action: int) -> None:
    state.ring[state.ring_at[1]] = action
    state.ring_at[0] += 1
    state.ring_at[1] = (state.ring_at[1] + 1) % state.ring.size


@njit(cache=True)
def _limit(rules: Rules, state: PositionArrays, s: int, action: int, load: tuple[int, float], size: float) -> int:
    """The first rule that forbids this action now, or 0. ``load`` = (open positions, their sizes' sum)."""
    if _one_sided(rules, state, action):
        return _SUPERVISOR
    if state.side[s] != 0:
        return _POSITION_OPEN
    if load[0] >= rules.max_positions:
        return _MAX_POSITIONS
    if load[1] + size > rules.max_exposure + _ROUNDING:
        return _MAX_EXPOSURE
    return _TAKEN


@njit(cache=True)
def _propose(
    rules: Rules, used: _F, p: _F, healthy: _BOOL, eligible: _BOOL, volatility: _F, out: Decided, order: _I
) -> int:
    """Vote per symbol; the candidates' rows go into ``order``, most confident first, ties by index."""
    quorum = used.sum() > 0.0
    n = 0
    for s in range(eligible.size):
        out.action[s] = 0
        out.confidence[s] = np.nan
        out.size[s] = 0.0
        out.share[s] = 0.0
        out.votes[s, :] = EXCLUDED
        if not eligible[s]:
            out.step[s] = _NOT_ELIGIBLE
        elif not quorum:
            out.step[s] = _NO_QUORUM
        elif not _finite(p[s], healthy, volatility[s]):
            out.step[s] = _NOT_FINITE
        else:
            _cast_votes(rules, p[s], healthy, out.votes[s])
            action, share, confidence, step = _agreement(rules, p[s], used, out.votes[s])
            out.share[s] = share
            out.confidence[s] = confidence
            if step == _TAKEN and volatility[s] > rules.volatility_limit and confidence <= rules.volatility_confidence:
                step = _VOLATILITY
            out.step[s] = step
            if step == _TAKEN:
                out.action[s] = action
                at = n
                while at > 0 and out.confidence[order[at - 1]] < confidence:
                    order[at] = order[at - 1]
                    at -= 1
                order[at] = s
                n += 1
    return n


@njit(cache=True)
def decide_one_bar(
    rules: Rules,
    used: _F,
    state: PositionArrays,
    bar: int,
    p: _F,
    healthy: _BOOL,
    eligible: _BOOL,
    volatility: _F,
    out: Decided,
) -> None:
    """Decide all symbols of one bar; ``used (M,)`` are the effective weights, ``p (S, M, 3)``."""
    count = 0
    exposure = 0.0
    for s in range(eligible.size):
        if state.side[s] != 0 and state.until[s] <= bar:
            state.side[s] = 0
            state.size[s] = 0.0
            state.until[s] = -1
        if state.side[s] != 0:
            count += 1
            exposure += state.size[s]
    order = np.empty(eligible.size, dtype=np.int64)
    for k in range(_propose(rules, used, p, healthy, eligible, volatility, out, order)):
        s = order[k]
        action = out.action[s]
        size = _position_size(rules, out.confidence[s], volatility[s])
        step = _limit(rules, state, s, action, (count, exposure), size)
        out.step[s] = step
        if step != _TAKEN:
            out.action[s] = 0
            continue
        out.size[s] = size
        state.side[s] = 1 if action == _BUY else -1
        state.size[s] = size
        state.until[s] = bar + rules.horizon_bars
        count += 1
        exposure += size
        _remember(state, action)


@njit(cache=True)
def decide_bars(
    rules: Rules,
    weights: _F,
    state: PositionArrays,
    first_index: int,
    p: _F,
    eligible: _BOOL,
    volatility: _F,
    exit_index: _I,
    out: Decided,
) -> None:
    """Decide ``T`` consecutive bars, all models healthy; ``p (T, S, M, 3)``, ``exit_index (T, S, 2)``."""
    healthy = np.ones(weights.size, dtype=np.bool_)
    used = effective_weights(rules, weights, healthy)
    for t in range(eligible.shape[0]):
        row = Decided(out.action[t], out.confidence[t], out.size[t], out.votes[t], out.share[t], out.step[t])
        decide_one_bar(rules, used, state, first_index + t, p[t], healthy, eligible[t], volatility[t], row)
        for s in range(eligible.shape[1]):
            if out.action[t, s] != 0:
                known = exit_index[t, s, out.action[t, s] - 1]
                if known >= 0:
                    state.until[s] = known
