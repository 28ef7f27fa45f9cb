"""What does the venue say about itself: its time, its markets, their turnover?"""

import time
from dataclasses import dataclass
from typing import Any

from infra.sources.exchange_client import ExchangeClient

__all__ = ["ClockCheck", "Listing", "Ticker", "listings_of", "read_clock", "read_tickers"]

_BINANCE_ALL_TICKERS_WEIGHT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCheck:
    """The venue's clock beside ours (ms UTC): ``local_ms`` is ours in the middle of the round trip."""

    venue_ms: int
    local_ms: int
    round_trip_ms: float

    @property
    def skew_ms(self) -> int:
        """How far the venue's clock is ahead of ours."""
        return self.venue_ms - self.local_ms

    @property
    def slower_ms(self) -> int:
        """What has passed by both clocks has passed."""
        return min(self.venue_ms, self.local_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A linear perpetual in the venue's list, traded (``active``) or not any more."""

    symbol: str
    quote: str
    listed_ms: int | None
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """The last price of a market and its turnover of 24 hours in quote units, at ``time_ms`` of the venue's clock."""

    symbol: str
    price: float
    turnover_24h: float
    time_ms: int


async def read_clock(client: ExchangeClient, *, tries: int) -> ClockCheck:
    """The check with the shortest round trip of ``tries``."""
    checks = [await client.call("server time", lambda: _check(client.api)) for _ in range(tries)]
    return min(checks, key=lambda check: check.round_trip_ms)


def listings_of(client: ExchangeClient) -> tuple[Listing, ...]:
    """All linear perpetuals of the list of markets that the client has loaded, by name."""
    return tuple(
        Listing(symbol=name, quote=one["quote"], listed_ms=one["created"], active=bool(one["active"]))
        for name, one in sorted(client.markets.items())
    )


async def read_tickers(client: ExchangeClient) -> tuple[Ticker, ...]:
    """The tickers of all linear perpetuals, by name; one call."""
    bybit = client.options.exchange == "bybit"
    rows: tuple[Ticker, ...] = await client.call(
        "tickers",
        lambda: (_bybit_tickers if bybit else _binance_tickers)(client.api),
        cost=1 if bybit else _BINANCE_ALL_TICKERS_WEIGHT,
    )
    return tuple(sorted((row for row in rows if row.symbol in client.markets), key=lambda row: row.symbol))


async def _check(api: Any) -> ClockCheck:
    began_ns, began = time.time_ns(), time.perf_counter()
    venue_ms = await api.fetch_time()
    round_trip_ms = 1000.0 * (time.perf_counter() - began)
    if venue_ms is None:
        raise _malformed("no time")
    local_ms = began_ns // 1_000_000 + round(round_trip_ms / 2)
    return ClockCheck(venue_ms=int(venue_ms), local_ms=local_ms, round_trip_ms=round_trip_ms)


async def _binance_tickers(api: Any) -> tuple[Ticker, ...]:
    answer = await api.fapiPublicGetTicker24hr()
    return _tickers(answer, price="lastPrice", turnover="quoteVolume", time_ms=None)


async def _bybit_tickers(api: Any) -> tuple[Ticker, ...]:
    answer = await api.publicGetV5MarketTickers({"category": "linear"})
    rows = (answer.get("result") or {}).get("list")
    return _tickers(rows, price="lastPrice", turnover="turnover24h", time_ms=int(answer["time"]))


def _tickers(rows: Any, *, price: str, turnover: str, time_ms: int | None) -> tuple[Ticker, ...]:
    try:
        return tuple(
            Ticker(
                symbol=row["symbol"],
                price=float(row[price]),
                turnover_24h=float(row[turnover]),
                time_ms=int(row["closeTime"]) if time_ms is None else time_ms,
            )
            for row in rows
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed("tickers that cannot be read") from error


def _malformed(what: str) -> Exception:
    import ccxt

    return ccxt.BadResponse(what)  # type: ignore[no-any-return]
