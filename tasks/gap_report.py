"""What would a person want to know before trusting the candles of this home?

How complete each market is, which bars it lacks and whether anybody was asked for them, what is odd about its bars,
settlements and open interest, and how its venue last answered. Worst first. Reading brings the ledger of gaps up to
date and changes nothing else.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from infra.bootstrap import App, open_app
from infra.coverage import Coverage, measure_coverage
from infra.gaps import Gap, GapStatus, open_gaps, scan_ended, scan_gaps
from infra.heartbeats import read_heartbeats
from infra.venues import read_venue
from market.errors import LockstepError
from market.quality import Finding, Severity, judge_candles, judge_revisions, judge_starts
from market.stamp_quality import judge_funding, judge_open_interest
from market.timeframe import Timeframe
from tasks.fetch_plan import open_interest_period
from tasks.plan import timeframe_of
from tasks.progress import report

__all__ = ["examine_gaps", "gap_report", "held_symbols", "scan_ledger"]

_RUNS_TOLD = 20


def examine_gaps(home: str, *, symbols: Sequence[str]) -> dict[str, Any]:
    """``gap_report`` of a home."""
    with open_app(home) as app:
        return gap_report(app, symbols=symbols)


def gap_report(app: App, *, symbols: Sequence[str]) -> dict[str, Any]:
    """Coverage, open gaps and findings of these markets, or of all the lake holds, as plain values."""
    timeframe = timeframe_of(app.settings)
    names = held_symbols(app, symbols)
    end_ms = _newest_close_ms(app, timeframe)
    gaps = scan_ledger(app, symbols=names)
    delisted = _delisted(app)
    measured: list[Coverage] = []
    findings: list[Finding] = []
    for done, symbol in enumerate(names):
        report("gaps", done, len(names), note=symbol)
        coverage, found = _look(app, symbol, timeframe, end_ms=None if symbol in delisted else end_ms)
        measured.append(coverage)
        findings += found
    report("gaps", len(names), len(names))
    findings += judge_starts({one.symbol: one.first_ms for one in measured if one.first_ms is not None}, timeframe)
    findings.sort(key=lambda one: (one.severity is not Severity.WARN, one.kind, one.symbol))
    return {
        "timeframe": timeframe.name,
        "end_ms": end_ms,
        "min_coverage": app.settings.data.min_coverage,
        "symbols": [
            _row(app, one, gaps, findings) for one in sorted(measured, key=lambda one: (one.share, -one.missing))
        ],
        "gaps": [_gap_row(gap) for gap in sorted(gaps, key=lambda gap: -gap.bars)],
        "findings": [_finding_row(one) for one in findings],
        "venue": _venue(app),
    }


def held_symbols(app: App, symbols: Sequence[str]) -> tuple[str, ...]:
    """These symbols, each of which the lake must hold; without any, all that it holds."""
    timeframe = timeframe_of(app.settings)
    held = app.lake.symbols(timeframe)
    unknown = [symbol for symbol in symbols if symbol not in held]
    if unknown or not held:
        raise LockstepError(
            f"the lake holds no {timeframe.name} candles" + (f" of {', '.join(unknown)}" if unknown else ""),
            why="gaps are counted from the first bar that is there",
            remedy="bring bars with lockstep backfill, or name other symbols",
        )
    return tuple(dict.fromkeys(symbols)) or held


def scan_ledger(app: App, *, symbols: Sequence[str]) -> tuple[Gap, ...]:
    """Bring the ledger of these markets up to date; the answers of the venue of the settings count.

    Bars are expected up to the newest bar of all markets, as what is newer is a matter of freshness; of a market that
    was delisted up to its own last bar.
    """
    timeframe = timeframe_of(app.settings)
    source, newest_ms = app.settings.data.exchange, _newest_close_ms(app, timeframe)
    delisted = _delisted(app)
    ended, traded = ([s for s in symbols if (s in delisted) is gone] for gone in (True, False))
    scan_ended(app.engine, app.lake, symbols=ended, timeframe=timeframe, source=source)
    scan_gaps(app.engine, app.lake, symbols=traded, timeframe=timeframe, end_ms=newest_ms, source=source)
    return open_gaps(app.engine, symbols=symbols, timeframe=timeframe)


def _delisted(app: App) -> frozenset[str]:
    """The markets that the last collection found gone from their venue."""
    collector = read_heartbeats(app.engine).get("collector")
    named = None if collector is None else collector.detail.get("delisted")
    return frozenset(named if isinstance(named, list) else ())


def _newest_close_ms(app: App, timeframe: Timeframe) -> int:
    newest = [app.lake.watermark(symbol, timeframe) for symbol in app.lake.symbols(timeframe)]
    return max((mark for mark in newest if mark is not None), default=0) + timeframe.ms


def _look(app: App, symbol: str, timeframe: Timeframe, *, end_ms: int | None) -> tuple[Coverage, tuple[Finding, ...]]:
    candles = app.lake.candles(symbol, timeframe)
    stamps, values = app.lake.open_interest(symbol)
    found = (
        *judge_candles(candles),
        *judge_revisions(symbol, *app.lake.revisions(symbol, timeframe)),
        *judge_funding(app.lake.funding(symbol)),
        *judge_open_interest(symbol, stamps, values, timeframe=open_interest_period(timeframe)),
    )
    return measure_coverage(candles, end_ms=end_ms), found


def _row(app: App, one: Coverage, gaps: Sequence[Gap], findings: Sequence[Finding]) -> dict[str, Any]:
    own = [gap for gap in gaps if gap.symbol == one.symbol]
    return {
        "symbol": one.symbol,
        "first_ms": one.first_ms,
        "last_ms": one.last_ms,
        "rows": one.rows,
        "missing": one.missing,
        "coverage": one.share,
        "enough": one.share >= app.settings.data.min_coverage,
        "not_fetched": sum(gap.bars for gap in own if gap.status is GapStatus.NOT_FETCHED),
        "missing_at_venue": sum(gap.bars for gap in own if gap.status is GapStatus.MISSING),
        "warnings": sum(f.symbol == one.symbol and f.severity is Severity.WARN for f in findings),
        "sources": list(app.lake.sources(one.symbol, one.timeframe)),
    }


def _gap_row(gap: Gap) -> dict[str, Any]:
    return {
        "symbol": gap.symbol,
        "first_ms": gap.first_ms,
        "last_ms": gap.last_ms,
        "bars": gap.bars,
        "status": str(gap.status),
        "source": gap.source,
        "found_at": gap.found_at.isoformat(),
        "asked_at": None if gap.asked_at is None else gap.asked_at.isoformat(),
    }


def _finding_row(one: Finding) -> dict[str, Any]:
    """The finding with its longest runs; ``run_count`` says how many there are."""
    longest = sorted(sorted(one.runs, key=lambda run: -run.bars)[:_RUNS_TOLD], key=lambda run: run.first_ms)
    return {
        "symbol": one.symbol,
        "kind": one.kind,
        "severity": str(one.severity),
        "first_ms": one.first_ms,
        "last_ms": one.last_ms,
        "bars": one.bars,
        "words": one.words,
        "run_count": len(one.runs),
        "runs": [asdict(run) for run in longest],
    }


def _venue(app: App) -> dict[str, Any]:
    """The venue of the settings; None in every field while nobody ever asked it."""
    name, limit_s = app.settings.data.exchange, app.settings.data.max_clock_skew_s
    state = read_venue(app.engine, name)
    skew_ms = None if state is None else state.clock_skew_ms
    moments = {key: getattr(state, key, None) for key in ("checked_at", "answered_at", "closed_until")}
    return {
        "venue": name,
        "clock_skew_ms": skew_ms,
        "max_clock_skew_ms": int(limit_s * 1000),
        "clock_agrees": None if skew_ms is None else abs(skew_ms) <= limit_s * 1000,
        **{key: None if at is None else at.isoformat() for key, at in moments.items()},
        "closed": False if state is None else state.closed,
        "why": None if state is None else state.why,
    }
