"""Options mean what was typed."""

import pytest

from cli.options import split_symbols
from market.errors import LockstepError


def test_symbols_in_any_spelling_each_once():
    """In the order given; without the option there are none."""
    assert split_symbols("BTC/USDT:USDT, ETHUSDT,BTCUSDT,") == ("BTCUSDT", "ETHUSDT")
    assert split_symbols(None) == ()


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_an_option_that_names_no_symbol_is_refused(text):
    """An empty variable in a script must not ask for every symbol."""
    with pytest.raises(LockstepError, match="no symbol in"):
        split_symbols(text)
