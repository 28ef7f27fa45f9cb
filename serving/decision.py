"""What does Lockstep do with these probabilities, and which rule decided?

One pure function over arrays, run bar by bar by the worker (``decide_bar``) and over a whole history by the backtest
(``decide_history``): both call the same compiled code. The policy is data from the bundle. Rules, in order: eligible,
event, quorum, finite numbers, votes, even split, consensus, volatility, supervisor, one position per symbol, number of
positions, exposure. The last four see symbols by descending confidence, then by index. ``step`` names the first rule
that made a symbol HOLD; its counts over the symbols sum to their number.

The supervisor looks at the last ``supervisor_window`` actions *taken*, over all symbols, including those taken
earlier in the same bar: a blocked side opens again as soon as the other side's actions push its share down.

A position taken at bar t holds until the close of bar ``t + horizon_bars`` unless it is closed earlier: by
``close_position`` in serving, by ``exit_index`` in a history. A bar sees the positions that are still open after the
exits at its own close.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from registry.policy import DecisionPolicy
from serving.decision_kernel import (
    HELD_BY,
    Decided,
    PositionArrays,
    Rules,
    decide_bars,
    decide_one_bar,
    effective_weights,
)
from serving.errors import DecisionError

__all__ = [
    "BarDecisions",
    "DecisionState",
    "HistoryDecisions",
    "Step",
    "close_position",
    "decide_bar",
    "decide_history",
    "funnel",
    "new_state",
    "used_weights",
]

Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]


class Step(IntEnum):
    """The first rule that made a symbol HOLD; TAKEN where there is an action."""

    TAKEN = 0
    NOT_ELIGIBLE = 1
    NO_QUORUM = 2
    NOT_FINITE = 3
    NO_VOTE = 4
    EVEN_SPLIT = 5
    NO_CONSENSUS = 6
    VOLATILITY = 7
    SUPERVISOR = 8
    POSITION_OPEN = 9
    MAX_POSITIONS = 10
    MAX_EXPOSURE = 11
    NO_EVENT = 12


if tuple(Step.__members__) != HELD_BY:  # a build error, seen at import
    raise ImportError("serving.decision.Step and serving.decision_kernel.HELD_BY name different steps")


@dataclass(slots=True, kw_only=True, eq=False)
class DecisionState:
    """What one bundle's decision remembers; arrays ``(S,)`` by symbol, changed in place by ``decide_bar``.

    ``open_until`` is the absolute index of the bar at whose close the position is over (-1 flat), ``side`` +1, -1
    or 0, ``size`` a fraction of equity. ``ring`` ``(supervisor_window,) int8`` holds recent actions, ``ring_at``
    ``(2,) int64`` how many it has seen and where the next one goes.
    """

    open_until: Ints
    side: Codes
    size: Floats
    ring: Codes
    ring_at: Ints

    def open_position(self, symbol: int, *, side: int, size: float, until_index: int) -> None:
        """Put back a position that an earlier process opened."""
        self.side[symbol] = side
        self.size[symbol] = size
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarDecisions:
    """One bar, all symbols: arrays ``(S,)``; ``votes`` ``(S, M) int8`` with -1 for an excluded model or symbol.

    ``action`` is an ``Action``; ``confidence`` NaN where no side reached consensus; ``size`` 0.0 without an action;
    ``share`` the share of healthy weight behind the leading side; ``step`` a ``Step``.
    """

    action: Codes
    confidence: Floats
    size: Floats
    votes: Codes
    share: Floats
    step: NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HistoryDecisions:
    """``BarDecisions`` of ``T`` bars: arrays ``(T, S)``, ``votes`` ``(T, S, M)``, and the state after the last."""

    first_index: int
    action: Codes
    confidence: Floats
    size: Floats
    votes: Codes
    share: Floats
    step: NDArray[np.int16]
    state: DecisionState


def new_state(n_symbols: int, policy: DecisionPolicy) -> DecisionState:
    """No position, no memory."""
    return DecisionState(
        open_until=np.full(n_symbols, -1, dtype=np.int64),
        side=np.zeros(n_symbols, dtype=np.int8),
        size=np.zeros(n_symbols),
        ring=np.zeros(policy.supervisor_window, dtype=np.int8),
        ring_at=np.zeros(2, dtype=np.int64),
    )


def close_position(state: DecisionState, symbol: int) -> None:
    """The position of the symbol in this row is over; closing a flat one changes nothing."""
    state.side[symbol] = 0
    state.size[symbol] = 0.0
    state.open_until[symbol] = -1


def used_weights(policy: DecisionPolicy, weights: Floats, healthy: Flags) -> Floats:
    """Effective weights ``(M,)``: renormalised over the healthy models, 0 for the excluded, all 0 without quorum."""
    used: Floats = effective_weights(_rules(policy), np.ascontiguousarray(weights, dtype=np.float64), healthy)
    return used


def funnel(step: NDArray[np.int16]) -> dict[str, int]:
    """How many symbols each step kept, by name, largest step code last; the counts sum to ``step.size``."""
    counts = np.bincount(step.ravel(), minlength=len(Step))
    return {name: int(counts[code]) for name, code in Step.__members__.items() if counts[code]}


def decide_bar(
    policy: DecisionPolicy,
    weights: Floats,
    state: DecisionState,
    *,
    bar_index: int,
    probabilities: Floats,
    healthy: Flags,
    eligible: Flags,
    volatility: Floats,
    event: Flags | None = None,
) -> BarDecisions:
    """Decide one bar for all symbols and remember what was done.

    ``probabilities`` ``(S, M, 3)`` in the order of ``Action``, ``weights`` and ``healthy`` ``(M,)``, ``eligible`` and
    ``volatility`` (daily, fraction) ``(S,)``; ``event`` ``(S,)`` says where the bundle's event rule decides (None:
    everywhere). Raises ``DecisionError`` for shapes that do not fit. ``state`` is changed: positions whose time is over
    are closed first, actions taken stay open until ``bar_index + horizon_bars``.
    """
    n_symbols, n_models = eligible.size, weights.size
    _require(
        {
            "probabilities": (probabilities.shape, (n_symbols, n_models, 3)),
            "healthy": (healthy.shape, (n_models,)),
            "volatility": (volatility.shape, (n_symbols,)),
            "state": (state.side.shape, (n_symbols,)),
            "supervisor ring": (state.ring.shape, (policy.supervisor_window,)),
        }
    )
    asked = eligible if event is None else eligible & event
    rules = _rules(policy)
    flags = np.ascontiguousarray(healthy, dtype=np.bool_)
    out = _empty((n_symbols,), n_models)
    decide_one_bar(
        rules,
        effective_weights(rules, np.ascontiguousarray(weights, dtype=np.float64), flags),
        _arrays(state),
        bar_index,
        np.ascontiguousarray(probabilities, dtype=np.float64),
        flags,
        np.ascontiguousarray(asked, dtype=np.bool_),
        np.ascontiguousarray(volatility, dtype=np.float64),
        out,
    )
    out.step[eligible & ~asked] = Step.NO_EVENT
    return BarDecisions(**out._asdict())


def decide_history(
    policy: DecisionPolicy,
    weights: Floats,
    *,
    first_index: int,
    probabilities: Floats,
    eligible: Flags,
    volatility: Floats,
    exit_index: Ints,
) -> HistoryDecisions:
    """Decide ``T`` consecutive bars from ``first_index`` with every model healthy, starting flat.

    ``probabilities`` ``(T, S, M, 3)``; ``eligible`` and ``volatility`` ``(T, S)``; ``exit_index`` ``(T, S, 2)`` the
    absolute index of the bar at whose close a long (column 0) or short (1) decided here ends, -1 where unknown:
    such a position lasts the full horizon. Equal, value by value, to ``decide_bar`` called bar by bar with
    ``close_position`` before each bar for the positions whose exit bar has come.
    """
    n_bars, n_symbols = eligible.shape
    n_models = weights.size
    _require(
        {
            "probabilities": (probabilities.shape, (n_bars, n_symbols, n_models, 3)),
            "volatility": (volatility.shape, (n_bars, n_symbols)),
            "exit_index": (exit_index.shape, (n_bars, n_symbols, 2)),
        }
    )
    state = new_state(n_symbols, policy)
    out = _empty((n_bars, n_symbols), n_models)
    decide_bars(
        _rules(policy),
        np.ascontiguousarray(weights, dtype=np.float64),
        _arrays(state),
        first_index,
        np.ascontiguousarray(probabilities, dtype=np.float64),
        np.ascontiguousarray(eligible, dtype=np.bool_),
        np.ascontiguousarray(volatility, dtype=np.float64),
        np.ascontiguousarray(exit_index, dtype=np.int64),
        out,
    )
    return HistoryDecisions(first_index=first_index, state=state, **out._asdict())


def _empty(shape: tuple[int, ...], n_models: int) -> Decided:
    return Decided(
        action=np.zeros(shape, dtype=np.int8),
        confidence=np.full(shape, np.nan),
        size=np.zeros(shape),
        votes=np.full((*shape, n_models), -1, dtype=np.int8),
        share=np.zeros(shape),
        step=np.zeros(shape, dtype=np.int16),
    )


def _arrays(state: DecisionState) -> PositionArrays:
    return PositionArrays(
        until=state.open_until, side=state.side, size=state.size, ring=state.ring, ring_at=state.ring_at
    )


def _rules(policy: DecisionPolicy) -> Rules:
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
    )


def _require(shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    for name, (found, wanted) in shapes.items():
        if found != wanted:
            raise DecisionError(
                f"{name} has shape {found}, not {wanted}",
                why="the decision would read one symbol's or model's numbers as another's",
                remedy="pass arrays by symbol and model in the order of the bundle",
            )
