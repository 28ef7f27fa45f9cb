"""Is funding placed on the bar that pays it, and unknown where it cannot be known?"""

import numpy as np
import pytest

from market.errors import FundingError
from market.funding import FundingStamps, check_funding, funding_on_grid
from market.timeframe import HOUR_MS, Timeframe

HOUR = Timeframe.parse("1h")
START = 1_735_603_200_000  # 2024-12-31 00:00 UTC
FIRST = START // HOUR_MS


def stamps(hours: list[float], rates: list[float] | None = None) -> FundingStamps:
    """Settlements at these hours after the start."""
    return FundingStamps(
        symbol="BTCUSDT",
        time=np.array([START + int(h * HOUR_MS) for h in hours], dtype=np.int64),
        rate=np.array(rates if rates is not None else [1e-4] * len(hours)),
    )


def test_paid_on_the_bar_that_contains_the_stamp_despite_jitter():
    """A stamp some milliseconds after the hour is paid on that hour's bar."""
    late = stamps([0, 8 + 13 / HOUR_MS, 16], [1e-4, 2e-4, 3e-4])
    grid = funding_on_grid(late, timeframe=HOUR, first_index=FIRST, n=20)
    assert np.flatnonzero(grid.paid).tolist() == [0, 8, 16]
    assert grid.paid[8] == 2e-4


def test_known_ends_when_the_next_settlement_is_due():
    """After the last stamp the next settlement bar is unknown, never zero funding."""
    grid = funding_on_grid(stamps([0, 8]), timeframe=HOUR, first_index=FIRST, n=20)
    assert grid.known.tolist() == [True] * 16 + [False] * 4


def test_unknown_before_the_first_stamp_and_inside_a_hole():
    """Bars before the first stamp and between stamps more than 8 h apart are unknown."""
    grid = funding_on_grid(stamps([2, 6, 30, 34]), timeframe=HOUR, first_index=FIRST, n=36)
    assert not grid.known[:2].any()
    assert grid.known[2:10].all()
    assert not grid.known[10:30].any()
    assert grid.known[30:].all()
    assert np.isnan(grid.last_rate[1])


def test_a_change_of_interval_is_followed():
    """8 h settlements that become 4 h ones stay known, with the interval in force."""
    grid = funding_on_grid(stamps([0, 8, 12, 16]), timeframe=HOUR, first_index=FIRST, n=18)
    assert grid.known.all()
    assert grid.interval_ms[9] == 8 * HOUR_MS
    assert grid.interval_ms[13] == 4 * HOUR_MS


def test_a_longer_interval_is_paid_later_but_was_not_foreseen():
    """When 4 h settlements become 8 h ones, labels know the whole stretch; at the time nobody did."""
    grid = funding_on_grid(stamps([0, 4, 12, 20]), timeframe=HOUR, first_index=FIRST, n=16)
    assert grid.known.all()
    assert grid.current.tolist() == [True] * 8 + [False] * 4 + [True] * 4


def test_one_stamp_proves_nothing():
    """With a single settlement neither rate nor interval is known."""
    grid = funding_on_grid(stamps([3]), timeframe=HOUR, first_index=FIRST, n=8)
    assert not grid.known.any()
    assert np.isnan(grid.last_rate).all()


@pytest.mark.parametrize(
    ("hours", "rates", "said"),
    [
        ([8, 0], None, "out of order"),
        ([0, 0], None, "doubled"),
        ([0, 8], [0.0, np.nan], "missing"),
        ([0, 8], [0, 0.5], "10 %"),
    ],
)
def test_broken_stamps_are_refused(hours, rates, said):
    """Unsorted, doubled, missing and absurd rates never reach a label."""
    with pytest.raises(FundingError, match=said):
        check_funding(stamps(hours, rates))
