"""Open interest known at the close of each bar."""

import numpy as np
import pytest

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps, check_open_interest, on_grid
from infra.sources import FileSource
from tests.infra.lake_data import FIVE
from tests.real_data import real_data_dir

STEP = FIVE.ms


def grid(stamps: dict[int, float], n: int = 5) -> list[float]:
    """The grid of ``n`` bars from bar 0 for these stamps."""
    times = np.array(sorted(stamps), dtype=np.int64)
    return on_grid(times, np.array([stamps[t] for t in sorted(stamps)], dtype=np.float64), FIVE, 0, n).tolist()


def test_a_stamp_at_the_close_is_known_and_a_second_later_it_is_not():
    """The stamp of the close belongs to the bar, one just after belongs to the next."""
    found = grid({2 * STEP: 7.0, 3 * STEP + 1000: 8.0})
    np.testing.assert_equal(found, [np.nan, 7.0, 7.0, 8.0, 8.0])


def test_one_absent_bar_is_bridged_and_the_second_is_not():
    """Carrying stops after one bar, and zero is absent."""
    np.testing.assert_equal(grid({1 * STEP: 5.0, 2 * STEP: 0.0, 3 * STEP: 0.0}), [5.0, 5.0, np.nan, np.nan, np.nan])


def test_the_last_stamp_above_zero_within_a_bar_counts():
    """Two rows in one slot: the later one, unless it is a zero."""
    np.testing.assert_equal(grid({STEP - 9: 4.0, STEP: 6.0, 2 * STEP - 9: 3.0, 2 * STEP: 0.0}, n=2), [6.0, 3.0])


def test_the_answer_for_a_bar_does_not_depend_on_where_the_window_starts():
    """Every window over real stamps is a slice of the whole."""
    stamps = FileSource(real_data_dir() / "vision_metrics_um").open_interest("BTCUSDT")
    assert stamps is not None
    first = int(stamps.time[0] // STEP)
    whole = on_grid(stamps.time, stamps.value, FIVE, first, 60_000)
    assert np.isnan(whole).mean() < 0.01
    assert not (whole == 0).any()
    for offset in (1, 1717, 40_000):
        part = on_grid(stamps.time, stamps.value, FIVE, first + offset, 500)
        np.testing.assert_array_equal(part, whole[offset : offset + 500])


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ([2, 1], [1.0, 1.0], "out of order"),
        ([1, 1], [1.0, 1.0], "doubled"),
        ([1, 2], [1.0, np.nan], "missing or infinite open interest at row 1"),
        ([1, 2], [-1.0, 1.0], "negative open interest at row 0"),
    ],
)
def test_stamps_that_cannot_be_trusted_are_refused(times, values, message):
    """Order, doubles, values: each by its own words."""
    with pytest.raises(SourceError, match=message):
        check_open_interest(OpenInterestStamps(symbol="X", time=np.array(times), value=np.array(values)))
