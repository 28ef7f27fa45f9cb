"""What is the venue's state: its markets, its clock, its faults, and the log of what was asked?

All of it may be changed while it runs. Both protocols answer from the same state, so a test may ask one venue and then
the other for the same history.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from market.candles import Candles, Ints
from market.timeframe import HOUR_MS, Timeframe
from tests.loopback_exchange.faults import Fault
from tests.loopback_exchange.limits import BinanceLimits, BybitLimits
from tests.loopback_exchange.markets import LoopbackMarket, resampled
from tests.loopback_exchange.texts import TextCache

__all__ = ["VENUES", "LoopbackExchange", "PickedCandles", "Reply"]

VENUES = ("binanceusdm", "bybit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it goes on the wire; ``rows`` apart, so that a fault can change them, None where there are none."""

    head: bytes = b""
    rows: bytes | None = None
    tail: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join((self.head, self.rows or b"", self.tail))

    @classmethod
    def of(cls, value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> "Reply":
        """A JSON value."""
        return cls(head=json.dumps(value, separators=(",", ":")).encode(), status=status, headers=headers or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedCandles:
    """The bars of one page: ascending positions ``rows`` in ``candles``, and the share known of those not final."""

    candles: Candles
    rows: Ints
    shares: dict[int, float]


class LoopbackExchange:
    """The venue. ``calls`` logs each call (path with query), ``most_at_once`` the most in flight at the same time.

    ``now_ms`` stands still, or runs ``speed`` times as fast as real time. ``says_offset_ms`` is added to the clock it
    tells, ``serves_offset_ms`` to the clock by which it decides what has happened. ``serves_forming`` False leaves out
    the bar that forms, which the venues never do.
    """

    def __init__(
        self,
        *,
        markets: dict[str, LoopbackMarket],
        now_ms: int,
        faults: Iterable[Fault] = (),
        venue: str | None = None,
        speed: float = 0.0,
        says_offset_ms: int = 0,
        serves_offset_ms: int = 0,
        serves_forming: bool = True,
        binance_limits: BinanceLimits | None = None,
        bybit_limits: BybitLimits | None = None,
    ) -> None:
        if venue not in (None, *VENUES):
            raise ValueError(f"venue {venue!r}: the loopback exchange speaks {' and '.join(VENUES)}")
        self.markets = markets
        self.faults = list(faults)
        self.venues = VENUES if venue is None else (venue,)
        self.speed = speed
        self.now_ms = now_ms
        self.says_offset_ms = says_offset_ms
        self.serves_offset_ms = serves_offset_ms
        self.serves_forming = serves_forming
        self.binance_limits = binance_limits or BinanceLimits()
        self.bybit_limits = bybit_limits or BybitLimits()
        self.calls: list[str] = []
        self.most_at_once = 0
        self.in_flight = 0
        self.texts = TextCache()
        self._hole_asks: dict[tuple[str, int], int] = {}

    @property
    def now_ms(self) -> int:
        """The venue's true time, ms UTC."""
        return self._set_ms + int(1000 * self.speed * (time.monotonic() - self._set_at_s))

    @now_ms.setter
    def now_ms(self, value: int) -> None:
        self._set_ms, self._set_at_s = value, time.monotonic()

    @property
    def says_ms(self) -> int:
        """The time it tells."""
        return self.now_ms + self.says_offset_ms

    @property
    def serves_ms(self) -> int:
        """The time up to which it serves."""
        return self.now_ms + self.serves_offset_ms

    def count(self, path: str) -> int:
        """How many calls had this in their path or query."""
        return sum(path in call for call in self.calls)

    def market(self, symbol: str | None) -> LoopbackMarket | None:
        """The market of this name, if the venue knows it at this time."""
        market = self.markets.get(symbol or "")
        return market if market is not None and market.known(self.serves_ms) else None

    def known_markets(self) -> dict[str, LoopbackMarket]:
        """Every market that the venue knows at this time."""
        return {name: market for name, market in self.markets.items() if market.known(self.serves_ms)}

    def candles(self, market: LoopbackMarket, timeframe: Timeframe) -> Candles | None:
        """Its bars of this length; None where they are shorter than those it holds."""
        held = market.candles
        if timeframe == held.timeframe:
            return held
        if timeframe.ms % held.timeframe.ms:
            return None
        return self.texts.get(market, f"candles {timeframe.name}", lambda: resampled(held, timeframe))

    def pick(
        self,
        market: LoopbackMarket,
        candles: Candles,
        *,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        oldest: bool,
    ) -> PickedCandles:
        """The bars with ``start_ms <= open time <= end_ms`` seen by now, the ``oldest`` or the newest ``limit``."""
        now, step = self.serves_ms, candles.timeframe.ms
        last = market.last_ms(now)
        end = last if end_ms is None else min(end_ms, last)
        if not self.serves_forming:
            end = min(end, now - step)
        rows = _window(candles.open_time, start_ms, end)
        rows = self._outside_holes(market, candles, rows, start_ms or 0, end)
        rows = rows[:limit] if oldest else rows[max(rows.size - limit, 0) :]
        known = market.provisional(candles.open_time[rows], candles.timeframe, now)
        shares = {int(rows[i]): share for i, share in known.items()}
        return PickedCandles(candles=candles, rows=rows, shares=shares)

    def pick_stamps(
        self,
        market: LoopbackMarket,
        times: Ints,
        *,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        oldest: bool,
        period: Timeframe | None = None,
    ) -> Ints:
        """Positions of the stamps in this window, seen by now; a ``period`` longer than a bar thins them out."""
        last = market.last_ms(self.serves_ms)
        rows = _window(times, start_ms, last if end_ms is None else min(end_ms, last))
        if period is not None and period.ms > market.candles.timeframe.ms:
            rows = rows[times[rows] % period.ms == 0]
        return rows[:limit] if oldest else rows[max(rows.size - limit, 0) :]

    def pick_marks(
        self, market: LoopbackMarket, *, start_ms: int | None, end_ms: int | None, limit: int, oldest: bool
    ) -> tuple[Ints, int | None]:
        """Positions of the mark candles that open in this window, seen by now, and which of them still forms."""
        assert market.mark is not None, "the caller has looked"
        rows = self.pick_stamps(
            market, market.mark.time - HOUR_MS, start_ms=start_ms, end_ms=end_ms, limit=limit, oldest=oldest
        )
        if market.delisted_ms is not None:
            rows = rows[market.mark.time[rows] <= market.delisted_ms]
        forming = rows.size > 0 and int(market.mark.time[rows[-1]]) > self.serves_ms
        return rows, int(rows[-1]) if forming else None

    def _outside_holes(self, market: LoopbackMarket, candles: Candles, rows: Ints, start_ms: int, end_ms: int) -> Ints:
        for number, hole in enumerate(market.holes):
            if start_ms >= hole.end_ms or end_ms < hole.start_ms:
                continue
            key = candles.symbol, number
            asks = self._hole_asks.get(key, 0)
            self._hole_asks[key] = asks + 1
            if not hole.healed(now_ms=self.serves_ms, asks=asks):
                times = candles.open_time[rows]
                rows = rows[(times < hole.start_ms) | (times >= hole.end_ms)]
        return rows


def _window(times: Ints, start_ms: int | None, end_ms: int) -> Ints:
    """Positions of sorted times with ``start_ms <= time <= end_ms``."""
    lo = 0 if start_ms is None else int(np.searchsorted(times, start_ms))
    return np.arange(lo, max(lo, int(np.searchsorted(times, end_ms, side="right"))))
