"""Which histories does a venue started by hand serve?

Real candles, funding, open interest and mark prices of folders laid out like ``../shared/data``
(``candles_5m/BTCUSDT.parquet`` beside ``funding``, ``open_interest_5m`` and ``mark_1h``), read as they are: nothing is
checked or repaired, because a venue's own errors are what a client must survive. Without a folder, synthetic markets
under names that look real, which must never be taken for real ones.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from infra.open_interest import OpenInterestStamps
from market.basis import MarkStamps
from market.candles import Candles
from market.funding import FundingStamps
from market.timeframe import DAY_MS, HOUR_MS, Timeframe
from tests.loopback_exchange.markets import LoopbackMarket

__all__ = ["real_markets", "synthetic_markets"]

_PRICES = ("open", "high", "low", "close", "volume")


def real_markets(
    folders: Sequence[Path], *, timeframe: Timeframe, symbols: Sequence[str] | None = None
) -> dict[str, LoopbackMarket]:
    """Every market with candles of this length in these folders; the first folder that has something of it wins."""
    candles = _found(folders, (f"candles_{timeframe.name}", f"klines_{timeframe.name}"))
    funding = _found(folders, ("funding",))
    interest = _found(folders, (f"open_interest_{timeframe.name}",))
    marks = _found(folders, ("mark_1h",))
    names = sorted(candles) if symbols is None else [name for name in symbols if name in candles]
    return {
        name: LoopbackMarket(
            candles=_candles(candles[name], name, timeframe),
            funding=_funding(funding[name], name) if name in funding else None,
            open_interest=_interest(interest[name], name) if name in interest else None,
            mark=_mark(marks[name], name) if name in marks else None,
        )
        for name in names
    }


def synthetic_markets(
    count: int, *, timeframe: Timeframe, start_ms: int, days: int, seed: int = 0
) -> dict[str, LoopbackMarket]:
    """Made-up markets called BTCUSDT, ETHUSDT and so on: a client refuses the names that synthetic ones have."""
    from infra.sources.synthetic import synthetic_market, synthetic_symbols

    made = synthetic_market(
        synthetic_symbols(count), timeframe=timeframe, start_ms=start_ms // DAY_MS * DAY_MS, days=days, seed=seed
    )
    return {
        name.removeprefix("SYN"): LoopbackMarket(
            candles=dataclasses.replace(history.candles, symbol=name.removeprefix("SYN")),
            funding=history.funding,
            open_interest=history.open_interest,
            mark=history.mark,
        )
        for name, history in made.items()
    }


def _found(folders: Sequence[Path], kinds: Sequence[str]) -> dict[str, Path]:
    """Files by symbol."""
    files: dict[str, Path] = {}
    for folder in folders:
        for kind in kinds:
            for path in sorted((folder / kind).glob("*.parquet")):
                files.setdefault(path.stem, path)
    return files


def _columns(path: Path, names: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
    table = pq.read_table(path, columns=["timestamp", *names])
    times = table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    return times, [table[name].to_numpy().astype(np.float64) for name in names]


def _candles(path: Path, symbol: str, timeframe: Timeframe) -> Candles:
    times, values = _columns(path, _PRICES)
    return Candles(symbol=symbol, timeframe=timeframe, open_time=times, **dict(zip(_PRICES, values, strict=True)))


def _funding(path: Path, symbol: str) -> FundingStamps:
    times, (rate,) = _columns(path, ["funding_rate"])
    return FundingStamps(symbol=symbol, time=times, rate=rate)


def _interest(path: Path, symbol: str) -> OpenInterestStamps:
    times, (value,) = _columns(path, ["open_interest"])
    return OpenInterestStamps(symbol=symbol, time=times, value=value)


def _mark(path: Path, symbol: str) -> MarkStamps:
    times, (price,) = _columns(path, ["close"])
    return MarkStamps(symbol=symbol, time=times + HOUR_MS, price=price)
