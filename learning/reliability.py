"""Does it happen as often as it was said?

Of the most probable class: how sure the forecast was, ``(n,)`` in 1/3..1, against whether that class happened.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats

__all__ = ["BINS", "Bins", "reliability_bins"]

BINS = 10


@dataclass(frozen=True, slots=True)
class Bins:
    """Of the bins that hold rows, ascending: mean confidence, share that happened, rows."""

    confidence: tuple[float, ...]
    happened: tuple[float, ...]
    rows: tuple[int, ...]

    @property
    def ece(self) -> float | None:
        """Expected calibration error: mean distance of the two, weighed by rows (Guo et al. 2017); None without."""
        total = sum(self.rows)
        if total == 0:
            return None
        apart = zip(self.confidence, self.happened, self.rows, strict=True)
        return sum(abs(c - h) * k for c, h, k in apart) / total


def reliability_bins(confidence: Floats, happened: NDArray[np.bool_]) -> Bins:
    """Ten bins of equal width over 0..1; a confidence of exactly 1 is in the last."""
    at = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    held = [at == b for b in range(BINS) if (at == b).any()]
    return Bins(
        tuple(float(confidence[one].mean()) for one in held),
        tuple(float(happened[one].mean()) for one in held),
        tuple(int(one.sum()) for one in held),
    )
