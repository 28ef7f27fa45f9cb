"""Takers' shares: of one bar each, unknown without volume, added up by volume."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.candles import Candles
from market.errors import TakerFlowError
from market.grid import to_grid
from market.resample import resample
from market.taker_flow import TakerShares, check_taker, resample_taker, share_of_ratio, taker_on_grid, taker_shares
from market.timeframe import Timeframe

ONE, FIVE = Timeframe.parse("1m"), Timeframe.parse("5m")
START = 1_738_281_600_000  # 2025-01-31 00:00 UTC


def bars(volume, *, timeframe=FIVE, at=None):
    """Flat bars with these volumes, in a row or at these places."""
    price = np.full(len(volume), 7.0)
    place = np.arange(len(volume)) if at is None else np.asarray(at)
    return Candles(
        symbol="BTCUSDT",
        timeframe=timeframe,
        open_time=START + place.astype(np.int64) * timeframe.ms,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.asarray(volume, dtype=np.float64),
    )


def test_a_share_is_buys_over_volume_and_unknown_without_either():
    """No volume and no buys leave the bar out; nothing bought is zero, which is something else."""
    made = taker_shares(bars([10.0, 0.0, 8.0, 5.0]), np.array([4.0, 0.0, np.nan, 0.0]))
    assert ((made.open_time - START) // FIVE.ms).tolist() == [0, 3]
    assert made.share.tolist() == [0.4, 0.0]


def test_more_bought_than_traded_is_refused():
    """The columns are of different markets or units."""
    with pytest.raises(TakerFlowError, match=r"outside 0 to 1 at row 1 .* 1\.5"):
        taker_shares(bars([10.0, 10.0]), np.array([4.0, 15.0]))


@pytest.mark.parametrize(
    ("places", "share", "message"),
    [
        ([1, 0], [0.5, 0.5], "out of order at row 0"),
        ([1, 1], [0.5, 0.5], "a doubled takers' share at row 0"),
        ([0.5, 1], [0.5, 0.5], "off the 5m grid at row 0"),
        ([0, 1], [0.5, -0.1], "outside 0 to 1 at row 1"),
        ([0, 1], [np.nan, 0.5], "outside 0 to 1 at row 0"),
    ],
)
def test_shares_that_cannot_be_are_refused(places, share, message):
    """By their row."""
    times = START + (np.array(places) * FIVE.ms).astype(np.int64)
    with pytest.raises(TakerFlowError, match=message):
        check_taker(TakerShares(symbol="X", timeframe=FIVE, open_time=times, share=np.array(share)))


def test_a_share_is_of_its_own_bar_alone():
    """Holes, fills and bars without volume are NaN, not the share before; stamps outside the grid do nothing."""
    candles = bars([10.0, 0.0, 10.0, 10.0], at=[0, 1, 2, 5])
    times = START + np.array([-1, 0, 1, 3, 5, 9], dtype=np.int64) * FIVE.ms
    shares = TakerShares(symbol="BTCUSDT", timeframe=FIVE, open_time=times, share=np.linspace(0.1, 0.6, 6))
    found = taker_on_grid(shares, to_grid(candles))
    np.testing.assert_allclose(found, [0.2, np.nan, np.nan, np.nan, np.nan, 0.5])


@given(st.data())
def test_longer_bars_have_the_share_of_their_volume(data):
    """As if buys and volumes had been added up; a bar of which one share is missing has none."""
    n = data.draw(st.integers(0, 40))
    volume = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), dtype=np.float64)
    buys = np.array([data.draw(st.integers(0, int(v))) for v in volume], dtype=np.float64)
    buys[data.draw(st.lists(st.integers(0, n - 1), max_size=2)) if n else []] = np.nan
    minutes = bars(volume, timeframe=ONE)
    made = resample_taker(taker_shares(minutes, buys), minutes, FIVE)
    whole = resample(minutes, FIVE)
    expected = {}
    for time in whole.open_time.tolist():
        rows = slice((time - START) // ONE.ms, (time - START) // ONE.ms + 5)
        known = ~np.isnan(buys[rows]) | (volume[rows] == 0)
        if known.all() and volume[rows].sum():
            expected[time] = np.nansum(buys[rows]) / volume[rows].sum()
    assert made.open_time.tolist() == list(expected)
    np.testing.assert_allclose(made.share, list(expected.values()), rtol=1e-12)


def test_a_ratio_of_buys_to_sells_becomes_a_share():
    """Three times as much bought as sold is three quarters."""
    assert share_of_ratio(np.array([3.0, 1.0, 0.0])).tolist() == [0.75, 0.5, 0.0]
    none = replace(taker_shares(bars([1.0]), np.array([0.5])), share=np.array([]), open_time=np.array([], dtype=int))
    assert np.isnan(taker_on_grid(none, to_grid(bars([1.0])))).all()
