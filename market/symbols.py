"""What is this market called, in every spelling our users meet?

Inside Lockstep a perpetual is named as the venue names it (``BTCUSDT``). ccxt's unified spelling
(``BTC/USDT:USDT``) and freqtrade's file names (``BTC_USDT_USDT-5m-futures``) are read and written here.

    >>> venue_symbol("BTC/USDT:USDT"), ccxt_symbol("BTCUSDT"), venue_symbol("1000PEPE_USDT_USDT")
    ('BTCUSDT', 'BTC/USDT:USDT', '1000PEPEUSDT')
"""

import re

from market.errors import SymbolError

__all__ = ["SYNTHETIC_PREFIX", "ccxt_symbol", "is_synthetic", "venue_symbol"]

SYNTHETIC_PREFIX = "SYN"
# At least two characters before the quote: SYNBTCUSDT is ours, SYNUSDT is a real coin.
_SYNTHETIC = re.compile(SYNTHETIC_PREFIX + r"[A-Z0-9]{2,}USDT")
_QUOTES = ("USDT", "USDC", "FDUSD", "BTC", "ETH", "BNB")


def venue_symbol(text: str) -> str:
    """``BTC/USDT:USDT``, ``BTC_USDT_USDT``, ``BTC/USDT`` or ``btcusdt`` as ``BTCUSDT``."""
    name = text.strip().upper().split(":")[0]
    parts = re.split(r"[/_-]", name)
    joined = "".join(parts[:2])
    if not re.fullmatch(r"[A-Z0-9]{3,30}", joined):
        raise SymbolError(
            f"symbol {text!r}",
            why="it is neither a venue spelling nor ccxt's",
            remedy="write it as BTCUSDT or BTC/USDT:USDT",
        )
    return joined


def ccxt_symbol(symbol: str) -> str:
    """A linear perpetual in ccxt's unified spelling."""
    name = venue_symbol(symbol)
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return f"{name[: -len(quote)]}/{quote}:{quote}"
    raise SymbolError(
        f"symbol {symbol!r}",
        why=f"its quote currency is none of {', '.join(_QUOTES)}",
        remedy="write it in ccxt's spelling, for example BTC/USDT:USDT",
    )


def is_synthetic(symbol: str) -> bool:
    """Whether the symbol belongs to the synthetic market, which never reaches real trading."""
    return _SYNTHETIC.fullmatch(symbol) is not None
