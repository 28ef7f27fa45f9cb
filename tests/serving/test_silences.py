"""Silences of the worker, against slow and obvious counts."""

from hypothesis import given
from hypothesis import strategies as st

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
