"""Does a bar bring exactly what was known at its close?"""

import numpy as np
import pytest

from features import BarInputs, FeatureError, assemble_inputs
from features.inputs import Column
from market.candles import Candles
from market.funding import FundingStamps, funding_on_grid
from market.grid import BarGrid, to_grid
from market.timeframe import HOUR_MS, Timeframe
from tests.features.histories import FIVE

START = 5_785_344  # a UTC midnight


def grid(indices, *, symbol="AUSDT", timeframe=FIVE, price=10.0) -> BarGrid:
    """Flat bars at these absolute indices."""
    at = np.array(indices, dtype=np.int64)
    close = price + np.arange(at.size, dtype=float)
    return to_grid(
        Candles(
            symbol=symbol,
            timeframe=timeframe,
            open_time=at * timeframe.ms,
            open=close,
            high=close,
            low=close,
            close=close,
            volume=np.ones(at.size),
        )
    )


def test_without_extras_everything_unknown_is_nan():
    """Missing is NaN, never 0; a filled bar is marked."""
    made = assemble_inputs(grid([START, START + 2]), reference=None, funding=None, open_interest=None)
    assert made.values.shape == (3, 13)
    assert np.isnan(made.values[:, Column.REF_CLOSE :]).all()
    assert made.values[:, Column.REAL].tolist() == [1, 0, 1]
    assert made.values[:, Column.CLOSE].tolist() == [10, 10, 11]
    assert (made.first_index, made.end_index, len(made)) == (START, START + 3, 3)


def test_the_reference_is_matched_by_index_and_only_where_real():
    """A reference that starts later, ends earlier and has a hole leaves NaN there."""
    own = grid(range(START, START + 8))
    reference = grid([START + 2, START + 3, START + 5], symbol="BTCUSDT", price=100.0)
    made = assemble_inputs(own, reference=reference, funding=None, open_interest=None)
    want = [np.nan, np.nan, 100, 101, np.nan, 102, np.nan, np.nan]
    np.testing.assert_array_equal(made.values[:, Column.REF_CLOSE], want)


def test_a_reference_that_never_overlaps_is_missing():
    """Two histories of different years share no bar."""
    own, reference = grid(range(START, START + 3)), grid(range(START + 100, START + 103))
    made = assemble_inputs(own, reference=reference, funding=None, open_interest=None)
    assert np.isnan(made.values[:, Column.REF_CLOSE]).all()


def test_funding_counts_down_to_the_next_settlement():
    """Jittered 8h stamps: hours to funding fall by a bar a bar and jump back after the settlement."""
    n = 96 * 3
    first = START * FIVE.ms
    stamps = FundingStamps(
        symbol="AUSDT",
        time=first + np.array([0, 8, 16], dtype=np.int64) * HOUR_MS + np.array([13, 0, 40]),
        rate=np.array([1e-4, 2e-4, 3e-4]),
    )
    on_grid = funding_on_grid(stamps, timeframe=FIVE, first_index=START, n=n)
    made = assemble_inputs(grid(range(START, START + n)), reference=None, funding=on_grid, open_interest=None)
    hours = made.values[:, Column.HOURS_TO_FUNDING]
    assert hours[0] == pytest.approx(8 - 1 / 12)
    assert hours[95] == 0.0
    assert hours[96] == pytest.approx(8 - 1 / 12)
    assert made.values[95, Column.FUNDING_RATE] == 1e-4
    assert made.values[96, Column.FUNDING_RATE] == 2e-4
    assert set(made.values[: 96 * 2, Column.FUNDING_INTERVAL_H]) == {8.0}


