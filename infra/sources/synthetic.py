"""What would a market look like that nobody trades?

A seeded market for demonstrations and tests: correlated symbols with changing regimes, clustered volatility, fat tails,
funding that follows returns, open interest that follows activity, a mark price from which the last price strays as
funding does, takers who buy more while a bar rises, and a weak *planted edge* of known strength. The
edge is a drift that depends only on what is known at the close of a bar (``synthetic_kernel``), so ordinary features
can find it. Symbols begin with ``SYN`` and rows carry the source ``synthetic``: nothing learnt here is ever promoted
to trade real markets.

The same arguments give the same bytes. Each symbol and each day draws from a stream of its own, so more days only
append, and more symbols change nothing for those already there. Mark prices and takers draw from streams apart, so bars
are what they would be without them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from infra.errors import SourceError
from infra.lake_snapshot import SYNTHETIC_SOURCE
from infra.open_interest import OpenInterestStamps
from infra.sources.cutting import between, times_of
from infra.sources.protocol import FetchRequest, Kind, MarketHistory, MarketValues
from infra.sources.synthetic_kernel import DRAWS, factor_path, symbol_path
from market.basis import MarkStamps
from market.candles import Candles, Floats, Ints, check_candles
from market.funding import FundingStamps
from market.symbols import is_synthetic
from market.taker_flow import TakerShares, taker_shares
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe

__all__ = ["SyntheticSource", "synthetic_market", "synthetic_symbols"]

_COINS = ("BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "AVAX", "LINK", "DOT", "LTC", "TRX")
_PRICES = (60_000.0, 3_000.0, 150.0, 0.6, 500.0, 0.15, 0.45, 30.0, 15.0, 6.0, 80.0, 0.12)
_FUNDING_MS = 8 * HOUR_MS
_DAILY_VOLATILITY = 0.03
_DIGITS = 6
_ASIDE = 2  # standard normals a bar for what is not a bar's own: 0 the mark price, 1 takers
_MARK_NOISE = 1e-4  # deviation of the last price from the mark beyond what funding explains
_USUAL_FUNDING = 1e-4


def synthetic_symbols(count: int) -> tuple[str, ...]:
    """The first ``count`` synthetic symbols, the reference ``SYNBTCUSDT`` first."""
    more = tuple(f"X{k:03d}" for k in range(len(_COINS), count))
    return tuple(f"SYN{coin}USDT" for coin in (_COINS + more)[:count])


def synthetic_market(
    symbols: Sequence[str], *, timeframe: Timeframe, start_ms: int, days: int, seed: int, edge: float = 1.0
) -> dict[str, MarketHistory]:
    """Candles, 8-hourly funding, hourly mark prices, and one open interest stamp and one takers' share a bar.

    For each symbol, ``days`` days from ``start_ms``.

    ``edge`` scales the planted drift: 0 is a market without any, 1 the strength the demonstration is built on.
    """
    _check(symbols, timeframe=timeframe, start_ms=start_ms, days=days)
    n = days * timeframe.bars_per_day
    scale = _DAILY_VOLATILITY * float(np.sqrt(timeframe.ms / DAY_MS))
    factor = factor_path(_draws("factor", seed=seed, days=days, per_day=timeframe.bars_per_day), scale)
    open_time = start_ms + np.arange(n, dtype=np.int64) * timeframe.ms
    return {
        name: _history(name, factor, open_time=open_time, timeframe=timeframe, seed=seed, edge=edge, scale=scale)
        for name in symbols
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSource:
    """The synthetic market as a source: its history begins at ``start_ms`` and never ends."""

    start_ms: int
    seed: int
    edge: float = 1.0

    @property
    def name(self) -> str:
        """What the lake stores beside each row."""
        return SYNTHETIC_SOURCE

    def fetch(self, request: FetchRequest) -> Iterator[MarketValues]:
        """The part of the market in the window, from ``start_ms`` on."""
        days = -(-(request.end_ms - self.start_ms) // DAY_MS)
        if days <= 0:
            return
        history = synthetic_market(
            (request.symbol,),
            timeframe=request.timeframe,
            start_ms=self.start_ms,
            days=days,
            seed=self.seed,
            edge=self.edge,
        )[request.symbol]
        held: MarketValues | None = getattr(history, request.kind)
        if held is not None:
            inside = between(held, request.start_ms, request.end_ms)
            yield from (inside,) if request.kind is not Kind.CANDLES or times_of(inside).size else ()


def _history(
    name: str, factor: Floats, *, open_time: Ints, timeframe: Timeframe, seed: int, edge: float, scale: float
) -> MarketHistory:
    per_day = timeframe.bars_per_day
    draws = _draws(name, seed=seed, days=open_time.size // per_day, per_day=per_day)
    price, beta, wildness = _character(name)
    bars_of_5m = timeframe.ms / (5 * MINUTE_MS)
    path = symbol_path(factor, draws, scale=scale, beta=beta, wildness=wildness, edge=edge, bars_of_5m=bars_of_5m)
    log_price, volume, premium, interest = path[:, :4], path[:, 4], path[:, 5], path[:, 6]
    prices = _rounded(price * np.exp(log_price))
    candles = Candles(
        symbol=name,
        timeframe=timeframe,
        open_time=open_time,
        open=prices[:, 0].copy(),
        high=prices[:, 1].copy(),
        low=prices[:, 2].copy(),
        close=prices[:, 3].copy(),
        volume=np.round(volume * 2e6 / price * bars_of_5m, 3),
    )
    check_candles(candles)
    settles = open_time % _FUNDING_MS < timeframe.ms
    stamps = -(-open_time[settles] // _FUNDING_MS) * _FUNDING_MS
    aside = _draws(f"{name} aside", seed=seed, days=open_time.size // per_day, per_day=per_day, width=_ASIDE)
    return MarketHistory(
        candles=candles,
        funding=FundingStamps(symbol=name, time=stamps, rate=np.round(premium[settles], 8)),
        open_interest=OpenInterestStamps(symbol=name, time=open_time, value=np.round(interest * 5e8 / price, 3)),
        mark=_mark(candles, premium - _USUAL_FUNDING + _MARK_NOISE * aside[:, 0]),
        taker=_taker(candles, (log_price[:, 3] - log_price[:, 0]) / scale, aside[:, 1]),
    )


def _mark(candles: Candles, basis: Floats) -> MarkStamps:
    """Mark prices at full hours, from which the closes stray by ``basis``."""
    close_time = candles.open_time + candles.timeframe.ms
    hourly = close_time % HOUR_MS == 0
    price = candles.close[hourly] / (1.0 + basis[hourly])
    digits = 2 + _DIGITS - 1 - int(np.floor(np.log10(candles.close[0])))
    return MarkStamps(symbol=candles.symbol, time=close_time[hourly], price=np.round(price, digits))


def _taker(candles: Candles, move: Floats, chance: Floats) -> TakerShares:
    """Takers buy more of a bar that rises; ``move`` is its log return in usual ones."""
    share = 1.0 / (1.0 + np.exp(-0.3 * np.clip(move, -4.0, 4.0) - 0.4 * chance))
    return taker_shares(candles, np.round(share, 6) * candles.volume)


def _draws(name: str, *, seed: int, days: int, per_day: int, width: int = DRAWS) -> Floats:
    """``(days * per_day, width)`` standard normals, each day from its own stream."""
    key = int.from_bytes(sha256(name.encode()).digest()[:8], "big")
    out = np.empty((days * per_day, width))
    for day in range(days):
        stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, key, day))))
        out[day * per_day : (day + 1) * per_day] = stream.standard_normal((per_day, width))
    return out


def _character(name: str) -> tuple[float, float, float]:
    """First price, beta to the common factor and own volatility relative to it: a fixed function of the name."""
    coin = name.removeprefix("SYN").removesuffix("USDT")
    digest = sha256(name.encode()).digest()
    if coin == _COINS[0]:
        return _PRICES[0], 0.6, 0.5
    price = _PRICES[_COINS.index(coin)] if coin in _COINS else 1.0 + digest[0] / 4
    return price, 0.6 + digest[1] / 1024, 0.8 + digest[2] / 1024


def _rounded(values: Floats) -> Floats:
    """Prices on a tick of six significant digits of the first, as venues quote; rounding keeps their order."""
    places = _DIGITS - 1 - int(np.floor(np.log10(values[0, 0])))
    tick = 10.0**-places
    return np.maximum(np.round(values, places), tick)


def _check(symbols: Sequence[str], *, timeframe: Timeframe, start_ms: int, days: int) -> None:
    wrong = [name for name in symbols if not is_synthetic(name)]
    if wrong:
        raise SourceError(
            f"{wrong[0]} is not a synthetic symbol",
            why="made-up bars must never carry the name of a real market",
            remedy=f"use names such as {', '.join(synthetic_symbols(3))}",
        )
    if days < 1 or start_ms % timeframe.ms:
        raise SourceError(
            f"a synthetic market of {days} day(s) from {start_ms} ms",
            why=f"it needs at least one day and a start on the {timeframe.name} grid",
            remedy="choose a start at midnight UTC and one day or more",
        )
