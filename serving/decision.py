"""What does Lockstep do with these probabilities, and which rule decided?

One pure function over arrays, run bar by bar by the worker (``decide_bar``) and over a whole history by the backtest
(``decide_history``): both call the same compiled code. The policy is data from the bundle. Rules, in order: eligible,
event, quorum, finite numbers, votes, even split, consensus, volatility, regime, supervisor, one position per symbol,
cool-down, number of positions, correlation, exposure; then, of a position that the book takes: drawdown, the day's
loss, the performance guard. From the regime on symbols come by descending confidence, then by index. ``step`` names the
first rule that kept a symbol back; its counts over the symbols sum to their number.

The book is every position that the rules up to exposure allow, at its full size. ``size`` is what is said of it: all,
the guard's share, or nothing. The book goes on where nothing is said, so the guard can see a recovery.

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
from serving.decision_kernel import decide_bars, decide_one_bar, effective_weights
from serving.decision_numbers import HELD_BY, BarFacts, Decided
from serving.decision_state import DecisionState, new_state, rules_of
from serving.errors import DecisionError
from serving.market_facts import MarketFacts

__all__ = [
    "KEPT_BACK",
    "BarDecisions",
    "HistoryDecisions",
    "Step",
    "decide_bar",
    "decide_history",
    "funnel",
    "used_weights",
]

Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]


class Step(IntEnum):
    """The first rule that kept a symbol back; TAKEN where an action is said."""

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
    REGIME = 13
    COOLDOWN = 14
    CORRELATION = 15
    GUARD_PAUSED = 16
    GUARD_REDUCED = 17
    DAILY_LOSS = 18
    DRAWDOWN = 19


if tuple(Step.__members__) != HELD_BY:  # a build error, seen at import
    raise ImportError("serving.decision.Step and serving.decision_numbers.HELD_BY name different steps")

KEPT_BACK = frozenset({Step.GUARD_PAUSED, Step.GUARD_REDUCED, Step.DAILY_LOSS, Step.DRAWDOWN})
"""Steps at which the book takes a position and nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarDecisions:
    """One bar, all symbols: arrays ``(S,)``; ``votes`` ``(S, M) int8`` with -1 for an excluded model or symbol.

    ``action`` is the book's ``Action``; ``confidence`` NaN where no side reached consensus; ``book_size`` 0.0 without
    an action, ``size`` what is said of it; ``one_sided`` where the supervisor objects, also where it only observes;
    ``share`` the share of healthy weight behind the leading side; ``step`` a ``Step``.
    """

    action: Codes
    confidence: Floats
    size: Floats
    book_size: Floats
    one_sided: Flags
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
    book_size: Floats
    one_sided: Flags
    votes: Codes
    share: Floats
    step: NDArray[np.int16]
    state: DecisionState


