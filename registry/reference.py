"""What did the features and probabilities of training look like?

Kept in the bundle so that drift is measured against the data this very model was trained on. Ten bins between the
deciles of training; shares are counted, not assumed to be a tenth, because values tie. Values outside the range fall
into the outermost bins, missing values are counted apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from registry.errors import BundleError

__all__ = ["BINS", "ReferenceDistributions", "bin_shares", "reference_distributions"]

BINS = 10
_MOST_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceDistributions:
    """Deciles and shares; ``F`` features, then the three ensemble probabilities (HOLD, BUY, SELL).

    ``feature_edges (F, 11)`` deciles 0..100 % (NaN where a feature was never present), ``feature_shares (F, 10)`` of
    the values present, ``feature_low`` and ``feature_high (F,)`` the range seen, ``feature_missing (F,)`` the share of
    NaN, ``probability_edges (3, 11)``, ``probability_shares (3, 10)``; all float64. ``rows`` is how many were seen.
    """

    rows: int
    feature_edges: Floats
    feature_shares: Floats
    feature_low: Floats
    feature_high: Floats
    feature_missing: Floats
    probability_edges: Floats
    probability_shares: Floats


def bin_shares(values: NDArray[np.floating], edges: Floats) -> Floats:
    """``(10,)`` shares of the finite ``values (n,)`` between ``edges (11,)``; zeros when none is finite."""
    present = values[np.isfinite(values)].astype(np.float64)
    if present.size == 0:
        return np.zeros(BINS)
    counts = np.bincount(np.searchsorted(edges[1:-1], present, side="right"), minlength=BINS)
    shares: Floats = counts / present.size
    return shares


def reference_distributions(X: NDArray[np.float32], probabilities: Floats) -> ReferenceDistributions:
    """Summaries of training rows ``X (n, F) float32`` and out-of-fold ensemble ``probabilities (n, 3)``.

    The two may have different numbers of rows (early rows have no out-of-fold prediction). Deciles come from at most
    200,000 evenly spaced rows, all other numbers from every row.
    """
    if X.ndim != 2 or probabilities.ndim != 2 or probabilities.shape[1] != 3 or not X.shape[0] * probabilities.shape[0]:
        raise BundleError(
            f"reference of features {X.shape} and probabilities {probabilities.shape}",
            why="drift needs the rows the model was trained on",
            remedy="pass (n, F) features and (n, 3) probabilities, neither empty",
        )
    columns = [_summary(X[:, f]) for f in range(X.shape[1])]
    classes = [_summary(probabilities[:, c]) for c in range(3)]
    return ReferenceDistributions(
        rows=int(X.shape[0]),
        feature_edges=np.stack([edges for edges, _, _, _ in columns]),
        feature_shares=np.stack([shares for _, shares, _, _ in columns]),
        feature_low=np.array([float(edges[0]) if seen is None else seen[0] for edges, _, seen, _ in columns]),
        feature_high=np.array([float(edges[-1]) if seen is None else seen[1] for edges, _, seen, _ in columns]),
        feature_missing=np.array([missing for _, _, _, missing in columns]),
        probability_edges=np.stack([edges for edges, _, _, _ in classes]),
        probability_shares=np.stack([shares for _, shares, _, _ in classes]),
    )


def _summary(values: NDArray[np.floating]) -> tuple[Floats, Floats, tuple[float, float] | None, float]:
    """Deciles, shares, the range seen (None where nothing was) and the missing share of one column."""
    present = values[np.isfinite(values)]
    if present.size == 0:
        return np.full(BINS + 1, np.nan), np.zeros(BINS), None, 1.0
    low, high = float(present.min()), float(present.max())
    edges = np.quantile(present[:: present.size // _MOST_ROWS + 1].astype(np.float64), np.linspace(0.0, 1.0, BINS + 1))
    edges[0], edges[-1] = low, high
    return edges, bin_shares(values, edges), (low, high), 1.0 - present.size / values.size
