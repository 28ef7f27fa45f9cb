"""In which types do rules, memory, facts and answers enter the compiled decision, and what do its codes mean?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.guard_kernel import GuardNumbers

__all__ = [
    "BUY",
    "EXCLUDED",
    "HELD_BY",
    "REGIMES",
    "ROUNDING",
    "SELL",
    "BarFacts",
    "Decided",
    "PositionArrays",
    "Rules",
]

_F = NDArray[np.float64]
_I = NDArray[np.int64]
_B = NDArray[np.int8]
_BOOL = NDArray[np.bool_]

ROUNDING = 1e-12
BUY, SELL = 1, 2
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
    "REGIME",
    "COOLDOWN",
    "CORRELATION",
    "GUARD_PAUSED",
    "GUARD_REDUCED",
    "DAILY_LOSS",
    "DRAWDOWN",
)
REGIMES = ("UNKNOWN", "RANGING", "UP", "DOWN", "WILD")
UNKNOWN, RANGING, UP, DOWN, WILD = 0, 1, 2, 3, 4
TAKEN, NOT_ELIGIBLE, NO_QUORUM, NOT_FINITE, NO_VOTE, EVEN_SPLIT = 0, 1, 2, 3, 4, 5
NO_CONSENSUS, VOLATILITY, SUPERVISOR, POSITION_OPEN, MAX_POSITIONS, MAX_EXPOSURE = 6, 7, 8, 9, 10, 11
REGIME, COOLDOWN, CORRELATION, KEPT_BACK = 13, 14, 15, 15  # kept back for reason k of said_share: 15 + k


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
    supervisor_enforced: bool
    max_correlated: int
    correlation_limit: float
    cooldown_bars: int
    ranging: float
    wild: float
    unknown: float
    counter_trend: float
    guard: GuardNumbers


class PositionArrays(NamedTuple):
    """What the decision remembers: open positions per symbol ``(S,)`` and the ring of recent actions ``(window,)``.

    ``side`` is +1, -1 or 0 (flat); ``until`` the bar at whose close the position is over; ``size`` is the book's,
    ``said`` what was said of it; ``correlation`` the market's with the reference when it was opened; ``free_from`` the
    first bar after the cool-down. ``ring_at`` ``(2,)`` holds how many actions the ring has seen and where the next one
    goes.
    """

    until: _I
    side: _B
    size: _F
    said: _F
    correlation: _F
    free_from: _I
    ring: _B
    ring_at: _I


class BarFacts(NamedTuple):
    """What is known of each market at one bar, ``(S,)`` each, or ``(T, S)`` of a history.

    ``correlation`` is that with the reference market, -1..1; ``regime`` counts into ``REGIMES``.
    """

    eligible: _BOOL
    volatility: _F
    regime: _B
    correlation: _F


class Decided(NamedTuple):
    """Where one bar's result is written: ``votes (S, M)``, the others ``(S,)``.

    ``size`` is what is said, ``book_size`` what the book takes; ``one_sided`` where the supervisor objects.
    """

    action: _B
    confidence: _F
    size: _F
    book_size: _F
    one_sided: _BOOL
    votes: _B
    share: _F
    step: NDArray[np.int16]
