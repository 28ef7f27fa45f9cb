"""Do the candle rules refuse each kind of broken bar, and name it?"""

import numpy as np
import pytest

from market.candles import Candles, check_candles, infer_timeframe
from market.errors import CandleError
from market.timeframe import Timeframe

FIVE = Timeframe.parse("5m")


def candles(n: int = 6, **changes: np.ndarray) -> Candles:
    """A rising market of ``n`` bars with the given columns replaced."""
    price = 100.0 + np.arange(n)
    columns = {
        "open_time": 1_735_603_200_000 + np.arange(n, dtype=np.int64) * FIVE.ms,
        "open": price,
        "high": price + 2,
        "low": price - 2,
        "close": price + 1,
        "volume": np.ones(n),
    } | changes
    return Candles(symbol="BTCUSDT", timeframe=FIVE, **columns)


def with_value(column: str, row: int, value: float) -> Candles:
    """The same market with one value replaced."""
    changed = getattr(candles(), column).copy()
    changed[row] = value
    return candles(**{column: changed})


def test_sound_candles_pass():
    """A market without a broken bar is accepted."""
    check_candles(candles())


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        ("high", 2, 90.0, "high below low"),
        ("low", 1, 200.0, "high below low"),
        ("close", 3, 150.0, "outside high and low"),
        ("open", 3, 50.0, "outside high and low"),
        ("open", 3, 150.0, "outside high and low"),
        ("close", 3, 50.0, "outside high and low"),
        ("low", 4, -1.0, "zero or negative"),
        ("close", 0, 0.0, "zero or negative"),
        ("open", 2, 0.0, "zero or negative"),
        ("open", 5, np.nan, "missing or infinite"),
        ("high", 5, np.nan, "missing or infinite"),
        ("low", 5, np.nan, "missing or infinite"),
        ("close", 5, np.nan, "missing or infinite"),
        ("volume", 5, np.nan, "missing or infinite"),
        ("volume", 5, np.inf, "missing or infinite"),
        ("volume", 1, -3.0, "negative volume"),
        ("open_time", 3, 1_735_603_200_000 + 2 * 300_000, "duplicate bar"),
        ("open_time", 3, 1_735_603_200_000, "out of order"),
        ("open_time", 3, 1_735_603_200_000 + 3 * 300_000 + 60_000, "mixed timeframes"),
    ],
)
def test_one_broken_value_is_refused_with_its_rule(column, row, value, said):
    """Each rule has one violating bar, and the message names the rule and the symbol."""
    with pytest.raises(CandleError, match=said) as caught:
        check_candles(with_value(column, row, value))
    assert "BTCUSDT" in str(caught.value)
    assert "What to do" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_history_is_refused():
    """No bars at all is an error, not an empty success."""
    with pytest.raises(CandleError, match="no bars"):
        check_candles(candles(0))


def test_columns_of_different_lengths_are_refused():
    """A short column would shift bars against each other."""
    with pytest.raises(CandleError, match="different lengths"):
        check_candles(candles(volume=np.ones(3)))


def test_between_is_half_open():
    """A cut keeps its first bar and leaves out its last."""
    cut = candles().between(1_735_603_200_000 + FIVE.ms, 1_735_603_200_000 + 3 * FIVE.ms)
    assert cut.open.tolist() == [101.0, 102.0]


def test_timeframe_is_the_smallest_step_and_needs_two_bars():
    """A gap does not change the timeframe; one bar does not have one."""
    assert infer_timeframe(candles().open_time[[0, 1, 4]], symbol="X") == FIVE
    with pytest.raises(CandleError, match="fewer than two"):
        infer_timeframe(candles(1).open_time, symbol="X")
