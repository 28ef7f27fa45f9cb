"""How do bars come from an exchange, in bulk and as they close?

Collect asks for what is due, backfill for what was never answered in a window; both store what arrives at once, mark
what the venue has answered for, and bring the ledger of gaps up to date. A venue that asked for a pause is not asked. A
request that fails is reported and never filled in. The result is plain JSON; ``incomplete`` in it says what is lacking.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.fetched_windows import fetched_many
from infra.gaps import Gap, open_gaps, scan_ended, scan_gaps
from infra.heartbeats import beat
from infra.locks import exclusive
from infra.sources.exchange import ExchangeSource, VenueSession
from infra.sources.protocol import Kind
from market.errors import LockstepError
from market.runs import runs_of
from market.spans import Span
from market.symbols import is_synthetic, venue_symbol
from market.timeframe import DAY_MS, HOUR_MS, Timeframe
from tasks.coverage import renew
from tasks.fetch_plan import ASKED, Known, Window, backfill_requests, collect_requests, period_of
from tasks.fetching import Found, Run, fetch_all
from tasks.origins import refuse_other_venues
from tasks.plan import timeframe_of
from tasks.symbols import symbols_to_collect
from tasks.venue import check_clock, exchange_options, require_same_clock, venue_session

__all__ = ["backfill_exchange", "backfill_from", "collect_from", "collect_newest"]

# What happened earlier than so long ago is history to a collection, known since it happened.
_NEWS_MS = HOUR_MS


@task(cache_policy=NO_CACHE)
def collect_newest(home: str, *, symbols: Sequence[str] | None = None, now_ms: int | None = None) -> dict[str, Any]:
    """Bring everything that is due; None takes the symbols of the home, and this machine's clock.

    A new symbol starts ``data.history_days`` ago. Nothing is asked for while the venue's clock is not ours.
    """
    with open_app(home) as app, exclusive(app.engine, "collection"):
        source = ExchangeSource(exchange_options(app.settings))
        found = collect_from(app, source, symbols=_named(symbols) or symbols_to_collect(app), now_ms=now_ms)
        beat(app.engine, "collector", found)
        return found


@task(cache_policy=NO_CACHE)
def backfill_exchange(
    home: str,
    *,
    symbols: Sequence[str] | None,
    start_ms: int | None,
    end_ms: int | None = None,
    exchange: str | None = None,
) -> dict[str, Any]:
    """Bring ``[start_ms, end_ms)`` of these symbols from the venue; what it answered for earlier is not asked again."""
    chosen = _named(symbols)
    if not chosen or start_ms is None:
        raise LockstepError(
            "a backfill from an exchange without symbols or without a start",
            why="a venue lists hundreds of markets with years of history",
            remedy="name the markets and the first day to bring",
        )
    with open_app(home) as app, exclusive(app.engine, "backfill"):
        source = ExchangeSource(exchange_options(app.settings, exchange=exchange))
        return backfill_from(app, source, symbols=chosen, start_ms=start_ms, end_ms=end_ms)


def collect_from(
    app: App, source: ExchangeSource, *, symbols: Sequence[str], now_ms: int | None = None
) -> dict[str, Any]:
    """``collect_newest`` in stores that are open; ``now_ms`` takes the place of this machine's clock."""
    with _venue(app, source, symbols) as session:
        check = check_clock(app.engine, session, source.name, now_ms=now_ms)
        require_same_clock(app, check, source.name, why="by a wrong clock a bar that still forms looks final")
        ours = check.local_ms
        oldest = ours - app.settings.data.history_days * DAY_MS
        window = _window(app, start_ms=oldest, end_ms=ours + 1, now_ms=check.slower_ms)
        # Everybody's answers count: what files brought is not asked of a venue at every run.
        known = _known(app, symbols, window.timeframe, source=None)
        requests = collect_requests(known, window, revise_bars=app.settings.data.revise_bars)
        run = Run(
            stage="collect", source=source.name, now_ms=window.now_ms, known_at_ms=ours, news_from_ms=ours - _NEWS_MS
        )
        found = fetch_all(app, session, run, requests, in_lake=_in_lake(known))
        since_ms = min((one.start_ms for one in requests if one.kind is Kind.CANDLES), default=oldest)
        gaps = _scan(app, run, found, symbols, window, start_ms=since_ms)
        result = _result(app, run, found, symbols, gaps) | {"clock_skew_ms": check.skew_ms}
        coverage = renew(app, symbols=result["symbols"], gaps=gaps, source=source.name, since_ms=since_ms)
        return {**result, "coverage": coverage}


