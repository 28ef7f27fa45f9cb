"""What became of the requests of one run?

Every answer is stored as it arrives and marked as fetched afterwards, never before: a process killed in between asks
again, and the lake keeps one copy. What fails is kept by symbol with its cause, and takes nobody else along. History is
known since it happened, news since it arrived: which rows are which is for the run to say.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from infra.bell import ring
from infra.bootstrap import App
from infra.errors import SourceError
from infra.fetched_windows import FetchedWindow, mark_many
from infra.sources.cutting import between, times_of
from infra.sources.exchange import FetchResult, VenueSession
from infra.sources.exchange_errors import DelistedError, VenueClosedError
from infra.sources.protocol import FetchRequest, Kind, MarketValues
from infra.venues import record_answer
from market.candles import Ints
from tasks.fetch_plan import final_end, steps_of
from tasks.market_values import append
from tasks.progress import report
from tasks.venue import note_closed

__all__ = ["Found", "Run", "fetch_all"]

_AT_ONCE = 512  # requests whose answers may be in memory together
_MARK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is called, whom it asks, and when by the slower of both clocks.

    Rows from ``news_from_ms`` on are known since ``known_at_ms``; older ones, or all where it is None, are history.
    """

    stage: str
    source: str
    now_ms: int
    known_at_ms: int
    news_from_ms: int | None


@dataclass(slots=True, kw_only=True)
class Found:
    """What a run brought, and by symbol and kind why something could not be had; ``requests`` were answered."""

    requests: int = 0
    new_rows: int = 0
    revisions: int = 0
    delisted: set[str] = field(default_factory=set)
    failed: dict[str, dict[str, SourceError]] = field(default_factory=dict)
    closed: VenueClosedError | None = None

    def failures(self) -> dict[str, dict[str, str]]:
        """Why something could not be had, by symbol and kind, in words."""
        return {name: {kind: str(error) for kind, error in kinds.items()} for name, kinds in self.failed.items()}

    def incomplete(self, *, asked: int) -> dict[str, str] | None:
        """Why the run failed, in the words of its first failure; None if it did not. ``asked`` counts symbols."""
        causes = [error for kinds in self.failed.values() for error in kinds.values()]
        first = self.closed or next(iter(causes), None)
        if first is None:
            return None
        others = len(self.failed) - 1
        more = f"; {others} more of {asked} symbols failed" if others > 0 else ""
        return {
            "what": f"{first.what}{more}",
            "why": f"{first.why}; what did arrive ({self.new_rows:,} new rows) is stored, the rest is still missing",
            "remedy": first.remedy,
        }


def fetch_all(
    app: App, session: VenueSession, run: Run, requests: Sequence[FetchRequest], *, in_lake: frozenset[str]
) -> Found:
    """Answer all requests over one session; whatever ends the run, what arrived is stored and marked.

    ``in_lake`` are the markets whose disappearance is no mistake of ours.
    """
    fetching = _Fetching(app, run, requests, in_lake=in_lake)
    found = fetching.found
    try:
        for first in range(0, len(requests), _AT_ONCE):
            batch = requests[first : first + _AT_ONCE]
            session.collect(batch, now_ms=run.now_ms, on_page=fetching.page, on_result=fetching.store)
    except VenueClosedError as error:
        found.closed = error
    finally:
        fetching.mark()
    asked = in_lake | {request.symbol for request in requests}
    found.delisted |= asked & {one.symbol for one in session.listings() if not one.active}
    if found.closed is not None:
        note_closed(app.engine, found.closed)
    if found.requests:
        record_answer(app.engine, run.source)
    return found


