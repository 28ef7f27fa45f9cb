"""How do bars come from an exchange, in bulk and as they close?

Backfill walks a window in parts of a week: parts the lake holds completely are not asked for again, so an interrupted
backfill continues. Collect asks for what is new since the newest bar, and again for the last few bars, because venues
revise them. Whatever arrives is stored at once; a request that fails is reported and never filled in.
"""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.errors import SourceError
from infra.heartbeats import beat
from infra.lake import Lake
from infra.locks import exclusive
from infra.settings import Settings
from infra.sources.exchange import ExchangeOptions, ExchangeSource, FetchResult
from infra.sources.protocol import FetchRequest, Kind
from market.candles import Candles
from market.errors import LockstepError
from market.symbols import is_synthetic
from market.timeframe import DAY_MS, HOUR_MS, Timeframe
from tasks.collecting import append
from tasks.plan import timeframe_of
from tasks.progress import report

__all__ = ["backfill_exchange", "collect_newest"]

_PART_MS = 7 * DAY_MS
_AGAIN_BARS = 3
_RECENT_MS = HOUR_MS


@task(cache_policy=NO_CACHE)
def backfill_exchange(home: str, *, symbols: Sequence[str], start_ms: int, end_ms: int) -> dict[str, object]:
    """Bring ``[start_ms, end_ms)`` of these symbols from the venue into the lake."""
    with open_app(home) as app, exclusive(app.engine, "collection"):
        timeframe = timeframe_of(app.settings)
        requests: list[FetchRequest] = []
        for symbol in symbols:
            requests += _missing_parts(app.lake, symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
            for kind in (Kind.FUNDING, Kind.OPEN_INTEREST):
                requests.append(_request(symbol, kind, timeframe, start_ms, end_ms))
        return _fetch(app, requests, now_ms=None, stage="backfill")


@task(cache_policy=NO_CACHE)
def collect_newest(home: str, *, symbols: Sequence[str], now_ms: int) -> dict[str, object]:
    """Bring everything that closed since the last time; a new symbol starts ``data.history_days`` ago."""
    with open_app(home) as app, exclusive(app.engine, "collection"):
        timeframe = timeframe_of(app.settings)
        oldest = now_ms - app.settings.data.history_days * DAY_MS
        requests: list[FetchRequest] = []
        for symbol in symbols:
            mark = app.lake.watermark(symbol, timeframe)
            start = oldest if mark is None else max(oldest, mark - _AGAIN_BARS * timeframe.ms)
            for kind in Kind:
                back = 0 if kind is Kind.CANDLES else DAY_MS
                requests.append(_request(symbol, kind, timeframe, max(oldest, start - back), now_ms))
        found = _fetch(app, requests, now_ms=now_ms, stage="collect")
        beat(app.engine, "collector", found)
        return found


def _fetch(app: App, requests: Sequence[FetchRequest], *, now_ms: int | None, stage: str) -> dict[str, object]:
    source = ExchangeSource(_options(app.settings))
    rows = 0
    done = 0

    def store(result: FetchResult) -> None:
        nonlocal rows, done
        done += 1
        if result.values is not None:
            rows += _store(app.lake, result, source.name, now_ms=now_ms)
        report(stage, done, len(requests))

    report(stage, 0, max(len(requests), 1))
    results = source.collect(requests, now_ms=now_ms, on_result=store)
    failed = [one for one in results if one.error is not None]
    if failed:
        first = failed[0]
        raise SourceError(
            f"{len(failed)} of {len(requests)} requests to {source.name} failed; first {first.request.symbol} "
            f"{first.request.kind}: {first.error}",
            why=f"{rows} rows that did arrive are stored, the rest is missing and was not made up",
            remedy="run the same command again when the venue answers; it asks only for what is missing",
        )
    return {"source": source.name, "requests": len(requests), "new_rows": rows}


def _store(lake: Lake, result: FetchResult, source: str, *, now_ms: int | None) -> int:
    """Recent bars are known since now, older ones (a backfill) since their close."""
    values = result.values
    if values is None:
        return 0
    if not isinstance(values, Candles) or now_ms is None or len(values) == 0:
        return append(lake, values, source)
    recent = now_ms - _RECENT_MS
    older = lake.append_candles(values.between(None, recent), source=source)
    return older + lake.append_candles(values.between(recent, None), source=source, known_at_ms=now_ms)


def _missing_parts(lake: Lake, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int) -> list[FetchRequest]:
    held = lake.candles(symbol, timeframe, start_ms=start_ms, end_ms=end_ms)
    parts = []
    lo = start_ms
    while lo < end_ms:
        hi = min(lo + _PART_MS, end_ms)
        expected = -(-hi // timeframe.ms) - -(-lo // timeframe.ms)
        if len(held.between(lo, hi)) < expected:
            parts.append(_request(symbol, Kind.CANDLES, timeframe, lo, hi))
        lo = hi
    return parts


def _request(symbol: str, kind: Kind, timeframe: Timeframe, start_ms: int, end_ms: int) -> FetchRequest:
    if is_synthetic(symbol):
        raise LockstepError(
            f"{symbol} is a synthetic market",
            why="no exchange trades it",
            remedy="name real symbols with --symbols, for example BTCUSDT",
        )
    return FetchRequest(symbol=symbol, kind=kind, timeframe=timeframe, start_ms=start_ms, end_ms=end_ms)


def _options(settings: Settings) -> ExchangeOptions:
    d = settings.data
    return ExchangeOptions(
        exchange=d.exchange,
        url=d.exchange_url,
        timeout_s=d.request_timeout_s,
        max_retries=d.max_retries,
        settle_delay_ms=d.settle_delay_s * 1000,
    )
