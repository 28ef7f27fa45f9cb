"""What is left of some stretches of time when others are taken away?

Spans are half-open ``(start, end)`` in integers; a list of them is sorted, and no two of them overlap.

    >>> subtract([(0, 10)], [(2, 4), (8, 12)]), intersect([(0, 10)], [(2, 4), (8, 12)])
    ([(0, 2), (4, 8)], [(2, 4), (8, 10)])
"""

from collections.abc import Iterable, Sequence

__all__ = ["Span", "intersect", "subtract", "whole_bars"]

Span = tuple[int, int]


def intersect(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """The times in both."""
    found = []
    at = 0
    for start, end in left:
        while at < len(right) and right[at][1] <= start:
            at += 1
        k = at
        while k < len(right) and right[k][0] < end:
            found.append((max(start, right[k][0]), min(end, right[k][1])))
            k += 1
    return found


def subtract(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    """The times in ``left`` that are not in ``right``."""
    found = []
    at = 0
    for start, end in left:
        while at < len(right) and right[at][1] <= start:
            at += 1
        k, lo = at, start
        while k < len(right) and right[k][0] < end:
            if lo < right[k][0]:
                found.append((lo, right[k][0]))
            lo = max(lo, right[k][1])
            k += 1
        if lo < end:
            found.append((lo, end))
    return found


def whole_bars(spans: Iterable[Span], step: int) -> list[Span]:
    """The bars that lie in the spans as a whole, as spans on the grid of ``step``."""
    inner = ((-(-start // step) * step, end // step * step) for start, end in spans)
    return [(start, end) for start, end in inner if start < end]
