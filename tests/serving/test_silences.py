"""Silences of the worker and falls of equity, against slow and obvious counts."""

from hypothesis import given
from hypothesis import strategies as st

from market.timeframe import DAY_MS
from serving.paper_results import Booked, daily_drawdown, drawdown
from serving.silences import missing_bars, unplanned_end


def test_a_stop_excuses_only_the_silence_it_lies_in():
    """A stop before or after it does not."""
    written = [100, 1000, 1100, 2000]
    assert unplanned_end(written, [150], since_ms=0, longest_ms=200) == 2000
    assert unplanned_end(written, [150, 1200], since_ms=0, longest_ms=200) is None
    assert unplanned_end(written, [1200], since_ms=0, longest_ms=200) == 1000


def test_bars_caught_up_later_are_a_silence():
    """Three bars written at one moment, long after the bar before."""
    assert unplanned_end([100, 900, 900, 900, 1000], [], since_ms=0, longest_ms=250) == 900


def test_a_stage_that_begins_in_a_silence_begins_when_it_ends():
    """Between the clock and the first bar nobody was there."""
    assert unplanned_end([5000, 5100], [], since_ms=0, longest_ms=250) == 5000


@given(st.sets(st.integers(0, 60), min_size=1))
def test_missing_bars_are_those_between_first_and_last(bars):
    """Counted one by one."""
    slow = sum(bar not in bars for bar in range(min(bars), max(bars) + 1))
    assert missing_bars([bar * 300 for bar in sorted(bars)], bar_length_ms=300) == slow


@given(st.lists(st.tuples(st.integers(0, 4 * DAY_MS), st.floats(-0.05, 0.05)), max_size=30))
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
