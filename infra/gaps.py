"""Which bars does the lake lack, and has anybody been asked for them?

A hole on the grid is ``not_fetched`` while the source was never asked for it, ``missing_at_venue`` once the source has
answered and had nothing, ``healed`` when its bars have come after all. The open gaps of a symbol never overlap and are
together exactly the holes of the lake; healed ones stay, dated. Nothing is filled here: bars come from a source only.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Engine, func, select

from infra.coverage import holes_of
from infra.fetched_windows import read_fetched
from infra.gap_ledger import (
    Gap,
    GapStatus,
    Piece,
    changes_of,
    note_asked,
    open_gaps,
    read_open,
    withdraw_from,
    write_changes,
)
from infra.lake import Lake
from infra.locks import lock_key
from infra.sources.protocol import Kind
from market.candles import Ints
from market.spans import Span, intersect, next_on_grid, subtract, whole_bars
from market.timeframe import Timeframe

__all__ = ["Gap", "GapStatus", "note_asked", "open_gaps", "scan_ended", "scan_gaps"]

_LOCK = "gap ledger"


def scan_gaps(
    engine: Engine,
    lake: Lake,
    *,
    symbols: Sequence[str],
    timeframe: Timeframe,
    end_ms: int,
    source: str | None,
    start_ms: int | None = None,
) -> tuple[Gap, ...]:
    """Bring the ledger up to date with the lake and return the open gaps of these symbols.

    Looks between each symbol's first stored bar (or ``start_ms``, where that is later) and ``end_ms``; gaps outside are
    left as they are. ``source`` is whose answers count; None counts everybody's. Running it again changes nothing; two
    at once take turns, so that neither judges by a lake the other has seen more of.
    """
    names = sorted(set(symbols))
    step = timeframe.ms
    with engine.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(lock_key(_LOCK))))
        now = connection.execute(select(func.now())).scalar_one()
        known = read_open(connection, symbols=names, timeframe=timeframe)
        asked = read_fetched(connection, symbols=names, kind=Kind.CANDLES, timeframe=timeframe.name, source=source)
        for symbol in names:
            seen = _seen(lake, symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
            if seen is None:
                continue
            times, scope = seen
            holes = [run.span(step) for run in holes_of(times, lo=scope[0], hi=scope[1], step=step)]
            pieces = _pieces(holes, whole_bars(asked[symbol], step), source) + _beyond(known[symbol], scope, step)
            changes = changes_of(known[symbol], _joined(pieces), step=step, now=now)
            write_changes(connection, changes, symbol=symbol, timeframe=timeframe)
        found = read_open(connection, symbols=names, timeframe=timeframe)
    return tuple(gap for symbol in names for gap in found[symbol])


def scan_ended(engine: Engine, lake: Lake, *, symbols: Sequence[str], timeframe: Timeframe, source: str | None) -> None:
    """The same for markets that are traded no more: each ends with its last bar.

    What was noted as missing after that bar, before its end was noticed, is withdrawn: nothing lacks, nothing healed.
    """
    for symbol in sorted(set(symbols)):
        last_ms = lake.watermark(symbol, timeframe)
        if last_ms is None:
            continue
        end_ms = last_ms + timeframe.ms
        withdraw_from(engine, symbol=symbol, timeframe=timeframe, start_ms=end_ms)
        scan_gaps(engine, lake, symbols=[symbol], timeframe=timeframe, end_ms=end_ms, source=source)


def _seen(
    lake: Lake, symbol: str, timeframe: Timeframe, *, start_ms: int | None, end_ms: int
) -> tuple[Ints, Span] | None:
    """Open times of the bars in the window, and the part of it in which a bar could be missing; both on the grid."""
    step = timeframe.ms
    end = end_ms // step * step
    start = None if start_ms is None else next_on_grid(start_ms, step)
    if start is not None and start >= end:
        return None
    times = lake.candles(symbol, timeframe, start_ms=start, end_ms=end).open_time
    if (
        start is not None
        and (times.size == 0 or times[0] > start)
        and len(lake.candles(symbol, timeframe, end_ms=start))
    ):
        return times, (start, end)
    return (times, (int(times[0]), end)) if times.size else None


def _pieces(holes: list[Span], asked: list[Span], source: str | None) -> list[Piece]:
    missing = [Piece(span=span, status=GapStatus.MISSING, source=source) for span in intersect(holes, asked)]
    waiting = [Piece(span=span, status=GapStatus.NOT_FETCHED, source=None) for span in subtract(holes, asked)]
    return missing + waiting


def _beyond(known: Sequence[Gap], scope: Span, step: int) -> list[Piece]:
    """The parts of known gaps that were not looked at now: they stay what they were."""
    return [
        Piece(span=span, status=gap.status, source=gap.source)
        for gap in known
        for span in subtract([gap.span(step)], [scope])
    ]


def _joined(pieces: list[Piece]) -> list[Piece]:
    """In order; neighbours that are alike become one."""
    found: list[Piece] = []
    for piece in sorted(pieces, key=lambda one: one.span):
        last = found[-1] if found else None
        if last is not None and replace(last, span=piece.span) == piece and last.span[1] == piece.span[0]:
            found[-1] = replace(last, span=(last.span[0], piece.span[1]))
        else:
            found.append(piece)
    return found