def backfill_from(
    app: App, source: ExchangeSource, *, symbols: Sequence[str], start_ms: int, end_ms: int | None
) -> dict[str, Any]:
    """``backfill_exchange`` in stores that are open.

    A clock that is wrong does no harm here: by the earlier of both clocks, a bar that still forms is never final.
    """
    with _venue(app, source, symbols) as session:
        check = check_clock(app.engine, session, source.name)
        now_ms = check.slower_ms
        window = _window(app, start_ms=start_ms, end_ms=now_ms + 1 if end_ms is None else end_ms, now_ms=now_ms)
        known = _known(app, symbols, window.timeframe, source=source.name)
        held = {symbol: _held(app, symbol, window) for symbol in _in_lake(known)}
        requests = backfill_requests(known, held, window)
        run = Run(stage="backfill", source=source.name, now_ms=now_ms, known_at_ms=check.local_ms, news_from_ms=None)
        found = fetch_all(app, session, run, requests, in_lake=_in_lake(known))
        gaps = _scan(app, run, found, symbols, window, start_ms=None)
        return _result(app, run, found, symbols, gaps) | {"clock_skew_ms": check.skew_ms}


@contextmanager
def _venue(app: App, source: ExchangeSource, symbols: Sequence[str]) -> Iterator[VenueSession]:
    """A session with the venue, if it and these symbols may be asked for."""
    _refuse_synthetic(symbols)
    refuse_other_venues(app, symbols, timeframe_of(app.settings), venue=source.name)
    with venue_session(app.engine, source) as session:
        yield session


def _scan(
    app: App, run: Run, found: Found, symbols: Sequence[str], window: Window, *, start_ms: int | None
) -> tuple[Gap, ...]:
    """Bring the ledger up to date from ``start_ms`` on; the open gaps. A delisted market ends with its last bar."""
    step = window.timeframe
    traded = [symbol for symbol in symbols if symbol not in found.delisted]
    scan_gaps(
        app.engine,
        app.lake,
        symbols=traded,
        timeframe=step,
        end_ms=window.candles[1],
        source=run.source,
        start_ms=start_ms,
    )
    scan_ended(app.engine, app.lake, symbols=sorted(found.delisted), timeframe=step, source=run.source)
    return open_gaps(app.engine, symbols=symbols, timeframe=step)


def _result(app: App, run: Run, found: Found, symbols: Sequence[str], gaps: Sequence[Gap]) -> dict[str, Any]:
    held = set(app.lake.symbols(timeframe_of(app.settings)))
    return {
        "source": run.source,
        "symbols": [symbol for symbol in symbols if symbol in held],
        "requests": found.requests,
        "new_rows": found.new_rows,
        "revisions": found.revisions,
        "open_gaps": len(gaps),
        "missing_bars": sum(gap.bars for gap in gaps),
        "delisted": sorted(found.delisted),
        "failed": found.failures(),
        "incomplete": found.incomplete(asked=len(symbols)),
    }


def _known(app: App, symbols: Sequence[str], timeframe: Timeframe, *, source: str | None) -> dict[str, Known]:
    """What the home knows of each symbol, by the answers of ``source``, or of everybody."""
    held = set(app.lake.symbols(timeframe))
    answered = {
        kind: fetched_many(
            app.engine, symbols=symbols, kind=kind, timeframe=period_of(kind, timeframe).name, source=source
        )
        for kind in ASKED
    }
    return {
        symbol: Known(in_lake=symbol in held, answered={kind: answered[kind][symbol] for kind in ASKED})
        for symbol in symbols
    }


def _in_lake(known: dict[str, Known]) -> frozenset[str]:
    return frozenset(symbol for symbol, one in known.items() if one.in_lake)


def _held(app: App, symbol: str, window: Window) -> list[Span]:
    """The bars of the window that the lake holds."""
    (start, end), step = window.candles, window.timeframe.ms
    times = app.lake.candles(symbol, window.timeframe, start_ms=start, end_ms=end).open_time
    return [run.span(step) for run in runs_of(times, np.ones(times.size, dtype=np.bool_), step_ms=step)]


def _window(app: App, *, start_ms: int, end_ms: int, now_ms: int) -> Window:
    return Window(
        timeframe=timeframe_of(app.settings),
        start_ms=start_ms,
        end_ms=end_ms,
        now_ms=now_ms,
        settle_delay_ms=app.settings.data.settle_delay_s * 1000,
    )


def _named(symbols: Sequence[str] | None) -> tuple[str, ...]:
    """Each once, as venues spell them."""
    return tuple(dict.fromkeys(venue_symbol(symbol) for symbol in symbols or ()))


def _refuse_synthetic(symbols: Sequence[str]) -> None:
    for symbol in symbols:
        if is_synthetic(symbol):
            raise LockstepError(
                f"{symbol} is a synthetic market",
                why="no exchange trades it",
                remedy="name real symbols with --symbols, for example BTCUSDT",
            )
