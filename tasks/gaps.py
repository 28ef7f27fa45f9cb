"""How are gaps healed?

Healing asks the venue again for what it was never asked for and for what it lacked, as venues do repair their history.
What it brings is known since now, not since the close of its bar: whoever reads the lake as of an earlier moment still
sees the hole that was decided on. Only markets whose bars came from this venue are healed by it. Nothing is filled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.errors import SourceError
from infra.fetched_windows import FetchedWindow, mark_many
from infra.gaps import Gap, note_asked
from infra.locks import exclusive
from infra.sources.exchange import ExchangeSource, FetchResult
from infra.sources.exchange_errors import VenueClosedError
from infra.sources.protocol import FetchRequest, Kind
from infra.venues import record_answer, record_check
from market.candles import Candles
from market.timeframe import Timeframe
from tasks.exchange import exchange_options, note_closed, venue_session
from tasks.fetch_plan import final_end, joined
from tasks.gap_report import examine_gaps, held_symbols, scan_ledger
from tasks.plan import timeframe_of
from tasks.progress import report

__all__ = ["heal", "heal_gaps", "heal_requests", "look_at_gaps"]

_PART_BARS = 10_000
# Bars between two gaps are asked for again where they are so few that a request more would cost as much.
_JOIN_BARS = 500


@task(cache_policy=NO_CACHE)
def look_at_gaps(home: str, *, symbols: Sequence[str]) -> dict[str, Any]:
    """Coverage, open gaps and findings of these markets, or of all the lake holds."""
    return examine_gaps(home, symbols=symbols)


@task(cache_policy=NO_CACHE)
def heal_gaps(home: str, *, symbols: Sequence[str]) -> dict[str, Any]:
    """Ask the venue for every open gap of these markets, or of all the lake holds; count what that healed."""
    with open_app(home) as app, exclusive(app.engine, "healing"):
        return heal(app, ExchangeSource(exchange_options(app.settings)), symbols=held_symbols(app, symbols))


def heal(app: App, source: ExchangeSource, *, symbols: Sequence[str]) -> dict[str, Any]:
    """``heal_gaps`` in stores that are open; ``incomplete`` says in words why not all could be asked for."""
    timeframe = timeframe_of(app.settings)
    before = scan_ledger(app, symbols=symbols)
    sources = {symbol: app.lake.sources(symbol, timeframe) for symbol in dict.fromkeys(gap.symbol for gap in before)}
    requests = heal_requests(before, sources=sources, venue=source.name, timeframe=timeframe)
    asked = _ask(app, source, requests) if requests else _Asked()
    after = scan_ledger(app, symbols=symbols)
    note_asked(app.engine, [gap for gap in after if gap.symbol in asked.symbols - asked.failed.keys()])
    return {
        "source": source.name,
        "requests": len(requests),
        "new_rows": asked.new_rows,
        "healed_bars": max(sum(gap.bars for gap in before) - sum(gap.bars for gap in after), 0),
        "healed_gaps": sum(not _overlaps(gap, after) for gap in before),
        "open_gaps": len(after),
        "not_of_this_venue": sorted(symbol for symbol, names in sources.items() if source.name not in names),
        "failed": {symbol: str(error) for symbol, error in asked.failed.items()},
        "incomplete": _incomplete(asked),
    }


def heal_requests(
    gaps: Sequence[Gap], *, sources: Mapping[str, Sequence[str]], venue: str, timeframe: Timeframe
) -> tuple[FetchRequest, ...]:
    """What to ask the venue for: the open gaps of the markets whose bars came from it, near ones in one request."""
    step = timeframe.ms
    requests = []
    for symbol in dict.fromkeys(gap.symbol for gap in gaps):
        if venue not in sources.get(symbol, ()):
            continue
        holes = [gap.span(step) for gap in gaps if gap.symbol == symbol]
        for start, end in joined(holes, apart_ms=_JOIN_BARS * step):
            for lo in range(start, end, _PART_BARS * step):
                hi = min(lo + _PART_BARS * step, end)
                requests.append(
                    FetchRequest(symbol=symbol, kind=Kind.CANDLES, timeframe=timeframe, start_ms=lo, end_ms=hi)
                )
    return tuple(requests)


@dataclass(slots=True, kw_only=True)
class _Asked:
    """What came of asking: the symbols that were asked for, rows that were new, and why some could not be had."""

    symbols: set[str] = field(default_factory=set)
    new_rows: int = 0
    failed: dict[str, SourceError] = field(default_factory=dict)


def _ask(app: App, source: ExchangeSource, requests: Sequence[FetchRequest]) -> _Asked:
    asked = _Asked(symbols={one.symbol for one in requests})
    done = 0
    with venue_session(app.engine, source) as session:
        check = session.clock()
        record_check(app.engine, source.name, clock_skew_ms=check.skew_ms)
        closed_by_ms = min(check.local_ms, check.venue_ms)

        def store(result: FetchResult) -> None:
            nonlocal done
            done += 1
            _store(app, source.name, result, asked, closed_by_ms=closed_by_ms, known_at_ms=check.local_ms)
            report("heal", done, len(requests), note=result.request.symbol)

        report("heal", 0, len(requests))
        session.collect(requests, on_result=store)
    record_answer(app.engine, source.name)
    for error in asked.failed.values():
        if isinstance(error, VenueClosedError):
            note_closed(app.engine, error)
    return asked


def _store(app: App, source: str, result: FetchResult, asked: _Asked, *, closed_by_ms: int, known_at_ms: int) -> None:
    """Rows first, then their window as answered for: a process killed in between asks again."""
    request = result.request
    if result.error is not None:
        asked.failed.setdefault(request.symbol, result.error)
    if not isinstance(result.values, Candles) or result.answered is None:
        return
    times = result.values.open_time
    asked.new_rows += app.lake.append_candles(result.values, source=source, known_at_ms=known_at_ms)
    newest = int(times[-1]) if times.size else None
    window = FetchedWindow(
        symbol=request.symbol,
        kind=request.kind,
        timeframe=request.timeframe.name,
        source=source,
        start_ms=result.answered[0],
        end_ms=final_end(request, answered_end_ms=result.answered[1], newest_ms=newest, now_ms=closed_by_ms),
    )
    mark_many(app.engine, [window])


def _overlaps(gap: Gap, others: Sequence[Gap]) -> bool:
    return any(o.symbol == gap.symbol and o.first_ms <= gap.last_ms and gap.first_ms <= o.last_ms for o in others)


def _incomplete(asked: _Asked) -> dict[str, str] | None:
    first = next(iter(asked.failed.values()), None)
    if first is None:
        return None
    more = f"; {len(asked.failed) - 1} more symbols failed" if len(asked.failed) > 1 else ""
    why = f"{first.why}; what did arrive ({asked.new_rows:,} new rows) is stored, the rest is still missing"
    return {"what": f"{first.what}{more}", "why": why, "remedy": first.remedy}
