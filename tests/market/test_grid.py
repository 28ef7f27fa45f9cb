"""Are missing bars filled flat, marked, and never before the first real bar?"""

import numpy as np
import pytest

from market.errors import CandleError
from market.grid import to_grid
from tests.market.test_candles import FIVE, candles


def test_a_gap_is_filled_flat_with_zero_volume_and_marked():
    """Filled bars carry the last close in all four prices, no volume, and are not real."""
    whole = candles(6)
    keep = [0, 1, 4, 5]
    grid = to_grid(
        candles(4, **{k: getattr(whole, k)[keep] for k in ("open_time", "open", "high", "low", "close", "volume")})
    )
    assert grid.real.tolist() == [True, True, False, False, True, True]
    for name in ("open", "high", "low", "close"):
        assert getattr(grid, name)[2:4].tolist() == [102.0, 102.0]
    assert grid.volume.tolist() == [1, 1, 0, 0, 1, 1]
    assert grid.coverage == pytest.approx(4 / 6)
    assert grid.open_time.tolist() == whole.open_time.tolist()


def test_the_grid_can_end_after_or_before_the_last_bar():
    """A stale market is filled up to the asked end; a cut forgets later bars."""
    whole = candles(6)
    first = int(whole.open_time[0]) // FIVE.ms
    longer = to_grid(whole, end_index=first + 8)
    assert longer.close.tolist()[-3:] == [106.0, 106.0, 106.0]
    assert longer.real.tolist()[-2:] == [False, False]
    shorter = to_grid(whole, end_index=first + 2)
    assert shorter.close.tolist() == [101.0, 102.0]
    assert shorter.end_index == first + 2


def test_appending_the_future_changes_nothing_before_it():
    """Rows of the grid never look ahead."""
    whole = candles(6)
    part = to_grid(whole.between(None, int(whole.open_time[3])))
    full = to_grid(whole)
    np.testing.assert_array_equal(full.close[: len(part)], part.close)


def test_no_bars_cannot_be_gridded():
    """Nothing is invented for an empty market."""
    with pytest.raises(CandleError, match="no bars"):
        to_grid(candles(0))
