"""Which side do the classic indicators point to, and how is that weighted?

The primary rule of meta-labelling (Lopez de Prado, Advances in Financial Machine Learning, sec. 3.6): three votes of
+1 (long), -1 (short) or 0, read from one feature row, added up by weight. EMA 9 over EMA 21 and the MACD histogram
follow the trend; an RSI below 30 or above 70 speaks against it. A side is taken from ``threshold`` on; at the default
weights the two trend votes have to agree. Each vote carries the version of its rule, and every signal names them.

    >>> import numpy as np
    >>> rows = np.array([[0.01, 50.0, 0.002], [0.01, 75.0, -0.002], [-0.01, 50.0, -0.002]], dtype=np.float32)
    >>> PrimaryRule().sides(rows, PRIMARY_FEATURES).tolist()
    [1, 0, -1]
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import ContractError

__all__ = ["PRIMARY_FEATURES", "PrimaryRule"]

PRIMARY_FEATURES = ("ema_9_21_diff", "rsi", "macd_hist")
"""The features the rule reads, in the order of its votes."""

_VERSIONS = ("ema_9_21/1", "rsi_30_70/1", "macd_12_26_9/1")
_RSI_LOW, _RSI_HIGH = 30.0, 70.0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryRule:
    """Weights of the three votes, sum at most 1, and the sum of votes from which a side is taken."""

    ema_weight: float = 0.4
    rsi_weight: float = 0.2
    macd_weight: float = 0.4
    threshold: float = 0.6
    versions: tuple[str, ...] = _VERSIONS

    def __post_init__(self) -> None:
        """Refuse weights that no vote could reach the threshold with, and rules of another version."""
        weights = (self.ema_weight, self.rsi_weight, self.macd_weight)
        if min(weights) < 0.0 or not 0.0 < self.threshold <= sum(weights) + _ROUNDING <= 1.0 + 2 * _ROUNDING:
            raise ContractError(
                f"primary rule with weights {weights} and threshold {self.threshold}",
                why="weights must be positive, add up to at most 1 and reach the threshold",
                remedy="correct events.ema_weight, events.rsi_weight, events.macd_weight or events.primary_threshold",
            )
        if tuple(self.versions) != _VERSIONS:
            raise ContractError(
                f"primary rule of the versions {', '.join(self.versions)}",
                why=f"this release computes {', '.join(_VERSIONS)}",
                remedy="serve it with the release it was trained with, or train again",
            )

    def votes(self, X: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.int8]:
        """``(n, F)`` feature rows to ``(n, 3)`` votes of EMA, RSI and MACD: +1, 0 or -1."""
        ema, rsi, macd = (X[:, _column(name, names)] for name in PRIMARY_FEATURES)
        reversal = (rsi < _RSI_LOW).astype(np.int8) - (rsi > _RSI_HIGH).astype(np.int8)
        return np.stack((_sign(ema), reversal, _sign(macd)), axis=1)

    def sides(self, X: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.int8]:
        """``(n,) int8``: +1 long, -1 short, 0 no signal."""
        score = self.votes(X, names) @ np.array([self.ema_weight, self.rsi_weight, self.macd_weight])
        return _sign(np.where(np.abs(score) >= self.threshold - _ROUNDING, score, 0.0))


def _sign(x: NDArray[np.floating]) -> NDArray[np.int8]:
    found: NDArray[np.int8] = np.sign(x).astype(np.int8)
    return found


def _column(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ContractError(
            f"the primary rule reads {name!r}",
            why="the feature contract does not have it, and no other feature stands in for it",
            remedy="use a contract with this feature",
        )
    return list(names).index(name)
