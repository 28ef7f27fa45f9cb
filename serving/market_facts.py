"""What does the decision read of a market beside the models' probabilities?

Taken from the feature row, by name, in one place: serving reads the row it predicts on, the backtest reads the rows of
its panel. Volatility is daily (a fraction); correlation is that with the reference market; the regime counts into
``REGIMES``. A number that is not there is NaN or UNKNOWN, never a neutral value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from registry.policy import DECISION_FEATURES
from serving.decision_numbers import DOWN, RANGING, REGIMES, UNKNOWN, UP, WILD

__all__ = ["REGIMES", "MarketFacts", "facts_of_rows", "regimes_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarketFacts:
    """Arrays ``(S,)`` of one bar, or ``(T, S)`` of a history: daily volatility, regime, correlation."""

    volatility: Floats
    regime: NDArray[np.int8]
    correlation: Floats


def facts_of_rows(X: NDArray[np.float32], names: Sequence[str], *, bars_per_day: int) -> MarketFacts:
    """The facts of feature rows ``(n, F)`` whose columns are ``names``; raises ``ValueError`` where one is missing."""
    at = list(names)
    volatility, trend, wild, correlation = (X[:, at.index(name)].astype(np.float64) for name in DECISION_FEATURES)
    return MarketFacts(
        volatility=volatility * np.sqrt(bars_per_day), regime=regimes_of(trend, wild), correlation=correlation
    )


def regimes_of(trend: Floats, wild: Floats) -> NDArray[np.int8]:
    """Codes ``(n,)`` from the settled trend (-1, 0, 1) and wildness (0, 1); wild goes before any trend."""
    code = np.select([wild == 1.0, trend == 1.0, trend == -1.0, trend == 0.0], [WILD, UP, DOWN, RANGING], UNKNOWN)
    code[~np.isin(wild, (0.0, 1.0))] = UNKNOWN
    return code.astype(np.int8)
