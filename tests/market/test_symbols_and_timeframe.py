"""Are markets and bars named one way, whatever the user types?"""

import pytest

from market.errors import LockstepError, SymbolError, TimeframeError
from market.symbols import ccxt_symbol, is_synthetic, venue_symbol
from market.timeframe import Timeframe


@pytest.mark.parametrize("text", ["BTCUSDT", "btcusdt", "BTC/USDT:USDT", "BTC/USDT", "BTC_USDT_USDT", " BTC-USDT "])
def test_every_spelling_is_one_symbol(text):
    """Venue, ccxt and file spellings meet in the venue's name."""
    assert venue_symbol(text) == "BTCUSDT"


@pytest.mark.parametrize("text", ["", "B", "BTC USDT", "../etc/passwd", "BTC$"])
def test_what_is_no_symbol_is_refused(text):
    """A symbol becomes a folder name, so nothing odd passes."""
    with pytest.raises(SymbolError):
        venue_symbol(text)


def test_ccxt_spelling_and_unknown_quotes():
    """A linear perpetual in ccxt's spelling; an unknown quote is not guessed."""
    assert ccxt_symbol("1000PEPEUSDT") == "1000PEPE/USDT:USDT"
    with pytest.raises(SymbolError, match="quote"):
        ccxt_symbol("BTCXYZ")


def test_synthetic_symbols_are_recognised():
    """Synthetic markets carry their mark in the name."""
    assert is_synthetic("SYNBTCUSDT")
    assert not is_synthetic("BTCUSDT")
    assert not is_synthetic("SYNUSDT")  # a real coin


@pytest.mark.parametrize(("name", "ms"), [("1m", 60_000), ("5m", 300_000), ("4h", 14_400_000), ("1d", 86_400_000)])
def test_timeframes_round_trip(name, ms):
    """A timeframe reads and prints the venue's name."""
    assert Timeframe.parse(name).ms == ms
    assert Timeframe.parse(name).name == name


@pytest.mark.parametrize("name", ["", "5", "m", "0m", "7m", "5 m", "2d", "1w"])
def test_timeframes_that_do_not_divide_a_day_are_refused(name):
    """Absolute bar indices need bars that tile days."""
    with pytest.raises(TimeframeError):
        Timeframe.parse(name)


def test_bar_index_and_times_agree():
    """A bar contains its open and not its close."""
    five = Timeframe.parse("5m")
    index = five.index_of(1_735_603_200_123)
    assert five.open_time(index) == 1_735_603_200_000
    assert five.index_of(five.close_time(index) - 1) == index
    assert five.index_of(five.close_time(index)) == index + 1
    assert five.bars_per_year == 105_120


def test_errors_are_one_line_and_survive_another_process():
    """A refusal keeps its three parts when it crosses a process boundary."""
    error = LockstepError("a\nb", why="c", remedy="d")
    rebuild, parts = error.__reduce__()[0], error.__reduce__()[1]
    again = rebuild(*parts)
    assert str(again) == str(error) == "a b: c. What to do: d."
