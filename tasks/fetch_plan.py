"""What has to be asked of a venue now?

Only what nobody has answered for and what a venue may still change: the last bars are always asked for again, funding
once a settlement can have come, open interest once a slot has closed, mark prices once an hour has. Windows are
half-open ms UTC. Long ones are cut into parts, each stored as it arrives, so that a killed process loses little.
Nothing here asks, stores or has a clock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.sources.exchange_calls import OPEN_INTEREST_PERIODS
from infra.sources.protocol import FetchRequest, Kind
from market.spans import Span, joined, next_on_grid, subtract
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe

__all__ = [
    "ASKED",
    "Known",
    "Window",
    "backfill_requests",
    "collect_requests",
    "final_end",
    "heal_requests",
    "open_interest_period",
    "period_of",
    "steps_of",
]

ASKED = (Kind.CANDLES, Kind.FUNDING, Kind.OPEN_INTEREST, Kind.MARK)  # takers' shares come with the candles
_PART_STEPS = 10_000
# Held bars between two holes are asked for again where they are so few that a request more would cost as much.
_JOIN_BARS = 500
_PERIODS_MS = tuple(Timeframe.parse(name).ms for name in OPEN_INTEREST_PERIODS)
# What a venue gave nothing for, it may still bring for so long after the moment it belongs to.
_PATIENCE_MS = {
    Kind.CANDLES: 15 * MINUTE_MS,
    Kind.FUNDING: MINUTE_MS,
    Kind.OPEN_INTEREST: 30 * MINUTE_MS,
    Kind.MARK: 15 * MINUTE_MS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a home knows of one market: whether its lake holds bars of it, and the windows answered for, per kind."""

    in_lake: bool
    answered: Mapping[Kind, Sequence[Span]]

    def missing(self, kind: Kind, start_ms: int, end_ms: int) -> list[Span]:
        """What was never answered for; a market the lake has lost is asked for again, whatever was answered."""
        return subtract([(start_ms, end_ms)], self.answered.get(kind, ()) if self.in_lake else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The times wanted, ``[start_ms, end_ms)``, and the moment they are wanted at: later times do not exist yet."""

    timeframe: Timeframe
    start_ms: int
    end_ms: int
    now_ms: int
    settle_delay_ms: int

    @property
    def candles(self) -> Span:
        """Open times of the closed bars in the window."""
        step = self.timeframe.ms
        closed = (self.now_ms - self.settle_delay_ms) // step * step
        return next_on_grid(self.start_ms, step), min(next_on_grid(self.end_ms, step), closed)

    @property
    def stamps(self) -> Span:
        """Times of the stamps that can be there."""
        return self.start_ms, min(self.end_ms, self.now_ms + 1)

    @property
    def marks(self) -> Span:
        """Times of the mark prices that can be there: closes, as final as those of bars."""
        return self.start_ms, min(self.end_ms, self.now_ms - self.settle_delay_ms + 1)


def collect_requests(known: Mapping[str, Known], window: Window, *, revise_bars: int) -> tuple[FetchRequest, ...]:
    """What is due, symbol by symbol: the last ``revise_bars`` closed bars, and whatever nobody answered for."""
    first, closed = window.candles
    requests: list[FetchRequest] = []
    for symbol, one in known.items():
        new = one.missing(Kind.CANDLES, first, closed)
        tail = new[-1][0] if new and new[-1][1] == closed else closed
        again = (max(first, tail - revise_bars * window.timeframe.ms), closed)
        requests += _requests(symbol, Kind.CANDLES, window.timeframe, joined([*new, again]))
        requests += _stamps(symbol, one, window)
    return tuple(requests)


def backfill_requests(
    known: Mapping[str, Known], held: Mapping[str, Sequence[Span]], window: Window
) -> tuple[FetchRequest, ...]:
    """What of the window the venue was never asked for, symbol by symbol; bars the lake ``held`` are left out."""
    apart_ms = _JOIN_BARS * window.timeframe.ms
    requests: list[FetchRequest] = []
    for symbol, one in known.items():
        new = subtract(one.missing(Kind.CANDLES, *window.candles), held.get(symbol, ()))
        requests += _requests(symbol, Kind.CANDLES, window.timeframe, joined(new, apart=apart_ms))
        requests += _stamps(symbol, one, window)
    return tuple(requests)


def heal_requests(holes: Mapping[str, Sequence[Span]], timeframe: Timeframe) -> tuple[FetchRequest, ...]:
    """What to ask for so that these holes are filled, near ones in one request."""
    return tuple(
        request
        for symbol, spans in holes.items()
        for request in _requests(symbol, Kind.CANDLES, timeframe, joined(spans, apart=_JOIN_BARS * timeframe.ms))
    )


def final_end(request: FetchRequest, *, answered_end_ms: int, newest_ms: int | None, now_ms: int) -> int:
    """Up to where an answer is final: behind its newest row, and beyond it once the venue has had time to bring more.

    A venue publishes late. Were its silence about the last minutes taken for an answer, what it published a moment
    later would never be asked for.
    """
    width = request.timeframe.ms if request.kind is Kind.CANDLES else 1
    patient = (now_ms - _PATIENCE_MS[request.kind]) // width * width - (width if width > 1 else 0)
    seen = request.start_ms if newest_ms is None else min(newest_ms + width, request.end_ms)
    return max(seen, min(answered_end_ms, patient), request.start_ms)


def open_interest_period(timeframe: Timeframe) -> Timeframe:
    """The longest period open interest comes in that divides the bar; the shortest there is for shorter bars.

    >>> [open_interest_period(Timeframe.parse(name)).name for name in ("1m", "5m", "2h", "1d")]
    ['5m', '5m', '1h', '1d']
    """
    return Timeframe(max((ms for ms in _PERIODS_MS if timeframe.ms % ms == 0), default=_PERIODS_MS[0]))


def period_of(kind: Kind, timeframe: Timeframe) -> Timeframe:
    """The length that a venue is asked for of this kind, where bars are of ``timeframe``."""
    if kind is Kind.MARK:
        return Timeframe(HOUR_MS)
    return open_interest_period(timeframe) if kind is Kind.OPEN_INTEREST else timeframe


def steps_of(request: FetchRequest) -> int:
    """The most rows this request can bring, where nothing is off the grid."""
    return max(-(-(request.end_ms - request.start_ms) // _step(request.kind, request.timeframe)), 0)


def _stamps(symbol: str, known: Known, window: Window) -> Iterator[FetchRequest]:
    """The other kinds, where a whole hour or the end of a period lies in what was not answered for."""
    for kind, span in ((Kind.FUNDING, window.stamps), (Kind.OPEN_INTEREST, window.stamps), (Kind.MARK, window.marks)):
        timeframe = period_of(kind, window.timeframe)
        step = _step(kind, timeframe)
        due = [(lo, hi) for lo, hi in known.missing(kind, *span) if next_on_grid(lo, step) < hi]
        yield from _requests(symbol, kind, timeframe, due)


def _requests(symbol: str, kind: Kind, timeframe: Timeframe, spans: Sequence[Span]) -> Iterator[FetchRequest]:
    """The spans in parts that are stored one by one."""
    part_ms = _PART_STEPS * _step(kind, timeframe)
    for start, end in spans:
        for lo in range(start, end, part_ms):
            hi = min(lo + part_ms, end)
            yield FetchRequest(symbol=symbol, kind=kind, timeframe=timeframe, start_ms=lo, end_ms=hi)


def _step(kind: Kind, timeframe: Timeframe) -> int:
    return HOUR_MS if kind is Kind.FUNDING else timeframe.ms
