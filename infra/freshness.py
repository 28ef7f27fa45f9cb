"""Is each source of market data still speaking?

Every source has a watermark, the moment up to which it has told us everything, and a maximum age that follows from its
own interval: bars are due every bar, settlements every few hours, the universe every day. Age is counted from the
watermark to now. ``lockstep status`` and the worker read these same functions; an alert and a blocked signal can
therefore never disagree about what is stale.

    >>> max_age_ms("candles", timeframe=Timeframe.parse("5m"), max_age_bars=2) // MINUTE_MS
    10
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, func, select

from infra.lake import Lake
from infra.sources.protocol import Kind
from infra.tables import universe_snapshots
from market.candles import Ints
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe

__all__ = [
    "UNIVERSE",
    "Freshness",
    "candle_watermarks",
    "is_fresh",
    "market_freshness",
    "max_age_ms",
    "universe_freshness",
]

UNIVERSE = "universe"
_FUNDING_MS = 8 * HOUR_MS
_OPEN_INTEREST_LEAST_MS = 15 * MINUTE_MS
_LOOK_BACK_MS = 40 * DAY_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """One source over its symbols: ``symbol`` has the oldest watermark (None: nothing at all was ever stored).

    ``fresh`` only if every symbol is; ``stale`` names those that are not. ``max_age_ms`` is that of ``symbol``.
    """

    source: str
    symbol: str | None
    watermark_ms: int | None
    age_ms: int | None
    max_age_ms: int
    fresh: bool
    stale: tuple[str, ...] = ()


def max_age_ms(kind: str, *, timeframe: Timeframe, max_age_bars: int, interval_ms: int = _FUNDING_MS) -> int:
    """Age beyond which a source is stale: its interval (of funding ``interval_ms``) and what its venue may need."""
    bars = max_age_bars * timeframe.ms
    if kind == Kind.FUNDING:
        return min(interval_ms, _FUNDING_MS) + HOUR_MS
    return max(bars, _OPEN_INTEREST_LEAST_MS) if kind == Kind.OPEN_INTEREST else bars


def is_fresh(watermark_ms: int | None, *, now_ms: int, limit_ms: int) -> bool:
    """Whether a watermark is at most ``limit_ms`` from now; nothing at all, or what lies far ahead, is never fresh."""
    return watermark_ms is not None and abs(now_ms - watermark_ms) <= limit_ms


def candle_watermarks(lake: Lake, symbols: Iterable[str], timeframe: Timeframe) -> dict[str, int | None]:
    """The close of the newest bar of each symbol; None where there is none."""
    newest = {symbol: lake.watermark(symbol, timeframe) for symbol in symbols}
    return {symbol: None if opened is None else opened + timeframe.ms for symbol, opened in newest.items()}


def market_freshness(
    lake: Lake, symbols: Sequence[str], timeframe: Timeframe, *, now_ms: int, max_age_bars: int
) -> tuple[Freshness, ...]:
    """Candles, funding and open interest of these symbols; empty without symbols."""
    if not symbols:
        return ()

    def limit(kind: Kind, interval_ms: int = _FUNDING_MS) -> int:
        return max_age_ms(kind, timeframe=timeframe, max_age_bars=max_age_bars, interval_ms=interval_ms)

    marks = candle_watermarks(lake, symbols, timeframe)
    settled = {symbol: _last_two(partial(_funding_times, lake, symbol), marks[symbol]) for symbol in symbols}
    measured = {symbol: _last_two(partial(_open_interest_times, lake, symbol), marks[symbol]) for symbol in symbols}
    intervals = {s: two[1] - two[0] if len(two) == 2 else _FUNDING_MS for s, two in settled.items()}
    return (
        _judge(Kind.CANDLES, marks, dict.fromkeys(symbols, limit(Kind.CANDLES)), now_ms),
        _judge(Kind.FUNDING, _newest(settled), {s: limit(Kind.FUNDING, intervals[s]) for s in symbols}, now_ms),
        _judge(Kind.OPEN_INTEREST, _newest(measured), dict.fromkeys(symbols, limit(Kind.OPEN_INTEREST)), now_ms),
    )


def universe_freshness(connection: Connection, *, now_ms: int, max_age_hours: int) -> Freshness:
    """The newest snapshot of the universe, whatever its rule."""
    newest = connection.scalar(select(func.max(universe_snapshots.c.as_of_ms)))
    limit = max_age_hours * HOUR_MS
    return Freshness(
        source=UNIVERSE,
        symbol=None,
        watermark_ms=newest,
        age_ms=None if newest is None else now_ms - newest,
        max_age_ms=limit,
        fresh=is_fresh(newest, now_ms=now_ms, limit_ms=limit),
    )


def _judge(source: str, marks: Mapping[str, int | None], limits: Mapping[str, int], now_ms: int) -> Freshness:
    stale = tuple(s for s, mark in marks.items() if not is_fresh(mark, now_ms=now_ms, limit_ms=limits[s]))
    # What was never stored is older than anything; of the rest the one furthest beyond its own limit.
    oldest = min(marks, key=lambda s: (marks[s] is not None, (marks[s] or 0) + limits[s]))
    mark = marks[oldest]
    return Freshness(
        source=str(source),
        symbol=oldest,
        watermark_ms=mark,
        age_ms=None if mark is None else now_ms - mark,
        max_age_ms=limits[oldest],
        fresh=not stale,
        stale=stale,
    )


def _funding_times(lake: Lake, symbol: str, start_ms: int | None) -> Ints:
    return lake.funding(symbol, start_ms=start_ms).time


def _open_interest_times(lake: Lake, symbol: str, start_ms: int | None) -> Ints:
    return lake.open_interest(symbol, start_ms=start_ms)[0]


def _newest(stamps: Mapping[str, tuple[int, ...]]) -> dict[str, int | None]:
    return {symbol: times[-1] if times else None for symbol, times in stamps.items()}


def _last_two(read: Callable[[int | None], Ints], near_ms: int | None) -> tuple[int, ...]:
    """The last two stamps. They lie near the newest bar as a rule; all months are read only where none does."""
    times = read(None if near_ms is None else near_ms - _LOOK_BACK_MS)
    if times.size == 0 and near_ms is not None:
        times = read(None)
    return tuple(times[-2:].tolist())
