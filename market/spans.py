"""What is left of some stretches of time when others are taken away, and which of them are one?

Spans are half-open ``(start, end)`` in integers. Lists of them are sorted and no two overlap, except where ``joined``
makes them so.

    >>> subtract([(0, 10)], [(2, 4), (8, 12)]), intersect([(0, 10)], [(2, 4), (8, 12)])
    ([(0, 2), (4, 8)], [(2, 4), (8, 10)])
    >>> joined([(3, 5), (0, 2), (9, 10)], apart=1), whole_bars([(1, 16)], 5)
    ([(0, 5), (9, 10)], [(5, 15)])
"""

from collections.abc import Iterable, Sequence

__all__ = ["Span", "intersect", "joined", "next_on_grid", "subtract", "whole_bars"]

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
    """The times in ``left`` that are not in ``right``; empty parts are left out."""
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


def joined(spans: Iterable[Span], *, apart: int = 0) -> list[Span]:
    """The same times in order, spans at most ``apart`` from each other made one; empty ones are left out."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start - found[-1][1] <= apart:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def whole_bars(spans: Iterable[Span], step: int) -> list[Span]:
    """The bars that lie in the spans as a whole, as spans on the grid of ``step``."""
    inner = ((next_on_grid(start, step), end // step * step) for start, end in spans)
    return [(start, end) for start, end in inner if start < end]


def next_on_grid(time: int, step: int) -> int:
    """The first multiple of ``step`` at or after ``time``: what opens from then on begins there.

    >>> next_on_grid(10, 5), next_on_grid(11, 5)
    (10, 15)
    """
    return -(-time // step) * step
