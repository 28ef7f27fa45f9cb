"""Which bars in a row share a property?

A run never crosses a hole: two bars are neighbours only when they are exactly one step apart.

    >>> import numpy as np
    >>> runs_of(np.array([0, 5, 10, 20]), np.array([True, True, False, True]), step_ms=5)
    (BarRun(first_ms=0, last_ms=5, bars=2), BarRun(first_ms=20, last_ms=20, bars=1))
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from market.candles import Ints
from market.spans import Span

__all__ = ["BarRun", "runs_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarRun:
    """``bars`` consecutive bars; ``first_ms`` and ``last_ms`` are the open times of the first and the last of them."""

    first_ms: int
    last_ms: int
    bars: int

    def span(self, step_ms: int) -> Span:
        """Half-open, from the open of the first bar to the close of the last."""
        return self.first_ms, self.last_ms + step_ms


def runs_of(times: Ints, chosen: NDArray[np.bool_], *, step_ms: int, at_least: int = 1) -> tuple[BarRun, ...]:
    """Unbroken runs of at least ``at_least`` chosen bars, oldest first; ``times (n,)`` are sorted open times."""
    where = np.flatnonzero(chosen)
    if where.size == 0:
        return ()
    apart = (np.diff(where) > 1) | (np.diff(times[where]) > step_ms)
    edges = np.concatenate(([0], np.flatnonzero(apart) + 1, [where.size]))
    return tuple(
        BarRun(first_ms=int(times[where[lo]]), last_ms=int(times[where[hi - 1]]), bars=hi - lo)
        for lo, hi in pairwise(edges.tolist())
        if hi - lo >= at_least
    )
