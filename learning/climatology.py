"""What would somebody forecast who knows nothing but how often each class happens?

Class shares of the training events, one set for each choice of open sides: where the primary rule named the long, the
share of longs that paid; where it named the short, that of shorts. In mode ``direction`` both sides are always open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.events import Sides
from market.candles import Floats
from market.label_rule import UNRESOLVED

__all__ = ["Climatology", "class_shares"]

_HOLD = (1.0, 0.0, 0.0)


def class_shares(y: NDArray[np.integer]) -> Floats:
    """``(3,)`` shares of HOLD, BUY, SELL among labelled rows."""
    counts = np.bincount(y[y != UNRESOLVED], minlength=3).astype(np.float64)
    return counts / max(float(counts.sum()), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Climatology:
    """Class shares ``(3,)`` of training events by open sides: ``both``, ``long`` alone, ``short`` alone.

    A choice of sides that training never saw forecasts HOLD.
    """

    both: tuple[float, ...] = _HOLD
    long: tuple[float, ...] = _HOLD
    short: tuple[float, ...] = _HOLD

    @classmethod
    def of(cls, y: NDArray[np.integer], sides: Sides) -> "Climatology":
        """From training rows: classes ``(n,)`` and open sides ``(n, 2)``."""
        seen = {name: y[rows & (y != UNRESOLVED)] for name, rows in _groups(sides).items()}
        return cls(**{name: tuple(class_shares(mine).tolist()) for name, mine in seen.items() if mine.size})

    @classmethod
    def from_values(cls, read: Mapping[str, Sequence[float]]) -> "Climatology":
        """From the JSON object that ``dataclasses.asdict`` makes of one."""
        return cls(**{name: tuple(float(share) for share in read[name]) for name in ("both", "long", "short")})

    def forecast(self, sides: Sides) -> Floats:
        """``(n, 2)`` open sides to ``(n, 3)`` probabilities."""
        out = np.tile(np.array(_HOLD), (sides.shape[0], 1))
        for name, rows in _groups(sides).items():
            out[rows] = getattr(self, name)
        return out


def _groups(sides: Sides) -> dict[str, NDArray[np.bool_]]:
    long, short = sides[:, 0], sides[:, 1]
    return {"both": long & short, "long": long & ~short, "short": short & ~long}
