"""Was the worker gone, and had anybody asked it to stop?

Seen from when bars were written: between two bars in a row about one bar's time goes by. A longer pause is a silence,
whether its bars were caught up later or passed over. It was planned where a worker was stopped on purpose in it.
"""

from collections.abc import Sequence

__all__ = ["missing_bars", "unplanned_end"]


def unplanned_end(written_ms: Sequence[int], stops_ms: Sequence[int], *, since_ms: int, longest_ms: int) -> int | None:
    """When the worker was back after its last unplanned silence; None where there was none.

    ``written_ms`` is when each bar was written, by bar, oldest first; ``since_ms`` where looking begins;
    ``longest_ms`` the longest pause that is no silence. A silence that still lasts has no end.

    >>> unplanned_end([100, 200, 900, 1000], [], since_ms=0, longest_ms=250)
    900
    >>> unplanned_end([100, 200, 900, 1000], [210], since_ms=0, longest_ms=250) is None
    True
    """
    found = None
    before = since_ms
    for at in written_ms:
        if at - before > longest_ms and not any(before <= stop <= at for stop in stops_ms):
            found = at
        before = max(before, at)
    return found


def missing_bars(bar_ms: Sequence[int], *, bar_length_ms: int) -> int:
    """Bars between the first and the last of ``bar_ms`` (ascending open times) that are not among them."""
    if not bar_ms:
        return 0
    return (bar_ms[-1] - bar_ms[0]) // bar_length_ms + 1 - len(bar_ms)