class _Fetching:
    """The answers to the requests of one run, as they come."""

    def __init__(self, app: App, run: Run, requests: Sequence[FetchRequest], *, in_lake: frozenset[str]) -> None:
        self.found = Found()
        self._app = app
        self._run = run
        self._in_lake = in_lake
        self._answered: list[FetchedWindow] = []
        self._marked_at = time.monotonic()
        self._meter = _Meter(run.stage, requests)

    def store(self, result: FetchResult) -> None:
        """Keep one answer: its rows in the lake, then its window as fetched; or the reason why there is none."""
        if result.values is not None and result.answered is not None:
            self._append(result.request, result.values)
            if result.taker is not None:  # not counted: a share is part of what is told of its bar
                self._keep(result.taker)
            self._answered.append(self._window(result.request, result.values, result.answered))
        elif result.error is not None:
            self._refuse(result.request, result.error)
        self._meter.over(result.request)
        if time.monotonic() - self._marked_at >= _MARK_EVERY_S:
            self.mark()

    def page(self, request: FetchRequest, rows: int, done: int, of: int) -> None:
        """One more request was answered, and a long window has come so far."""
        self.found.requests += 1
        self._meter.page(request, rows=rows, share=done / max(of, 1))

    def mark(self) -> None:
        """Write down what was answered for, and wake who waits for it; the rows are in the lake by now."""
        mark_many(self._app.engine, self._answered)
        ring(self._app.engine)
        self._answered.clear()
        self._marked_at = time.monotonic()

    def _append(self, request: FetchRequest, values: MarketValues) -> None:
        times = times_of(values)
        if times.size == 0:
            return
        again = int(np.isin(times, self._held(request, times)).sum())
        stored = self._keep(values)
        revised = max(stored - (times.size - again), 0)
        self.found.revisions += revised
        self.found.new_rows += stored - revised

    def _keep(self, values: MarketValues) -> int:
        """Store these, news as known since now; the number of new rows."""
        lake, source, news_from_ms = self._app.lake, self._run.source, self._run.news_from_ms
        stored = append(lake, between(values, None, news_from_ms), source)
        if news_from_ms is not None:
            stored += append(lake, between(values, news_from_ms, None), source, known_at_ms=self._run.known_at_ms)
        return stored

    def _held(self, request: FetchRequest, times: Ints) -> Ints:
        """Which of these times the lake holds already."""
        lake, lo, hi = self._app.lake, int(times[0]), int(times[-1]) + 1
        if request.kind is Kind.CANDLES:
            return lake.candles(request.symbol, request.timeframe, start_ms=lo, end_ms=hi).open_time
        if request.kind is Kind.FUNDING:
            return lake.funding(request.symbol, start_ms=lo, end_ms=hi).time
        if request.kind is Kind.MARK:
            return lake.mark(request.symbol, start_ms=lo, end_ms=hi).time
        return lake.open_interest(request.symbol, start_ms=lo, end_ms=hi)[0]

    def _window(self, request: FetchRequest, values: MarketValues, answered: tuple[int, int]) -> FetchedWindow:
        times = times_of(values)
        newest = int(times[-1]) if times.size else None
        end = final_end(request, answered_end_ms=answered[1], newest_ms=newest, now_ms=self._run.now_ms)
        return FetchedWindow(
            symbol=request.symbol,
            kind=request.kind,
            timeframe=request.timeframe.name,
            source=self._run.source,
            start_ms=answered[0],
            end_ms=end,
        )

    def _refuse(self, request: FetchRequest, error: SourceError) -> None:
        if isinstance(error, DelistedError) and request.symbol in self._in_lake:
            self.found.delisted.add(request.symbol)
            return
        if isinstance(error, VenueClosedError) and self.found.closed is None:
            self.found.closed = error
        self.found.failed.setdefault(request.symbol, {}).setdefault(str(request.kind), error)


class _Meter:
    """How far the run has come, in markets and in bars asked for, and how fast bars arrive."""

    def __init__(self, stage: str, requests: Sequence[FetchRequest]) -> None:
        self._stage = stage
        self._began = time.monotonic()
        self._left = Counter(one.symbol for one in requests)
        self._symbols = len(self._left)
        self._total = sum(steps_of(one) for one in requests if one.kind is Kind.CANDLES)
        self._over = 0
        self._under_way: dict[FetchRequest, int] = {}
        self._rows = 0
        self._tell("")

    def page(self, request: FetchRequest, *, rows: int, share: float) -> None:
        """Some rows more; ``share`` of this request is done."""
        if request.kind is Kind.CANDLES:
            self._rows += rows
            self._under_way[request] = int(share * steps_of(request))
            self._tell(request.symbol)

    def over(self, request: FetchRequest) -> None:
        """A request was answered, one way or the other."""
        self._left[request.symbol] -= 1
        if not self._left[request.symbol]:
            del self._left[request.symbol]
        if request.kind is Kind.CANDLES:
            self._under_way.pop(request, None)
            self._over += steps_of(request)
        self._tell(request.symbol)

    def _tell(self, symbol: str) -> None:
        per_s = self._rows / max(time.monotonic() - self._began, 1e-3)
        report(f"{self._stage}: symbols", self._symbols - len(self._left), self._symbols, note=symbol)
        bars = self._over + sum(self._under_way.values())
        report(f"{self._stage}: bars", bars, self._total, note=f"{self._rows:,} arrived, {per_s:,.0f}/s")
