"""How are features brought to one scale for the linear model?

The numbers are fitted once, on training rows, by the learning room and travel in the bundle. Nothing here can fit:
a missing scaler is a refused bundle, never one made up on the spot. Trees read the raw features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from registry.errors import PolicyError

__all__ = ["Scaler"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaler:
    """``columns`` ``(k,) int64`` of the feature matrix, with their ``mean`` and ``scale`` ``(k,) float64``."""

    columns: Ints
    mean: Floats
    scale: Floats

    def __post_init__(self) -> None:
        """Refuse shapes that differ, columns out of order, and scales that are not positive."""
        k = self.columns.size
        if self.columns.ndim != 1 or self.mean.shape != (k,) or self.scale.shape != (k,):
            raise _bad(f"shapes {self.columns.shape}, {self.mean.shape}, {self.scale.shape}", "must be equal")
        if k and (int(self.columns[0]) < 0 or (np.diff(self.columns) <= 0).any()):
            raise _bad("columns", "must be ascending positions in the feature matrix")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise _bad("a mean or scale", "must be finite, and scales positive")

    def transform(self, X: NDArray[np.float32]) -> Floats:
        """``(n, F) float32`` features to ``(n, k) float64``, C-contiguous; NaN stays NaN."""
        out: Floats = np.take(X, self.columns, axis=1).astype(np.float64, order="C")
        out -= self.mean
        out /= self.scale
        return out


def _bad(what: str, why: str) -> PolicyError:
    return PolicyError(f"scaler: {what}", why=why, remedy="train again; a scaler is never repaired")
