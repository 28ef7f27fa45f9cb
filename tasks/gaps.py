"""How are gaps healed?

Healing asks the venue again for what it was never asked for and for what it lacked, as venues do repair their history.
What it brings is known since now, not since the close of its bar: whoever reads the lake as of an earlier moment still
sees the hole that was decided on. Only markets whose bars came from this venue are healed by it. Nothing is filled.
"""

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.gaps import Gap, note_asked
from infra.locks import exclusive
from infra.sources.exchange import ExchangeSource
from infra.sources.protocol import FetchRequest
from tasks.fetch_plan import heal_requests
from tasks.fetching import Found, Run, fetch_all
from tasks.gap_report import examine_gaps, held_symbols, scan_ledger
from tasks.plan import timeframe_of
from tasks.venue import check_clock, exchange_options, venue_session

__all__ = ["heal", "heal_gaps", "look_at_gaps"]


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
    ours = [symbol for symbol, names in sources.items() if source.name in names]
    holes = {symbol: [gap.span(timeframe.ms) for gap in before if gap.symbol == symbol] for symbol in ours}
    found = _ask(app, source, heal_requests(holes, timeframe)) if ours else Found()
    after = scan_ledger(app, symbols=symbols)
    note_asked(app.engine, [gap for gap in after if gap.symbol in set(ours) - found.failed.keys()])
    return {
        "source": source.name,
        "requests": found.requests,
        "new_rows": found.new_rows,
        "healed_bars": max(sum(gap.bars for gap in before) - sum(gap.bars for gap in after), 0),
        "healed_gaps": sum(not _overlaps(gap, after) for gap in before),
        "open_gaps": len(after),
        "not_of_this_venue": sorted(sources.keys() - set(ours)),
        "delisted": sorted(found.delisted),
        "failed": found.failures(),
        "incomplete": found.incomplete(asked=len(ours)),
    }


def _ask(app: App, source: ExchangeSource, requests: Sequence[FetchRequest]) -> Found:
    with venue_session(app.engine, source) as session:
        check = check_clock(app.engine, session, source.name)
        run = Run(stage="heal", source=source.name, now_ms=check.slower_ms, known_at_ms=check.local_ms, news_from_ms=0)
        return fetch_all(app, session, run, requests, in_lake=frozenset(one.symbol for one in requests))


def _overlaps(gap: Gap, others: Sequence[Gap]) -> bool:
    return any(o.symbol == gap.symbol and o.first_ms <= gap.last_ms and gap.first_ms <= o.last_ms for o in others)
