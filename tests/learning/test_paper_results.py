"""Falls of equity by stored trades, against slow and obvious counts."""

from hypothesis import given
from hypothesis import strategies as st

from learning.paper_results import Booked, daily_drawdown, drawdown
from market.timeframe import DAY_MS


@given(st.lists(st.tuples(st.integers(0, 4 * DAY_MS), st.floats(-0.03, 0.03)), max_size=30))
def test_falls_are_the_largest_over_all_pairs_of_moments(found):
    """Every peak against every later equity; within a day its opening counts as a peak."""
    booked = [Booked(at, result) for at, result in found]
    moments = sorted({at for at, _ in found})
    equity = [(-1, 1.0)] + [(m, 1.0 + sum(r for at, r in sorted(found) if at <= m)) for m in moments]
    falls = [(a - b) / a for k, (_, a) in enumerate(equity) for _, b in equity[k:]]
    within = [
        (a - b) / a
        for k, (_, a) in enumerate(equity)
        for n, (at, b) in enumerate(equity[k:], k)
        if n > k and at // DAY_MS == equity[k + 1][0] // DAY_MS
    ]
    if not booked:
        assert drawdown(booked) is None
        assert daily_drawdown(booked) is None
        return
    assert abs(drawdown(booked) - max(falls)) < 1e-12
    assert abs(daily_drawdown(booked) - max(0.0, *within)) < 1e-12


def test_who_has_lost_everything_falls_by_all_of_it_ever_after():
    """A day that begins without equity has no fraction of it to lose; it is never taken for a calm one."""
    assert daily_drawdown([Booked(0, -1.0), Booked(DAY_MS, 0.01)]) == 1.0
    assert daily_drawdown([Booked(0, -0.6), Booked(1, -0.6), Booked(DAY_MS, 0.01)]) > 1.0