def used_weights(policy: DecisionPolicy, weights: Floats, healthy: Flags) -> Floats:
    """Effective weights ``(M,)``: renormalised over the healthy models, 0 for the excluded, all 0 without quorum."""
    used: Floats = effective_weights(rules_of(policy), np.ascontiguousarray(weights, dtype=np.float64), healthy)
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
    facts: MarketFacts,
    event: Flags | None = None,
) -> BarDecisions:
    """Decide one bar for all symbols and remember what was done.

    ``probabilities`` ``(S, M, 3)`` in the order of ``Action``, ``weights`` and ``healthy`` ``(M,)``, ``eligible`` and
    the ``facts`` ``(S,)``; ``event`` ``(S,)`` says where the bundle's event rule decides (None: everywhere). Raises
    ``DecisionError`` for shapes that do not fit. ``state`` is changed: positions whose time is over are closed first,
    actions taken stay open until ``bar_index + horizon_bars``.
    """
    n_symbols, n_models = eligible.size, weights.size
    _require(
        {
            "probabilities": (probabilities.shape, (n_symbols, n_models, 3)),
            "healthy": (healthy.shape, (n_models,)),
            **_facts_shapes(facts, (n_symbols,)),
            "state": (state.side.shape, (n_symbols,)),
            "supervisor ring": (state.ring.shape, (policy.supervisor_window,)),
            "guard ring": (state.gains.shape, (policy.guard.window,)),
        }
    )
    asked = eligible if event is None else eligible & event
    rules = rules_of(policy)
    flags = np.ascontiguousarray(healthy, dtype=np.bool_)
    out = _empty((n_symbols,), n_models)
    decide_one_bar(
        rules,
        effective_weights(rules, np.ascontiguousarray(weights, dtype=np.float64), flags),
        state.positions(),
        state.record(),
        bar_index,
        np.ascontiguousarray(probabilities, dtype=np.float64),
        flags,
        _bar_facts(asked, facts),
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
    facts: MarketFacts,
    exit_index: Ints,
    net: Floats,
) -> HistoryDecisions:
    """Decide ``T`` consecutive bars from ``first_index`` with every model healthy, starting flat.

    ``probabilities`` ``(T, S, M, 3)``; ``eligible`` and the ``facts`` ``(T, S)``; ``exit_index`` ``(T, S, 2)`` the
    absolute index of the bar at whose close a long (column 0) or short (1) decided here ends, -1 where unknown:
    such a position lasts the full horizon. ``net`` ``(T, S, 2)`` is what it nets, a fraction of its notional; it is
    looked at when the position is over, never before. Equal, value by value, to ``decide_bar`` called bar by bar with
    ``close_position`` before each bar for the positions whose exit bar has come, by symbol.
    """
    n_bars, n_symbols = eligible.shape
    n_models = weights.size
    _require(
        {
            "probabilities": (probabilities.shape, (n_bars, n_symbols, n_models, 3)),
            **_facts_shapes(facts, (n_bars, n_symbols)),
            "exit_index": (exit_index.shape, (n_bars, n_symbols, 2)),
            "net": (net.shape, (n_bars, n_symbols, 2)),
        }
    )
    state = new_state(n_symbols, policy)
    out = _empty((n_bars, n_symbols), n_models)
    decide_bars(
        rules_of(policy),
        np.ascontiguousarray(weights, dtype=np.float64),
        state.positions(),
        state.record(),
        first_index,
        np.ascontiguousarray(probabilities, dtype=np.float64),
        _bar_facts(eligible, facts),
        np.ascontiguousarray(exit_index, dtype=np.int64),
        np.ascontiguousarray(net, dtype=np.float64),
        out,
    )
    return HistoryDecisions(first_index=first_index, state=state, **out._asdict())


def _empty(shape: tuple[int, ...], n_models: int) -> Decided:
    return Decided(
        action=np.zeros(shape, dtype=np.int8),
        confidence=np.full(shape, np.nan),
        size=np.zeros(shape),
        book_size=np.zeros(shape),
        one_sided=np.zeros(shape, dtype=np.bool_),
        votes=np.full((*shape, n_models), -1, dtype=np.int8),
        share=np.zeros(shape),
        step=np.zeros(shape, dtype=np.int16),
    )


def _bar_facts(eligible: Flags, facts: MarketFacts) -> BarFacts:
    return BarFacts(
        eligible=np.ascontiguousarray(eligible, dtype=np.bool_),
        volatility=np.ascontiguousarray(facts.volatility, dtype=np.float64),
        regime=np.ascontiguousarray(facts.regime, dtype=np.int8),
        correlation=np.ascontiguousarray(facts.correlation, dtype=np.float64),
    )


def _facts_shapes(facts: MarketFacts, wanted: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    names = ("volatility", "regime", "correlation")
    return {name: (getattr(facts, name).shape, wanted) for name in names}


def _require(shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    for name, (found, wanted) in shapes.items():
        if found != wanted:
            raise DecisionError(
                f"{name} has shape {found}, not {wanted}",
                why="the decision would read one symbol's or model's numbers as another's",
                remedy="pass arrays by symbol and model in the order of the bundle",
            )
