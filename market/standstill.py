"""Does this market move, or does its source repeat one bar?

A feed that froze goes on delivering bars in time: the same prices again and again, or bars in which nothing was traded
and nothing changed. Quiet bars happen in every live market, so ``bars`` of them in a row are asked for. On real 5 m
histories (2.2 million bars, 85 markets) twelve in a row occur in stable coins quoted in stable coins, and nowhere else.
"""

from market.candles import Floats
from market.grid import BarGrid

__all__ = ["is_standing_still", "stands_still_at"]


def is_standing_still(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats, *, bars: int) -> bool:
    """Whether the last ``bars`` of these ``(n,)`` real bars, oldest first, are one bar repeated or silent ones.

    Repeated: open, high, low and close are all the same. Silent: no volume, and the close never changes. Fewer bars
    than ``bars`` are no evidence.

        >>> import numpy as np
        >>> p, v = np.full(12, 5.0), np.arange(12.0)
        >>> is_standing_still(p, p, p, p, v, bars=12), is_standing_still(p, p, p, p, v, bars=13)
        (True, False)
        >>> is_standing_still(p, p + v, p, p, v, bars=12), is_standing_still(p, p + v, p, p, v * 0, bars=12)
        (False, True)
    """
    if close.size < bars:
        return False
    last = slice(close.size - bars, None)
    if not _same(close[last]):
        return False
    repeated = all(_same(column[last]) for column in (open_, high, low))
    return repeated or not volume[last].any()


def stands_still_at(grid: BarGrid, index: int, *, bars: int) -> bool:
    """``is_standing_still`` for the last real bars up to ``index``; filled bars are nobody's word and do not count.

    Looks back over four times as many bars: real ones further apart than that are a hole, not a feed.
    """
    end = min(index, grid.end_index - 1) - grid.first_index + 1
    if end <= 0:
        return False
    window = slice(max(end - 4 * bars, 0), end)
    real = grid.real[window]
    columns = (column[window][real] for column in (grid.open, grid.high, grid.low, grid.close, grid.volume))
    return is_standing_still(*columns, bars=bars)


def _same(values: Floats) -> bool:
    return bool((values == values[0]).all())
