"""What does the venue hold of one symbol, and which of it can be seen at a moment?

A market holds the future too; the clock decides what is served. A bar is *provisional* while it forms and, where told
so, for a while after its close: open as it will be, the rest as though only part of the bar had happened. A *hole* is a
window of bars that is not served, until a time or until it was asked for often enough.
"""

from dataclasses import dataclass

import numpy as np

from infra.open_interest import OpenInterestStamps
from market.basis import MarkStamps
from market.candles import Candles, Floats, Ints
from market.funding import FundingStamps
from market.timeframe import DAY_MS, Timeframe

__all__ = ["EARLY", "Day", "Hole", "LoopbackMarket", "Revision", "day_before", "happened", "resampled", "taker_buys"]

EARLY = 0.9  # the share of a closed bar's happenings that its first answer knows of, before the venue revises it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Bars with ``start_ms <= open time < end_ms`` that are missing, until one of two things happens, if ever.

    ``heals_at_ms`` is a time of the venue's clock, ``heals_after_asks`` a number of candle calls that reached into it.
    """

    start_ms: int
    end_ms: int
    heals_at_ms: int | None = None
    heals_after_asks: int | None = None

    def healed(self, *, now_ms: int, asks: int) -> bool:
        """Whether the bars are served by now."""
        by_time = self.heals_at_ms is not None and now_ms >= self.heals_at_ms
        return by_time or (self.heals_after_asks is not None and asks >= self.heals_after_asks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Bars with ``start_ms <= open time < end_ms`` are served with early values for ``for_ms`` after their close."""

    for_ms: int
    start_ms: int = 0
    end_ms: int = 2**62


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopbackMarket:
    """What the venue holds of one symbol, the future included.

    ``listed_ms`` None: since its first bar. From ``delisted_ms`` on nothing more happens and the status says so; from
    ``removed_ms`` on the venue does not know the symbol any more.
    """

    candles: Candles
    funding: FundingStamps | None = None
    open_interest: OpenInterestStamps | None = None
    mark: MarkStamps | None = None
    listed_ms: int | None = None
    delisted_ms: int | None = None
    removed_ms: int | None = None
    holes: tuple[Hole, ...] = ()
    revisions: tuple[Revision, ...] = ()

    @property
    def onboard_ms(self) -> int:
        """When trading began."""
        if self.listed_ms is not None:
            return self.listed_ms
        return int(self.candles.open_time[0]) if len(self.candles) else 0

    def known(self, now_ms: int) -> bool:
        """Whether the venue answers for the symbol at all."""
        return self.onboard_ms <= now_ms and (self.removed_ms is None or now_ms < self.removed_ms)

    def trading(self, now_ms: int) -> bool:
        """Whether it is traded."""
        return self.known(now_ms) and (self.delisted_ms is None or now_ms < self.delisted_ms)

    def last_ms(self, now_ms: int) -> int:
        """The last moment anything can have happened."""
        return now_ms if self.delisted_ms is None else min(now_ms, self.delisted_ms - 1)

    def provisional(self, open_time: Ints, timeframe: Timeframe, now_ms: int) -> dict[int, float]:
        """Positions in ``open_time`` (sorted) of bars not final at ``now_ms``, each with the share that is known."""
        forming = {
            int(i): max(now_ms - int(open_time[i]), 0) / timeframe.ms
            for i in np.flatnonzero(open_time > now_ms - timeframe.ms)
        }
        early = {
            int(i): EARLY
            for revision in self.revisions
            for i in np.flatnonzero(
                (open_time >= revision.start_ms)
                & (open_time < revision.end_ms)
                & (open_time + timeframe.ms + revision.for_ms > now_ms)
            )
        }
        return early | forming


def happened(candles: Candles, row: int, share: float) -> tuple[float, float, float, float, float]:
    """Open, high, low, close and volume of a bar of which this share (0 to 1) has happened."""
    final_open, high, low, close, volume = (
        float(getattr(candles, name)[row]) for name in ("open", "high", "low", "close", "volume")
    )
    now = round(final_open + share * (close - final_open), 8)
    return (
        final_open,
        max(final_open, now, round(final_open + share * (high - final_open), 8)),
        min(final_open, now, round(final_open + share * (low - final_open), 8)),
        now,
        round(share * volume, 8),
    )


def taker_buys(high: Floats, low: Floats, close: Floats, volume: Floats) -> Floats:
    """What takers bought of bars, by where these closed between low and high: a quarter to three quarters."""
    width = high - low
    place = np.divide(close - low, width, out=np.full(width.shape, 0.5), where=width > 0)
    return np.round((0.25 + 0.5 * place) * volume, 8)


def resampled(candles: Candles, timeframe: Timeframe) -> Candles:
    """Longer bars out of the bars there are, as a venue that lacks a few would build them."""
    group, first = np.unique(candles.open_time // timeframe.ms, return_index=True)
    last = np.append(first[1:], len(candles)) - 1
    return Candles(
        symbol=candles.symbol,
        timeframe=timeframe,
        open_time=group * timeframe.ms,
        open=candles.open[first],
        high=np.maximum.reduceat(candles.high, first),
        low=np.minimum.reduceat(candles.low, first),
        close=candles.close[last],
        volume=np.round(np.add.reduceat(candles.volume, first), 8),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The 24 hours to ``end_ms``: prices, base ``volume``, quote ``turnover`` and a plausible number of trades."""

    end_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    trades: int


def day_before(market: LoopbackMarket, now_ms: int) -> Day:
    """What a ticker sums up at this time, the forming bar included; a market without trades keeps its last price."""
    candles, end = market.candles, market.last_ms(now_ms)
    hi = int(np.searchsorted(candles.open_time, end, side="right"))
    lo = int(np.searchsorted(candles.open_time, now_ms - DAY_MS))
    if lo >= hi:
        price = float(candles.close[hi - 1]) if hi else 0.0
        return Day(end_ms=end, open=price, high=price, low=price, close=price, volume=0.0, turnover=0.0, trades=0)
    share = min((end + 1 - int(candles.open_time[hi - 1])) / candles.timeframe.ms, 1.0)
    _, high, low, close, volume = happened(candles, hi - 1, share)
    volumes = np.append(candles.volume[lo : hi - 1], volume)
    middle = np.append((candles.high[lo : hi - 1] + candles.low[lo : hi - 1]) / 2, (high + low) / 2)
    return Day(
        end_ms=end,
        open=float(candles.open[lo]),
        high=max(high, float(candles.high[lo : hi - 1].max(initial=high))),
        low=min(low, float(candles.low[lo : hi - 1].min(initial=low))),
        close=close,
        volume=float(volumes.sum()),
        turnover=float((volumes * middle).sum()),
        trades=int(np.ceil(np.sqrt(volumes)).sum()),
    )
