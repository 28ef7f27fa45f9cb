"""How large may a position be, and may it be opened beside those there are? In compiled code."""

from numba import njit

from serving import decision_numbers as to
from serving.guard_kernel import GuardArrays, book_trade

__all__ = ["close_one", "limit", "one_sided", "open_one", "position_size", "regime_share"]


@njit()
def regime_share(rules: to.Rules, regime: int, action: int) -> float:
    """The multiple that a market's regime leaves of a size."""
    if regime in (to.UP, to.DOWN):
        with_trend = (action == to.BUY) == (regime == to.UP)
        return 1.0 if with_trend else rules.counter_trend
    if regime == to.RANGING:
        return rules.ranging
    return rules.wild if regime == to.WILD else rules.unknown


@njit()
def position_size(rules: to.Rules, confidence: float, volatility: float, share: float) -> float:
    """Base size by confidence, calm and regime, at most the cap."""
    calm = 2.0
    if volatility * calm > rules.volatility_target:
        calm = rules.volatility_target / volatility
    return min(rules.size_cap, rules.size_base * confidence * calm * share)


@njit()
def one_sided(rules: to.Rules, state: to.PositionArrays, action: int) -> bool:
    """Whether the recent actions already lean so far to this side that it is blocked; so is what cannot be judged."""
    n = min(state.ring_at[0], state.ring.size)
    same = 0
    for i in range(n):
        if state.ring[i] != to.BUY and state.ring[i] != to.SELL:
            return True
        if state.ring[i] == action:
            same += 1
    if n < rules.supervisor_min or n == 0:
        return False
    return bool(same > rules.supervisor_share * n + to.ROUNDING)


@njit()
def _remember(state: to.PositionArrays, action: int) -> None:
    state.ring[state.ring_at[1]] = action
    state.ring_at[0] += 1
    state.ring_at[1] = (state.ring_at[1] + 1) % state.ring.size


@njit()
def _crowded(rules: to.Rules, state: to.PositionArrays, side: int, correlation: float) -> bool:
    """Whether too many open positions would move with this one, by one common factor: the reference market."""
    alike = 0
    for s in range(state.side.size):
        if state.side[s] != 0 and side * state.side[s] * correlation * state.correlation[s] > rules.correlation_limit:
            alike += 1
    return alike >= rules.max_correlated


@njit()
def limit(
    rules: to.Rules,
    state: to.PositionArrays,
    bar: int,
    s: int,
    action: int,
    facts: to.BarFacts,
    load: tuple[int, float, float],
) -> int:
    """The first rule that forbids this action now, or 0. ``load``: open positions, their sizes' sum, and this size."""
    if load[2] <= 0.0:
        return to.REGIME
    if rules.supervisor_enforced and one_sided(rules, state, action):
        return to.SUPERVISOR
    if state.side[s] != 0:
        return to.POSITION_OPEN
    if bar < state.free_from[s]:
        return to.COOLDOWN
    if load[0] >= rules.max_positions:
        return to.MAX_POSITIONS
    if _crowded(rules, state, 1 if action == to.BUY else -1, facts.correlation[s]):
        return to.CORRELATION
    if load[1] + load[2] > rules.max_exposure + to.ROUNDING:
        return to.MAX_EXPOSURE
    return to.TAKEN


@njit()
def close_one(rules: to.Rules, state: to.PositionArrays, guard: GuardArrays, bar: int, s: int, net: float) -> None:
    """End the position of a symbol at the close of ``bar`` with what it netted, NaN where that is not known."""
    if state.side[s] == 0:
        return
    book_trade(rules.guard, guard, bar, state.size[s] * net, state.said[s] * net)
    state.side[s] = 0
    state.size[s] = 0.0
    state.said[s] = 0.0
    state.correlation[s] = 0.0
    state.until[s] = -1
    state.free_from[s] = bar + 1 + rules.cooldown_bars if rules.cooldown_bars > 0 else 0


@njit()
def open_one(
    rules: to.Rules, state: to.PositionArrays, bar: int, s: int, action: int, size: float, said: float
) -> None:
    """Take a position until the horizon."""
    state.side[s] = 1 if action == to.BUY else -1
    state.size[s] = size
    state.said[s] = said
    state.until[s] = bar + rules.horizon_bars
    _remember(state, action)
