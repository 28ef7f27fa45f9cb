"""In what kind of market was a decision taken?

Told from what was known at the decision alone. Volatility: daily realised volatility against the terciles of the fold's
training rows (calm, usual, wild). Trend: EMA 9 over EMA 21 as a fraction of price; sideways while its size is below its
median size in the training rows, else down or up by its sign. The edges never see a judged row, so the groups of a test
window need not be equally large: a wild quarter after a calm year is wild.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.panel import Panel
from market.candles import Floats, Ints

__all__ = ["TREND", "TREND_FEATURE", "VOLATILITY", "RegimeEdges", "Regimes", "regime_edges", "regimes_at"]

VOLATILITY = ("calm", "usual", "wild")
TREND = ("down", "sideways", "up")
TREND_FEATURE = "ema_9_21_diff"
_UNKNOWN = np.int8(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeEdges:
    """Terciles of daily volatility, and the median size of the trend; None without the trend's feature."""

    volatility: tuple[float, float]
    trend: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regimes:
    """``(n,) int8`` each: numbers into ``VOLATILITY`` and ``TREND``, -1 where it cannot be told."""

    volatility: NDArray[np.int8]
    trend: NDArray[np.int8]


def regime_edges(panel: Panel, training_rows: Ints, names: Sequence[str]) -> RegimeEdges:
    """Edges from training rows; ``names`` are the columns of ``panel.X``."""
    trend = _trend(panel, training_rows, names)
    sizes = None if trend is None else np.abs(trend[np.isfinite(trend)])
    low, high = np.quantile(panel.volatility[training_rows], [1.0 / 3.0, 2.0 / 3.0])
    return RegimeEdges(
        volatility=(float(low), float(high)),
        trend=float(np.median(sizes)) if sizes is not None and sizes.size else None,
    )


def regimes_at(panel: Panel, rows: Ints, edges: RegimeEdges, names: Sequence[str]) -> Regimes:
    """The regimes of panel rows ``(n,)`` under edges that were fixed before them."""
    volatility = panel.volatility[rows]
    level = np.searchsorted(np.array(edges.volatility), volatility, side="right").astype(np.int8)
    trend = _trend(panel, rows, names)
    if trend is None or edges.trend is None:
        way = np.full(rows.size, _UNKNOWN)
    else:
        sideways = np.abs(trend) < edges.trend
        way = np.where(sideways, 1, 1 + np.sign(np.nan_to_num(trend))).astype(np.int8)
        way[~np.isfinite(trend)] = _UNKNOWN
    return Regimes(volatility=np.where(np.isfinite(volatility), level, _UNKNOWN), trend=way)


def _trend(panel: Panel, rows: Ints, names: Sequence[str]) -> Floats | None:
    if TREND_FEATURE not in names:
        return None
    found: Floats = panel.X[rows, list(names).index(TREND_FEATURE)].astype(np.float64)
    return found
