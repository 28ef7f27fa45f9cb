"""Small candle histories for the tests of the lake."""

import numpy as np

from market.candles import Candles
from market.timeframe import Timeframe

FIVE = Timeframe.parse("5m")
JANUARY_31 = 1_738_281_600_000  # 2025-01-31 00:00 UTC


def walk(n: int, *, symbol: str = "BTCUSDT", start_ms: int = JANUARY_31, seed: int = 0) -> Candles:
    """``n`` bars of a seeded random walk; a longer one begins with the same bars."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, n))), 4)
    opened = np.concatenate((close[:1], close[:-1]))
    return Candles(
        symbol=symbol,
        timeframe=FIVE,
        open_time=start_ms + np.arange(n, dtype=np.int64) * FIVE.ms,
        open=opened,
        high=np.maximum(opened, close) + 0.01,
        low=np.minimum(opened, close) - 0.01,
        close=close,
        volume=np.round(np.random.default_rng(seed + 1).random(n) * 10, 3),
    )


def bar(open_time: int, close: float, *, symbol: str = "BTCUSDT") -> Candles:
    """One flat bar."""
    price = np.array([close])
    return Candles(
        symbol=symbol,
        timeframe=FIVE,
        open_time=np.array([open_time], dtype=np.int64),
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(1),
    )


def same(left: Candles, right: Candles) -> bool:
    """Whether both hold the same bars, bit for bit."""
    names = ("open_time", "open", "high", "low", "close", "volume")
    return all(getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in names)
