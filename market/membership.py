"""Who was in the universe when?

Snapshots of the universe in the order they were taken. At any moment the last one taken by then counts, so that
nothing learnt from the past knows who would belong later; before the first one nobody was a member. Times are integer
ms UTC.

    >>> who = (frozenset("A"), frozenset("AB"), frozenset("B"))
    >>> members = Membership(taken_ms=np.array([0, 100, 200]), members=who)
    >>> members.mask("A", np.array([-1, 0, 150, 200])).tolist(), members.left_ms("A"), members.left_ms("B")
    ([False, True, True, False], 200, None)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from market.candles import Ints

__all__ = ["Membership", "uncovered"]

Bools = NDArray[np.bool_]


def uncovered(taken_ms: Ints, *, start_ms: int, end_ms: int, max_age_ms: int) -> tuple[int, int] | None:
    """First part of ``[start_ms, end_ms)`` at which no snapshot was young enough; None when each moment has one."""
    inside = taken_ms[taken_ms < end_ms]
    before = inside[inside <= start_ms][-1:]
    good = int(before[0]) + max_age_ms if before.size else start_ms
    for taken in inside[inside > start_ms].tolist():
        if taken > good:
            return max(good, start_ms), taken
        good = taken + max_age_ms
    return (max(good, start_ms), end_ms) if good < end_ms else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Membership:
    """``taken_ms (k,) int64`` ascending, and who was a member in each snapshot."""

    taken_ms: Ints
    members: tuple[frozenset[str], ...]

    def mask(self, symbol: str, times_ms: Ints) -> Bools:
        """``(n,)`` whether the last snapshot taken at or before each of ``times_ms (n,)`` has the market."""
        if self.taken_ms.size == 0:
            return np.zeros(times_ms.size, dtype=np.bool_)
        last = np.searchsorted(self.taken_ms, times_ms, side="right") - 1
        found: Bools = (last >= 0) & self._says(symbol)[np.maximum(last, 0)]
        return found

    def left_ms(self, symbol: str) -> int | None:
        """When the market left for the last time; None while it is a member, 0 when it never was."""
        said = self._says(symbol)
        if not said.any():
            return 0
        last = int(np.flatnonzero(said)[-1])
        return None if last == said.size - 1 else int(self.taken_ms[last + 1])

    def first_ms(self, symbols: frozenset[str]) -> int | None:
        """When the first of these markets became a member; None when none ever was."""
        return next((int(t) for t, who in zip(self.taken_ms, self.members, strict=True) if who & symbols), None)

    def _says(self, symbol: str) -> Bools:
        return np.array([symbol in who for who in self.members], dtype=np.bool_)
