"""How complete is a candle history, and where are its holes?

Coverage counts real bars against the absolute grid over a stated window. A hole is a run of bars the history does not
have. Nothing is repaired here: the answer is a value that reports, gates and the operator read.
"""

from dataclasses import dataclass

import numpy as np

from market.candles import Candles, Ints
from market.runs import BarRun
from market.spans import next_on_grid
from market.timeframe import Timeframe

__all__ = ["Coverage", "holes_of", "measure_coverage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a history holds of the bars that open in ``[start_ms, end_ms)``.

    ``first_ms`` and ``last_ms`` are the first and last open times found (None in an empty window), ``share`` is
    ``rows / expected`` (0.0 where nothing was expected), ``gaps`` the holes oldest first, holes at both ends of the
    window included.
    """

    symbol: str
    timeframe: Timeframe
    start_ms: int
    end_ms: int
    first_ms: int | None
    last_ms: int | None
    expected: int
    rows: int
    share: float
    gaps: tuple[BarRun, ...]

    @property
    def missing(self) -> int:
        """Bars expected but not there."""
        return self.expected - self.rows


def measure_coverage(candles: Candles, *, start_ms: int | None = None, end_ms: int | None = None) -> Coverage:
    """Measure checked candles over ``[start_ms, end_ms)``; None takes the first bar and the end of the last."""
    step = candles.timeframe.ms
    inside = candles.between(start_ms, end_ms)
    times = inside.open_time
    lo = next_on_grid(start_ms, step) if start_ms is not None else (int(times[0]) if times.size else 0)
    hi = next_on_grid(end_ms, step) if end_ms is not None else (int(times[-1]) + step if times.size else lo)
    expected = max((hi - lo) // step, 0)
    return Coverage(
        symbol=candles.symbol,
        timeframe=candles.timeframe,
        start_ms=lo,
        end_ms=hi,
        first_ms=int(times[0]) if times.size else None,
        last_ms=int(times[-1]) if times.size else None,
        expected=expected,
        rows=len(inside),
        share=len(inside) / expected if expected else 0.0,
        gaps=holes_of(times, lo=lo, hi=hi, step=step),
    )


def holes_of(times: Ints, *, lo: int, hi: int, step: int) -> tuple[BarRun, ...]:
    """Bars of ``[lo, hi)`` that the sorted open times lack, both ends included, oldest first; all on the grid."""
    edges = np.concatenate(([lo - step], times, [hi]))
    holes = np.flatnonzero(np.diff(edges) > step)
    return tuple(
        BarRun(
            first_ms=int(edges[i]) + step,
            last_ms=int(edges[i + 1]) - step,
            bars=int(edges[i + 1] - edges[i]) // step - 1,
        )
        for i in holes
    )
