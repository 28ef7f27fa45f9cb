"""What became of the requests of one run?

Every answer is stored as it arrives and marked as fetched afterwards, never before: a process killed in between asks
again, and the lake keeps one copy. What fails is kept by symbol with its cause, and takes nobody else along.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from infra.bootstrap import App
from infra.errors import SourceError
from infra.fetched_windows import FetchedWindow, mark_many
from infra.sources.cutting import between, times_of
from infra.sources.exchange import FetchResult, VenueSession
from infra.sources.exchange_errors import DelistedError, VenueClosedError
from infra.sources.protocol import FetchRequest, Kind, MarketValues
from market.candles import Ints
from market.timeframe import HOUR_MS
from tasks.fetch_plan import final_end, steps_of
from tasks.market_values import append
from tasks.progress import report

__all__ = ["Fetching", "Found", "Run", "fetch_all"]

_AT_ONCE = 512  # requests whose answers may be in memory together
_MARK_EVERY_S = 0.5
_RECENT_MS = HOUR_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run is called, whom it asks and when; recent rows are known since ``known_at_ms`` (None: as old ones)."""

    stage: str
    source: str
    now_ms: int
    known_at_ms: int | None


@dataclass(slots=True, kw_only=True)
class Found:
    """What a run brought, and by symbol and kind why something could not be had; ``requests`` were answered."""

    requests: int = 0
    new_rows: int = 0
    revisions: int = 0
    delisted: set[str] = field(default_factory=set)
    failed: dict[str, dict[str, SourceError]] = field(default_factory=dict)
    closed: VenueClosedError | None = None


class Fetching:
    """One run of requests to one venue; ``in_lake`` are the markets whose disappearance is no mistake of ours."""

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
        """Write down what was answered for; the rows are in the lake by now."""
        mark_many(self._app.engine, self._answered)
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
        """Store these, recent ones as known since now; the number of new rows."""
        known_at_ms, lake, source = self._run.known_at_ms, self._app.lake, self._run.source
        split = None if known_at_ms is None else known_at_ms - _RECENT_MS
        stored = append(lake, between(values, None, split), source)
        if split is not None:
            stored += append(lake, between(values, split, None), source, known_at_ms=known_at_ms)
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


def fetch_all(session: VenueSession, fetching: Fetching, requests: Sequence[FetchRequest], *, now_ms: int) -> Found:
    """Answer all requests over one session; whatever ends the run, what arrived is stored and marked."""
    try:
        for first in range(0, len(requests), _AT_ONCE):
            batch = requests[first : first + _AT_ONCE]
            session.collect(batch, now_ms=now_ms, on_page=fetching.page, on_result=fetching.store)
    except VenueClosedError as error:
        fetching.found.closed = error
    finally:
        fetching.mark()
    return fetching.found


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