def test_funding_that_is_not_known_is_nan_in_all_three_columns():
    """Bars before the first stamp and long after the last one."""
    first = START * FIVE.ms
    stamps = FundingStamps(
        symbol="AUSDT", time=first + np.array([4, 8], dtype=np.int64) * HOUR_MS, rate=np.array([1e-4, 2e-4])
    )
    on_grid = funding_on_grid(stamps, timeframe=FIVE, first_index=START, n=288)
    made = assemble_inputs(grid(range(START, START + 288)), reference=None, funding=on_grid, open_interest=None)
    columns = made.values[:, Column.FUNDING_RATE : Column.HOURS_TO_FUNDING + 1]
    known = np.isfinite(columns)
    assert (known.all(axis=1) == known.any(axis=1)).all()
    assert known[:, 0].tolist() == on_grid.current.tolist()
    assert not known[:48].any()
    assert not known[288 - 96 :].any()


def test_zero_open_interest_is_missing():
    """The venue writes 0 for unknown."""
    made = assemble_inputs(
        grid(range(START, START + 3)), reference=None, funding=None, open_interest=np.array([5.0, 0.0, np.nan])
    )
    np.testing.assert_array_equal(made.values[:, Column.OPEN_INTEREST], [5.0, np.nan, np.nan])


def test_basis_and_taker_share_stand_as_they_are_given():
    """NaN stays NaN; without volume nobody bought."""
    own = grid([START, START + 1, START + 3])
    made = assemble_inputs(
        own, reference=None, funding=None, open_interest=None,
        basis=np.array([1e-4, np.nan, -2e-4, 0.0]), taker_share=np.array([0.0, 1.0, 0.5, np.nan]),
    )  # fmt: skip
    np.testing.assert_array_equal(made.values[:, Column.BASIS], [1e-4, np.nan, -2e-4, 0.0])
    np.testing.assert_array_equal(made.values[:, Column.TAKER_SHARE], [0.0, 1.0, np.nan, np.nan])


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("basis", np.inf, "basis inf at bar"),
        ("basis", -1.0, "basis -1.0 at bar"),
        ("taker_share", 1.01, "taker share 1.01 at bar"),
        ("taker_share", -0.01, "taker share -0.01 at bar"),
    ],
)
def test_a_basis_or_share_that_cannot_be_is_refused(part, value, said):
    """Only NaN is unknown: an impossible value says which bar holds it."""
    values = np.array([0.5, np.nan, value])
    with pytest.raises(FeatureError, match=f"{said} {START + 2}"):
        assemble_inputs(
            grid(range(START, START + 3)), reference=None, funding=None, open_interest=None, **{part: values}
        )
    with pytest.raises(FeatureError, match="rows of"):
        assemble_inputs(
            grid(range(START, START + 2)), reference=None, funding=None, open_interest=None, **{part: values}
        )


def test_misaligned_parts_are_refused():
    """Another length or another timeframe is an error, not a shift."""
    own = grid(range(START, START + 5))
    with pytest.raises(FeatureError, match="4 rows of open interest for 5 bars"):
        assemble_inputs(own, reference=None, funding=None, open_interest=np.ones(4))
    stamps = FundingStamps(symbol="A", time=np.array([0, HOUR_MS]), rate=np.zeros(2))
    short = funding_on_grid(stamps, timeframe=FIVE, first_index=START, n=4)
    with pytest.raises(FeatureError, match="4 rows of funding for 5 bars"):
        assemble_inputs(own, reference=None, funding=short, open_interest=None)
    hourly = grid([500_000, 500_001], timeframe=Timeframe.parse("1h"))
    with pytest.raises(FeatureError, match="bars of 5m, reference AUSDT of 1h"):
        assemble_inputs(own, reference=hourly, funding=None, open_interest=None)


def test_read_only_and_strided_values_are_taken_as_they_are_in_numbers():
    """Arrow hands over read-only columns; the kernel wants one layout."""
    raw = np.arange(52.0).reshape(13, 4).T
    raw.flags.writeable = False
    made = BarInputs(symbol="A", timeframe=FIVE, first_index=0, values=raw)
    assert made.values.flags.c_contiguous
    assert made.values.flags.writeable
    np.testing.assert_array_equal(made.values, raw)
