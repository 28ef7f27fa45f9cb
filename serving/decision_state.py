"""What does one bundle's decision remember from bar to bar?

Open positions of its book, recent actions, and the record of closed trades. Changed in place by ``serving.decision``;
rebuilt from PostgreSQL by ``serving.recall`` after a restart, value for value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from registry.policy import DecisionPolicy
from serving.decision_kernel import book_trades, close_trade
from serving.decision_numbers import PositionArrays, Rules
from serving.guard_kernel import (
    DAY,
    DAY_BEGAN,
    GUARD_LEVELS,
    KILLED,
    LEVEL,
    SAID,
    SAID_PEAK,
    GuardArrays,
    GuardNumbers,
    has_lost,
)
from serving.states import OK

__all__ = [
    "DecisionState",
    "close_position",
    "guard_cause",
    "guard_level",
    "new_state",
    "recall_trades",
    "resume",
    "rules_of",
]

Codes = NDArray[np.int8]


@dataclass(slots=True, kw_only=True, eq=False)
class DecisionState:
    """Arrays ``(S,)`` by symbol, and two rings.

    ``open_until`` is the absolute index of the bar at whose close the position is over (-1 flat), ``side`` +1, -1
    or 0, ``size`` the book's and ``said`` what was said of it, fractions of equity; ``correlation`` with the reference
    as the position was opened; ``free_from`` the first bar after a cool-down. ``ring`` ``(supervisor_window,) int8``
    holds recent actions, ``ring_at`` ``(2,) int64`` how many it has seen and where the next one goes. ``gains``,
    ``counts`` and ``money`` are the record of closed trades (``guard_kernel.GuardArrays``).
    """

    open_until: Ints
    side: Codes
    size: Floats
    said: Floats
    correlation: Floats
    free_from: Ints
    ring: Codes
    ring_at: Ints
    gains: Codes
    counts: Ints
    money: Floats

    def open_position(
        self, symbol: int, *, side: int, size: float, said: float, correlation: float, until_index: int
    ) -> None:
        """Put back a position that an earlier process opened."""
        self.side[symbol] = side
        self.size[symbol] = size
        self.said[symbol] = said
        self.correlation[symbol] = correlation
        self.open_until[symbol] = until_index

    def remember(self, actions: Codes) -> None:
        """Put back earlier actions ``(k,)``, oldest first; HOLD is never remembered."""
        for action in actions[actions != 0][-self.ring.size :]:
            self.ring[self.ring_at[1]] = action
            self.ring_at[0] += 1
            self.ring_at[1] = (self.ring_at[1] + 1) % self.ring.size

    def recent(self) -> Codes:
        """The remembered actions, oldest first."""
        seen, at = int(self.ring_at[0]), int(self.ring_at[1])
        return self.ring[:seen].copy() if seen < self.ring.size else np.concatenate((self.ring[at:], self.ring[:at]))

    def positions(self) -> PositionArrays:
        """The positions as the compiled code takes them."""
        return PositionArrays(
            until=self.open_until,
            side=self.side,
            size=self.size,
            said=self.said,
            correlation=self.correlation,
            free_from=self.free_from,
            ring=self.ring,
            ring_at=self.ring_at,
        )

    def record(self) -> GuardArrays:
        """The record of closed trades as the compiled code takes it."""
        return GuardArrays(gains=self.gains, counts=self.counts, money=self.money)


def new_state(n_symbols: int, policy: DecisionPolicy) -> DecisionState:
    """No position, no memory, no record."""
    counts = np.zeros(6, dtype=np.int64)
    counts[DAY] = -1
    return DecisionState(
        open_until=np.full(n_symbols, -1, dtype=np.int64),
        side=np.zeros(n_symbols, dtype=np.int8),
        size=np.zeros(n_symbols),
        said=np.zeros(n_symbols),
        correlation=np.zeros(n_symbols),
        free_from=np.zeros(n_symbols, dtype=np.int64),
        ring=np.zeros(policy.supervisor_window, dtype=np.int8),
        ring_at=np.zeros(2, dtype=np.int64),
        gains=np.zeros(policy.guard.window, dtype=np.int8),
        counts=counts,
        money=np.ones(5),
    )


def close_position(policy: DecisionPolicy, state: DecisionState, symbol: int, *, bar_index: int, net: float) -> None:
    """The position of the symbol in this row is over; ``net`` is NaN where nobody knows it. A flat one stays flat."""
    close_trade(rules_of(policy), state.positions(), state.record(), bar_index, symbol, float(net))


def recall_trades(policy: DecisionPolicy, state: DecisionState, *, bars: Ints, book: Floats, said: Floats) -> None:
    """Take earlier closed trades ``(k,)`` into the record, in the order they ended; sizes times net."""
    book_trades(rules_of(policy), state.record(), bars, book, said)


def guard_cause(policy: DecisionPolicy, state: DecisionState) -> str:
    """What the record of closed trades forbids to say now, as a name of the fail-closed table; ``ok`` if nothing."""
    if state.counts[KILLED]:
        return "drawdown"
    if has_lost(state.money[SAID], state.money[DAY_BEGAN], policy.daily_loss_limit):
        return "daily_loss"
    return "guard_paused" if guard_level(state) == "PAUSED" else OK


def guard_level(state: DecisionState) -> str:
    """NORMAL, REDUCED or PAUSED."""
    return GUARD_LEVELS[int(state.counts[LEVEL])]


def resume(state: DecisionState) -> None:
    """A person resumed: the drawdown of what is said is counted from here."""
    state.counts[KILLED] = 0
    state.money[SAID_PEAK] = state.money[SAID]


def rules_of(policy: DecisionPolicy) -> Rules:
    """The policy's numbers in the types the compiled code expects."""
    buy, sell = policy.thresholds
    return Rules(
        buy=float(buy),
        sell=float(sell),
        consensus_share=float(policy.consensus_share),
        strong_share=float(policy.strong_share),
        unanimous_multiplier=float(policy.unanimous_multiplier),
        strong_multiplier=float(policy.strong_multiplier),
        split_multiplier=float(policy.split_multiplier),
        confidence_cap=float(policy.confidence_cap),
        min_healthy=policy.min_healthy,
        volatility_limit=float(policy.volatility_limit),
        volatility_confidence=float(policy.volatility_confidence),
        supervisor_window=policy.supervisor_window,
        supervisor_min=policy.supervisor_min,
        supervisor_share=float(policy.supervisor_share),
        max_positions=policy.max_positions,
        max_exposure=float(policy.max_exposure),
        size_base=float(policy.size_base),
        size_cap=float(policy.size_cap),
        volatility_target=float(policy.volatility_target),
        horizon_bars=policy.horizon_bars,
        supervisor_enforced=policy.supervisor_mode == "enforced",
        max_correlated=policy.max_correlated,
        correlation_limit=float(policy.correlation_limit),
        cooldown_bars=policy.cooldown_bars,
        ranging=float(policy.regime.ranging),
        wild=float(policy.regime.wild),
        unknown=float(policy.regime.unknown),
        counter_trend=float(policy.regime.counter_trend),
        guard=_guard_numbers(policy),
    )


def _guard_numbers(policy: DecisionPolicy) -> GuardNumbers:
    guard = policy.guard
    return GuardNumbers(
        min_trades=guard.min_trades,
        normal_hit_rate=float(guard.normal_hit_rate),
        reduced_hit_rate=float(guard.reduced_hit_rate),
        reduced_streak=guard.reduced_streak,
        reduced_drawdown=float(guard.reduced_drawdown),
        reduced_size=float(guard.reduced_size),
        reduced_threshold=float(guard.reduced_threshold),
        paused_hit_rate=float(guard.paused_hit_rate),
        paused_streak=guard.paused_streak,
        paused_drawdown=float(guard.paused_drawdown),
        daily_loss_limit=float(policy.daily_loss_limit),
        drawdown_limit=float(policy.drawdown_limit),
        bars_per_day=policy.bars_per_day,
    )
