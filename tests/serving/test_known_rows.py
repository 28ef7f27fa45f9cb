"""Which rows a decision knew, against an oracle that asks the lake anew at every bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.lake import Lake
from infra.lake_rows import rows_as_of
from market.candles import Candles
from market.timeframe import Timeframe
from serving.known_rows import Clock, read_candles

FIVE = Timeframe.parse("5m")
FIRST = 5_785_344
DELAY = 60_000


def bars(index, price) -> Candles:
    price = np.asarray(price, dtype=np.float64)
    return Candles(
        symbol="BTCUSDT",
        timeframe=FIVE,
        open_time=np.asarray(index, dtype=np.int64) * FIVE.ms,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price,
        volume=np.ones(price.size),
    )


def known(lake: Lake, clock: Clock, n: int):
    return read_candles(lake, "BTCUSDT", clock=clock, start_ms=FIVE.open_time(FIRST), end_ms=FIVE.open_time(FIRST + n))


@pytest.mark.parametrize(("after_close_ms", "seen_at"), [(0, 3), (DELAY, 3), (DELAY + 1, 4), (DELAY + FIVE.ms, 4)])
def test_a_row_is_seen_by_the_first_decision_after_it_was_known(tmp_path, after_close_ms, seen_at):
    """Known at the moment of the decision is known; a millisecond later it is the next bar's."""
    lake = Lake(tmp_path)
    lake.append_candles(
        bars([FIRST + 3], [100.0]), source="test", known_at_ms=FIVE.close_time(FIRST + 3) + after_close_ms
    )
    rows = known(lake, Clock(timeframe=FIVE, delay_ms=DELAY), 10)
    assert (rows.visible - FIRST).tolist() == [seen_at]
    assert rows.arrivals().tolist() == ([] if seen_at == 3 else [FIRST + seen_at])


def test_caught_up_bars_know_everything_known_by_then_and_nothing_later(tmp_path):
    """With one fixed moment a revision known by it counts from its own bar on, a later one never."""
    lake = Lake(tmp_path)
    lake.append_candles(bars([FIRST, FIRST + 1], [100.0, 101.0]), source="test")
    moment = FIVE.close_time(FIRST + 5)
    lake.append_candles(bars([FIRST], [200.0]), source="test", known_at_ms=moment)
    lake.append_candles(bars([FIRST + 1], [300.0]), source="test", known_at_ms=moment + 1)
    rows = known(lake, Clock(timeframe=FIVE, delay_ms=DELAY, as_of_ms=moment), 10)
    assert rows.known_at(FIRST + 1).values[0].tolist() == [200.0, 101.0]
    assert rows.arrivals().size == 0


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_bar_knows_exactly_what_the_lake_tells_as_of_its_decision(tmp_path_factory, data):
    """Late rows, holes and revisions at random: both cuts equal a fresh as-of read at each bar."""
    n = 8
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for bar in range(n):
        moment = FIVE.close_time(FIRST + bar)
        for version in range(data.draw(st.integers(0, 3))):
            moment += data.draw(st.integers(0 if version == 0 else 1, 3 * FIVE.ms))
            lake.append_candles(bars([FIRST + bar], [100.0 + bar + 50.0 * version]), source="t", known_at_ms=moment)
    clock = Clock(timeframe=FIVE, delay_ms=DELAY)
    rows = known(lake, clock, n)
    base = rows.expected_at(FIRST)
    since = FIRST
    for index in range(FIRST, FIRST + n):
        truth = lake.candles("BTCUSDT", FIVE, end_ms=FIVE.open_time(index + 1), as_of_ms=clock.decided_at(index))
        for found in (rows.known_at(index), rows.expected_at(index)):
            kept = found.time <= FIVE.open_time(index)
            np.testing.assert_array_equal(found.time[kept], truth.open_time)
            np.testing.assert_array_equal(found.values[0][kept], truth.open)
        if index in rows.arrivals():
            since, base = index, rows.expected_at(index)
        kept = base.time <= FIVE.open_time(index)
        np.testing.assert_array_equal(base.time[kept], truth.open_time, err_msg=f"built at {since - FIRST}")
        np.testing.assert_array_equal(base.values[0][kept], truth.open)
    assert len(rows_as_of(rows.rows, None)) == len(lake.candles("BTCUSDT", FIVE))
