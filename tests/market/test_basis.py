"""Basis: measured where bar and hour close together, held until overdue, never stale and never of the future."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.basis import MarkStamps, basis_on_grid, check_mark, mark_period_bars
from market.errors import MarkPriceError
from market.grid import BarGrid
from market.timeframe import DAY_MS, HOUR_MS, Timeframe

FIVE = Timeframe.parse("5m")
DAY = 20_119  # 2025-01-31, in days
LENGTHS = st.sampled_from([Timeframe.parse(name) for name in ("1m", "5m", "45m", "1h", "4h", "1d")])


def grid(close, *, real=None, timeframe=FIVE, first_ms=DAY * DAY_MS):
    """Bars with these closes from a moment on."""
    price = np.asarray(close, dtype=np.float64)
    return BarGrid(
        symbol="BTCUSDT",
        timeframe=timeframe,
        first_index=first_ms // timeframe.ms,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(price.size),
        real=np.ones(price.size, dtype=bool) if real is None else np.asarray(real, dtype=bool),
    )


def marks(hours, price, *, first_ms=DAY * DAY_MS):
    """Mark prices so many hours after a moment."""
    time = first_ms + np.asarray(hours, dtype=np.int64) * HOUR_MS
    return MarkStamps(symbol="BTCUSDT", time=time, price=np.asarray(price, dtype=np.float64))


def slow_basis(stamps, bars):
    """Bar by bar: the newest measure at or before it that is not overdue by more than a bar."""
    held = dict(zip(stamps.time.tolist(), stamps.price.tolist(), strict=True))
    step = bars.timeframe.ms
    found = []
    for t in range(len(bars)):
        value = np.nan
        for back in range(min(t, mark_period_bars(bars.timeframe)) + 1):
            close_ms = (bars.first_index + t - back + 1) * step
            if bars.real[t - back] and close_ms in held:
                value = bars.close[t - back] / held[close_ms] - 1
                break
        found.append(value)
    return np.array(found)


def test_one_measure_an_hour_is_held_until_the_next_and_a_bar_longer():
    """The bar that closes with the hour measures; twelve more know it, the thirteenth does not."""
    found = basis_on_grid(marks([1], [100.0]), grid(np.linspace(101, 140, 40)))
    measured = np.linspace(101, 140, 40)[11] / 100 - 1
    assert np.isnan(found[:11]).all(), "nothing is carried backwards"
    assert found[11:24].tolist() == [measured] * 13, "a mark is never held against a new close"
    assert np.isnan(found[24:]).all()


def test_the_next_measure_takes_over_at_its_own_bar():
    """Two hours in a row leave no bar unknown, and none with the wrong one."""
    found = basis_on_grid(marks([1, 2], [100.0, 50.0]), grid(np.full(30, 101.0)))
    assert found[11:23] == pytest.approx(0.01)
    assert found[23:30] == pytest.approx(1.02)


def test_a_filled_bar_measures_nothing():
    """Where the bar at the full hour is missing, its flat fill is no price of that moment."""
    real = np.ones(40, dtype=bool)
    real[23] = False
    found = basis_on_grid(marks([1, 2, 3], [100.0, 100.0, 100.0]), grid(np.full(40, 101.0), real=real))
    assert np.isfinite(found[11:24]).all()
    assert np.isnan(found[24:35]).all()
    assert np.isfinite(found[35:]).all()


def test_without_stamps_or_bars_nothing_is_known():
    """Empty in, NaN out, never zero."""
    assert np.isnan(basis_on_grid(marks([], []), grid([1.0, 2.0]))).all()
    assert basis_on_grid(marks([1], [1.0]), grid([])).size == 0


@given(
    timeframe=LENGTHS,
    hours=st.sets(st.integers(-30, 60)),
    offset=st.integers(0, 30),
    data=st.data(),
)
def test_every_bar_agrees_with_the_definition(timeframe, hours, offset, data):
    """At any length of bar, wherever the grid begins, with holes in bars and stamps."""
    n = data.draw(st.integers(0, 60))
    real = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    close = 100 + np.arange(n, dtype=np.float64)
    bars = grid(close, real=real, timeframe=timeframe, first_ms=DAY * DAY_MS + offset * timeframe.ms)
    stamps = marks(sorted(hours), 90 + np.arange(len(hours)))
    np.testing.assert_array_equal(basis_on_grid(stamps, bars), slow_basis(stamps, bars))


@given(cut=st.integers(1, 79), timeframe=LENGTHS)
def test_later_bars_and_stamps_change_nothing_before(cut, timeframe):
    """What is known at a bar does not depend on anything after its close."""
    close = 100 + np.sin(np.arange(80))
    stamps = marks(np.arange(1, 80), 100 + np.cos(np.arange(79)))
    whole = basis_on_grid(stamps, grid(close, timeframe=timeframe))
    seen = stamps.time <= DAY * DAY_MS + cut * timeframe.ms
    known = MarkStamps(symbol="BTCUSDT", time=stamps.time[seen], price=stamps.price[seen])
    np.testing.assert_array_equal(basis_on_grid(known, grid(close[:cut], timeframe=timeframe)), whole[:cut])


@pytest.mark.parametrize(
    ("hours", "price", "message"),
    [
        ([2, 1], [1.0, 1.0], "mark prices out of order at row 0"),
        ([1, 1], [1.0, 1.0], "a doubled mark price at row 0"),
        ([1, 2], [1.0, np.inf], "a missing or infinite mark price at row 1"),
        ([1, 2], [1.0, np.nan], "a missing or infinite mark price at row 1"),
        ([1, 2], [0.0, 1.0], "zero or negative at row 0"),
    ],
)
def test_mark_prices_that_cannot_be_are_refused(hours, price, message):
    """By their row; a price of zero would be an infinite basis."""
    with pytest.raises(MarkPriceError, match=message):
        check_mark(marks(hours, price))


def test_a_mark_price_off_the_full_hour_is_refused():
    """It belongs to another moment than any bar's close can be sure of."""
    check_mark(marks([1, 2], [1.0, 2.0]))
    with pytest.raises(MarkPriceError, match="off the full hour at row 0"):
        check_mark(marks([1], [1.0], first_ms=DAY * DAY_MS + 1))
