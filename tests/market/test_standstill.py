"""Is a feed that repeats itself told from a quiet market, also on what real markets did?"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.sources.files import FileSource
from market.candles import Candles
from market.grid import to_grid
from market.standstill import is_standing_still, stands_still_at
from market.timeframe import Timeframe
from tests.real_data import real_data_dir

FIVE = Timeframe.parse("5m")
COLUMNS = ("open", "high", "low", "close")


def by_looking(rows: list[tuple[float, ...]], bars: int) -> bool:
    """The rule as a person would apply it, bar by bar; a row is (open, high, low, close, volume)."""
    last = rows[-bars:]
    repeated = all(row[:4] == last[0][:4] for row in last)
    silent = all(row[4] == 0 and row[3] == last[0][3] for row in last)
    return len(rows) >= bars and (repeated or silent)


@given(
    rows=st.lists(st.tuples(*[st.sampled_from([1.0, 2.0])] * 4, st.sampled_from([0.0, 3.0])), min_size=1, max_size=6),
    bars=st.integers(1, 6),
)
def test_it_is_the_rule_applied_by_hand(rows, bars):
    """Every short history, judged as a person would."""
    columns = np.array(rows).T
    assert is_standing_still(*columns, bars=bars) == by_looking(rows, bars)


def candles(index: list[int], close: list[float], volume: list[float]) -> Candles:
    """Bars at these places of the grid."""
    prices = np.array(close)
    return Candles(
        symbol="BTCUSDT",
        timeframe=FIVE,
        open_time=np.array(index, dtype=np.int64) * FIVE.ms,
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=np.array(volume),
    )


def test_filled_bars_do_not_count():
    """A hole is filled flat and silent: three real bars that moved are not standing still because of it."""
    moved = to_grid(candles([100, 101, 102], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0]), end_index=120)
    assert not stands_still_at(moved, 119, bars=3)
    still = to_grid(candles([100, 101, 104], [3.0, 3.0, 3.0], [1.0, 2.0, 3.0]), end_index=120)
    assert stands_still_at(still, 104, bars=3)
    assert not stands_still_at(still, 103, bars=3)
    assert not stands_still_at(still, 99, bars=3)
    assert stands_still_at(still, 111, bars=3)
    assert not stands_still_at(still, 117, bars=3), "the bars lie further back than four times as many"


def frozen_bars(history: Candles, bars: int) -> np.ndarray:
    """``(n,)`` where the rule holds, by lengths of runs: another way to compute it, for millions of bars."""
    same = np.ones(len(history), dtype=bool)
    for name in COLUMNS:
        column = getattr(history, name)
        same[1:] &= column[1:] == column[:-1]
    silent = history.volume == 0
    quiet = silent.copy()
    quiet[1:] &= silent[:-1] & (history.close[1:] == history.close[:-1])
    return (_run(same) >= bars) | (_run(quiet) >= bars)


def _run(follows: np.ndarray) -> np.ndarray:
    """Length of the run that ends at each bar, where ``follows`` says that a bar is like the one before."""
    at = np.arange(follows.size)
    return at - np.maximum.accumulate(np.where(follows & (at > 0), 0, at)) + 1


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("marketlab_um", lambda name: True),
        ("genetic_um", lambda name: True),
        ("alpergulsen_um", lambda name: name != "USDCUSDT"),
        ("marketlab_spot", lambda name: name != "USD1USDT"),
    ],
)
def test_no_real_market_with_a_moving_price_is_taken_for_frozen(source: str, held: Callable[[str], bool]):
    """Of two million real bars none, outages of the exchange included."""
    place = real_data_dir() / source
    names = sorted(path.stem for path in (place / "candles_5m").glob("*.parquet") if held(path.stem))
    histories = [FileSource(place).candles(name, FIVE) for name in names]
    assert sum(map(len, histories)) > 100_000
    assert {history.symbol: int(frozen_bars(history, 12).sum()) for history in histories} == dict.fromkeys(names, 0)


@pytest.mark.parametrize(
    ("source", "symbol", "frozen"), [("marketlab_spot", "USD1USDT", 45), ("alpergulsen_um", "USDCUSDT", 23)]
)
def test_a_stable_coin_stands_still_for_an_hour_now_and_then(source: str, symbol: str, frozen: int):
    """The only ones that do; function and run lengths agree around each such bar."""
    history = FileSource(real_data_dir() / source).candles(symbol, FIVE)
    expected = frozen_bars(history, 12)
    assert int(expected.sum()) == frozen
    near = np.flatnonzero(np.convolve(expected, np.ones(5), mode="same") > 0)
    columns = [getattr(history, name) for name in (*COLUMNS, "volume")]
    found = [is_standing_still(*(column[: k + 1] for column in columns), bars=12) for k in near]
    assert found == expected[near].tolist()
