"""What is one observation when symbols move together and labels overlap?

All symbols of one bar are one observation: their mean. Labels of bars less than a horizon apart share price moves, so
bars are dependent too; what may be counted as independent is one bar per horizon. Every test of this room (bootstrap,
e-process, shadow) starts from a ``BarSeries`` and takes the horizon as an argument.
"""

from dataclasses import dataclass

import numpy as np

from learning.errors import EvidenceError
from market.candles import Floats, Ints

__all__ = ["BarSeries", "bar_series", "check_horizon", "independent_windows"]

_MOST_BARS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarSeries:
    """One value per bar, oldest first; ``values`` is ``(span,) float64``, NaN where a bar has no value."""

    first_index: int
    values: Floats

    @property
    def bars(self) -> int:
        """Number of bars that have a value."""
        return int(np.isfinite(self.values).sum())

    @property
    def mean(self) -> float:
        """Mean over the bars that have a value; NaN without any."""
        return float(np.nanmean(self.values)) if self.bars else float("nan")


def bar_series(values: Floats, *, bar_index: Ints) -> BarSeries:
    """Average rows of the same bar.

    ``values`` ``(n,) float64`` finite, ``bar_index`` ``(n,) int64`` absolute bar indices in any order. An empty input
    gives an empty series. Raises ``EvidenceError`` on values that are not finite or shapes that differ.

    Example:
        >>> import numpy as np
        >>> bar_series(np.array([1.0, 3.0, 5.0]), bar_index=np.array([7, 7, 9])).values.tolist()
        [2.0, nan, 5.0]
    """
    if values.ndim != 1 or values.shape != bar_index.shape:
        raise EvidenceError(
            f"values of shape {values.shape} with bars of shape {bar_index.shape}",
            why="each value belongs to one bar",
            remedy="pass two vectors of the same length",
        )
    if not np.isfinite(values).all():
        raise EvidenceError(
            f"{int((~np.isfinite(values)).sum())} of {values.size} values are not finite",
            why="a mean over them would be meaningless",
            remedy="leave unresolved rows out before the test",
        )
    if values.size == 0:
        return BarSeries(first_index=0, values=np.empty(0))
    first = int(bar_index.min())
    span = int(bar_index.max()) - first + 1
    if span > _MOST_BARS:
        raise EvidenceError(
            f"bars span {span} indices",
            why="that is no bar index of one timeframe",
            remedy="pass open_time // timeframe, not milliseconds",
        )
    row = bar_index - first
    counts = np.bincount(row, minlength=span)
    sums = np.bincount(row, weights=values, minlength=span)
    means = np.full(span, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return BarSeries(first_index=first, values=means)


def independent_windows(bar_index: Ints, *, horizon_bars: int) -> int:
    """The most bars of ``bar_index`` (``(n,) int64``, any order) that lie at least a horizon apart.

    Example:
        >>> import numpy as np
        >>> independent_windows(np.array([0, 1, 5, 6, 11, 12]), horizon_bars=6)
        3
    """
    check_horizon(horizon_bars)
    bars = np.unique(bar_index)
    row = count = 0
    while row < bars.size:
        count += 1
        row = int(np.searchsorted(bars, bars[row] + horizon_bars))
    return count


def check_horizon(horizon_bars: int) -> None:
    """Raise ``EvidenceError`` unless the horizon is at least one bar."""
    if horizon_bars < 1:
        raise EvidenceError(
            f"a horizon of {horizon_bars} bars",
            why="a label looks at least one bar ahead",
            remedy="pass the label spec's horizon_bars",
        )
