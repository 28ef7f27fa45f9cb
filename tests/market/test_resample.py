"""Longer bars are made of whole shorter ones, as a slow reader with exact decimals would make them."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.sources import FileSource
from market.candles import Candles, check_candles
from market.errors import TimeframeError
from market.resample import divides, resample
from market.timeframe import DAY_MS, Timeframe
from tests.infra.lake_data import same
from tests.real_data import real_data_dir

ONE, FIVE = Timeframe.parse("1m"), Timeframe.parse("5m")
START = 1_738_281_600_000


def minutes(rows, *, timeframe=ONE):
    """Bars from ``(index, open, high, low, close, volume)`` rows."""
    table = np.array(rows, dtype=float).reshape(-1, 6).T
    columns = dict(zip(("open", "high", "low", "close", "volume"), table[1:], strict=True))
    times = START + table[0].astype(np.int64) * timeframe.ms
    return Candles(symbol="BTCUSDT", timeframe=timeframe, open_time=times, **columns)


def oracle(candles, to):
    """Bucket by bucket, volumes as the decimals they are written as: ``{open time: (o, h, l, c, v)}``."""
    buckets = {}
    for i, time in enumerate(candles.open_time.tolist()):
        buckets.setdefault(time - time % to.ms, []).append(i)
    made = {}
    for time, rows in buckets.items():
        if len(rows) == to.ms // candles.timeframe.ms:
            volume = float(sum(Decimal(repr(float(candles.volume[i]))) for i in rows))
            highest, lowest = max(candles.high[i] for i in rows), min(candles.low[i] for i in rows)
            made[time] = (candles.open[rows[0]], highest, lowest, candles.close[rows[-1]], volume)
    return made


def as_rows(candles):
    """The same form."""
    names = ("open", "high", "low", "close", "volume")
    values = zip(*(getattr(candles, name).tolist() for name in names), strict=True)
    return dict(zip(candles.open_time.tolist(), values, strict=True))


@st.composite
def histories(draw):
    """Up to 60 minutes with holes, prices in cents, volumes of one number of decimal places."""
    at = draw(st.lists(st.integers(0, 60), min_size=1, max_size=60, unique=True).map(sorted))
    scale = 10 ** draw(st.integers(0, 8))
    rows = []
    for index in at:
        low = draw(st.integers(1, 10_000))
        opened, closed = low + draw(st.integers(0, 50)), low + draw(st.integers(0, 50))
        high = max(opened, closed) + draw(st.integers(0, 50))
        volume = draw(st.integers(0, 10**7)) / scale
        rows.append((index, opened / 100, high / 100, low / 100, closed / 100, volume))
    return minutes(rows)


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from(["5m", "15m", "30m"]))
def test_every_bar_is_the_oracles(candles, name):
    """Complete buckets only, and every value exactly, on random histories with holes."""
    to = Timeframe.parse(name)
    made = resample(candles, to)
    assert as_rows(made) == oracle(candles, to)
    if len(made):
        check_candles(made)


@settings(max_examples=50, deadline=None)
@given(histories(), st.integers(0, 60))
def test_a_bar_does_not_depend_on_its_neighbours(candles, cut):
    """Cutting the history leaves every bar that is still complete as it was, bit for bit."""
    whole = as_rows(resample(candles, FIVE))
    for part in (candles.between(START + cut * ONE.ms, None), candles.between(None, START + cut * ONE.ms)):
        kept = as_rows(resample(part, FIVE))
        assert kept == {time: row for time, row in whole.items() if time in kept}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=5, max_size=5), st.randoms())
def test_the_order_of_the_volumes_is_no_part_of_their_sum(volumes, random):
    """Volumes of any number of digits: within two units in the last place of the exact sum, whatever their order."""
    mixed = random.sample(volumes, 5)
    sums = [resample(minutes([(i, 1, 1, 1, 1, v) for i, v in enumerate(row)]), FIVE).volume for row in (volumes, mixed)]
    assert sums[0].tobytes() == sums[1].tobytes()
    exact = sum(Decimal(value) for value in volumes)
    assert abs(Decimal(float(sums[0][0])) - exact) <= 2 * Decimal(float(np.spacing(sums[0][0])))


def test_the_same_bars_come_in_one_step_or_in_two():
    """1m to 15m is 1m to 5m to 15m."""
    rng = np.random.default_rng(3)
    price = np.round(100 + rng.normal(0, 1, 90), 2)
    volume = rng.integers(0, 999, 90) / 1e3
    rows = [(i, p, p + 0.5, p - 0.5, p, v) for i, p, v in zip(range(90), price, volume, strict=True)]
    candles, fifteen = minutes(rows), Timeframe.parse("15m")
    assert same(resample(candles, fifteen), resample(resample(candles, FIVE), fifteen))


def test_nothing_complete_gives_nothing():
    """Four of five minutes, or none at all, are no bar."""
    assert len(resample(minutes([(i, 1, 1, 1, 1, 1) for i in (0, 1, 2, 4)]), FIVE)) == 0
    assert len(resample(minutes([]), FIVE)) == 0


@pytest.mark.parametrize(("short", "long"), [("5m", "1m"), ("5m", "5m"), ("2m", "5m"), ("1h", "90m")])
def test_lengths_that_do_not_divide_are_refused(short, long):
    """Shorter, equal, or not a multiple."""
    to = Timeframe.parse(long)
    assert not divides(Timeframe.parse(short), to)
    with pytest.raises(TimeframeError, match=f"bars of {short} do not add up to bars of {to.name}"):
        resample(minutes([(0, 1, 1, 1, 1, 1)], timeframe=Timeframe.parse(short)), to)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "SOLUSDT", "XRPUSDT"])
def test_real_minutes_give_the_venues_own_bars(symbol):
    """30 days of 1m bars from one archive equal the 5m bars of another, volumes included, without any tolerance."""
    minute = FileSource(real_data_dir() / "marketswarm_um").candles(symbol, ONE)
    made = resample(minute, FIVE)
    start, end = int(made.open_time[0]), int(made.open_time[-1]) + FIVE.ms
    genuine = FileSource(real_data_dir() / "marketlab_um").candles(symbol, FIVE).between(start, end)
    assert len(made) == 8_639
    assert same(made, genuine)
    # All but the partial edges: less than one bar of minutes is left over on either side.
    assert len(minute) - 5 * len(made) < 2 * 5
    assert DAY_MS * 30 - (end - start) == FIVE.ms
