"""Spans of time are sets of moments."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from market.spans import intersect, joined, next_on_grid, subtract, whole_bars

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=8).map(
    lambda found: [(start, start + length) for start, length in found]
)


def points(found):
    """Every moment in half-open spans."""
    return {point for start, end in found for point in range(start, end)}


@given(spans, spans)
def test_differences_and_intersections_are_those_of_sets(left, right):
    """As if every single moment had been written down; each answer is sorted, disjoint and without empty parts."""
    one, other = joined(left), joined(right)
    assert points(one) == points(left)
    assert points(subtract(one, other)) == points(left) - points(right)
    assert points(intersect(one, other)) == points(left) & points(right)
    for found in (one, subtract(one, other), intersect(one, other)):
        assert all(start < end for start, end in found)
        assert all(before[1] <= after[0] for before, after in pairwise(found))


@given(spans, st.integers(0, 5))
def test_joining_bridges_what_is_near_and_nothing_else(found, apart):
    """Neighbours that are left lie further apart; what was added lies between two spans that were near."""
    one, near = joined(found), joined(found, apart=apart)
    assert all(after[0] - before[1] > apart for before, after in pairwise(near))
    bridges = {
        point
        for before, after in pairwise(one)
        if after[0] - before[1] <= apart
        for point in range(before[1], after[0])
    }
    assert points(near) == points(found) | bridges


@given(spans, st.integers(1, 4))
def test_whole_bars_lie_inside_and_on_the_grid(found, step):
    """Exactly the bars of which every moment is in one span."""
    inside = joined(found)
    bars = [range(start, start + step) for start in range(0, 80, step)]
    assert points(whole_bars(inside, step)) == {t for bar in bars if set(bar) <= points(inside) for t in bar}
    for start, _ in inside:
        assert next_on_grid(start, step) == min(t for t in range(start, start + step) if t % step == 0)
