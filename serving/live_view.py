"""What do all markets look like at the newest bar, when they were looked at a bar ago?

A view of the markets is kept between bars and extended by what came since; the bytes it gives are those of a
``MarketView`` opened at that moment. It is extended only where that is certain: exactly one bar follows, within the
same block, and every row that became known belongs to that bar. A late row, a revision, a first settlement or a file
that changed for no known reason has that market read anew; the same of the reference market, another block, several
bars at once or a clock that went back opens a new view. Any error drops everything that was kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.errors import LakeError
from infra.freshness import candle_watermarks
from infra.lake import Lake
from infra.lake_rows import Rows, take_rows
from infra.lake_tail import Tail
from market.timeframe import Timeframe
from serving.lake_inputs import warm_up_index
from serving.lineup import ServePlan
from serving.market_view import MarketView
from serving.next_bar import Arrived
from serving.symbol_market import window_start_ms

__all__ = ["LiveView"]

Version = tuple[int, int, tuple[float, ...]]
"""Time, the moment it was known, and the values of one row."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Source:
    """One kind of one market: what came and is not in the view yet."""

    symbol: str
    kind: str
    tail: Tail
    waiting: list[Version] = field(default_factory=list)


class LiveView:
    """The markets of one plan, kept between bars. For one thread."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._key: tuple[object, ...] = ()
        self._view: MarketView | None = None
        self._sources: list[_Source] = []
        self._doubted: set[str] = set()
        self._as_of_ms = 0
        self._since_ms: int | None = None
        self._again: tuple[str, ...] = ()

    def watermarks(self, plan: ServePlan) -> dict[str, int | None]:
        """The close of the newest bar of each symbol, None where there is none; looks at what came.

        Raises ``LakeError`` for a damaged or unreadable lake.
        """
        timeframe = Timeframe(plan.contract.timeframe_ms)
        if self._view is None or self._key != _key(plan) or not self._looked():
            self.drop()
            return candle_watermarks(self._lake, plan.symbols, timeframe)
        kind = f"candles_{timeframe.name}"
        newest = {one.symbol: one.tail.newest for one in self._sources if one.kind == kind}
        return {
            symbol: None if (opened := newest[symbol]) is None else opened + timeframe.ms for symbol in plan.symbols
        }

    def open(self, plan: ServePlan, *, first: int, end: int, as_of_ms: int) -> MarketView:
        """The view of the bars ``[first, end)`` as known at ``as_of_ms``; raises as ``MarketView`` does."""
        view = self._view if self._key == _key(plan) else None
        try:
            if view is not None and self._follows(view, first=first, end=end, as_of_ms=as_of_ms):
                arrived = self._arrived(view, first, as_of_ms)
                if view.contract.reference_symbol not in self._doubted:
                    return self._extended(view, arrived, as_of_ms)
            return self._opened(plan, first=first, end=end, as_of_ms=as_of_ms)
        except BaseException:
            self.drop()
            raise

    def absorb(self) -> None:
        """Take in what has come, so that less is left to read when a bar is due; decides nothing."""
        if self._view is not None and not self._looked():
            self.drop()

    def may_have_changed(self, plan: ServePlan, *, after_ms: int) -> tuple[str, ...]:
        """The markets of which, as the last ``open`` found, an earlier bar may have changed after ``after_ms``."""
        return plan.symbols if self._since_ms is None or after_ms < self._since_ms else self._again

    def check(self) -> None:
        """Ask for every file whether it is still what was read; for the time between bars, as it takes long."""
        try:
            self._doubted |= {one.symbol for one in self._sources if not one.tail.untouched()}
        except (LakeError, OSError):
            self.drop()

    def drop(self) -> None:
        """Keep nothing."""
        self._view, self._sources, self._doubted = None, [], set()
        self._since_ms, self._again = None, ()

    def _follows(self, view: MarketView, *, first: int, end: int, as_of_ms: int) -> bool:
        return (
            first == view.end_index == view.next_index
            and end == first + 1
            and first % view.contract.block_bars != 0
            and as_of_ms >= self._as_of_ms
            and view.contract.reference_symbol not in self._doubted
        )

    def _looked(self) -> bool:
        """Take in what came; False where that cannot be seen."""
        try:
            for one in self._sources:
                news = one.tail.look()
                if news.doubt:
                    self._doubted.add(one.symbol)
                    one.tail.begin()
                elif news.rows is not None:
                    one.waiting += _versions(news.rows)
        except (LakeError, OSError):
            return False
        return True

    def _opened(self, plan: ServePlan, *, first: int, end: int, as_of_ms: int) -> MarketView:
        """A new view; the tails begin before it reads, so that nothing that comes meanwhile is missed."""
        self.drop()
        sources = self._begin(plan, first)
        view = MarketView(self._lake, plan.symbols, plan.contract, start_index=first, end_index=end, as_of_ms=as_of_ms)
        if sources is not None:
            self._wait(sources, view, as_of_ms)
            self._view, self._sources, self._key, self._as_of_ms = view, sources, _key(plan), as_of_ms
        return view

    def _begin(self, plan: ServePlan, first: int) -> list[_Source] | None:
        names = dict.fromkeys((*plan.symbols, plan.contract.reference_symbol))
        timeframe = Timeframe(plan.contract.timeframe_ms)
        start_ms = window_start_ms(timeframe, warm_up_index(plan.contract, first))
        kinds = (f"candles_{timeframe.name}", "funding", "open_interest", "mark", f"taker_{timeframe.name}")
        try:
            return [
                _Source(symbol=symbol, kind=kind, tail=self._lake.tail(kind, symbol, start_ms=start_ms))
                for symbol in names
                for kind in kinds
            ]
        except (LakeError, OSError):
            return None  # the view says what is wrong with the lake

    def _arrived(self, view: MarketView, index: int, as_of_ms: int) -> dict[str, Arrived]:
        """What bar ``index`` brings, by symbol; whoever got anything else is doubted."""
        arrived: dict[str, Arrived] = {}
        for one in self._sources:
            if one.waiting and not _take(one, arrived, view.timeframe, index, as_of_ms):
                self._doubted.add(one.symbol)
        return arrived

    def _extended(self, view: MarketView, arrived: Mapping[str, Arrived], as_of_ms: int) -> MarketView:
        again = [one for one in self._sources if one.symbol in self._doubted]
        for one in again:
            one.tail.begin()
        view.extend(self._lake, arrived, as_of_ms=as_of_ms, doubted=self._doubted)
        self._wait(again, view, as_of_ms)
        self._since_ms, self._again = self._as_of_ms, tuple(self._doubted)
        self._doubted, self._as_of_ms = set(), as_of_ms
        return view

    def _wait(self, sources: Sequence[_Source], view: MarketView, as_of_ms: int) -> None:
        """What is stored already and not in the view yet: known later, or of a later bar."""
        start_ms = window_start_ms(view.timeframe, view.first_index)
        for one in sources:
            rows = self._lake.versions(one.kind, one.symbol, start_ms=start_ms)
            end_ms = view.timeframe.open_time(view.end_index) + _stamp_shift(one.kind)
            one.waiting = _versions(take_rows(rows, (rows.known_at > as_of_ms) | (rows.time >= end_ms)))


def _take(one: _Source, arrived: dict[str, Arrived], timeframe: Timeframe, index: int, as_of_ms: int) -> bool:
    """Move what is due from waiting to arrived; False where some of it is not of bar ``index``."""
    shift = _stamp_shift(one.kind)
    end_ms = timeframe.open_time(index + 1) + shift
    due = sorted(row for row in one.waiting if row[1] <= as_of_ms and row[0] < end_ms)
    if not due:
        return True
    one.waiting = [row for row in one.waiting if row[1] > as_of_ms or row[0] >= end_ms]
    if (due[0][0] - shift) // timeframe.ms != index:
        return False
    last = {time: values for time, _, values in due}
    mine = arrived.setdefault(one.symbol, Arrived())
    stamps = tuple((time, values[0]) for time, values in last.items())
    match one.kind.partition("_")[0]:
        case "candles":
            ((mine.candle),) = last.values()  # type: ignore[assignment]  # five columns
        case "taker":
            mine.taker = stamps[-1][1]
        case "funding":
            mine.funding = stamps
        case "mark":
            mine.mark = stamps
        case _:
            mine.open_interest = stamps
    return True


def _versions(rows: Rows) -> list[Version]:
    values = zip(*(column.tolist() for column in rows.values), strict=True)
    return list(zip(rows.time.tolist(), rows.known_at.tolist(), values, strict=True))


def _stamp_shift(kind: str) -> int:
    """1 for stamps that belong to the bar whose ``(open, close]`` contains them."""
    return 1 if kind in ("open_interest", "mark") else 0


def _key(plan: ServePlan) -> tuple[object, ...]:
    return plan.symbols, plan.contract_id
