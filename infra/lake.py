"""What did the market do, and what did we know of it when?

The lake keeps candles, funding and open interest as Parquet, append-only and bitemporal: every row says when it was
known, a changed bar is a new row, and reads take ``as_of_ms``. Only checked values enter. Appending the same rows
twice stores them once. Synthetic and real rows never share a symbol. Times are integer ms UTC; candles are named by
open time. Arrays that reads return may be shared and are read-only.

    >>> import tempfile, numpy as np
    >>> from market.candles import Candles
    >>> one = np.ones(2)
    >>> bars = Candles(symbol="BTCUSDT", timeframe=Timeframe.parse("5m"), open_time=np.array([0, 300_000]),
    ...                open=one, high=one, low=one, close=one, volume=one)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lake = Lake(folder)
    ...     lake.append_candles(bars, source="doc"), lake.append_candles(bars, source="doc")
    (2, 0)
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from infra.errors import LakeError
from infra.lake_cache import MonthCache
from infra.lake_files import (
    CANDLE_COLUMNS,
    FUNDING_COLUMNS,
    OPEN_INTEREST_COLUMNS,
    MonthFile,
    month_paths,
    remove_leftovers,
    write_months,
)
from infra.lake_lock import write_lock
from infra.lake_origin import claim_origin
from infra.lake_rows import Rows, merge_rows, months_of, new_rows, rows_as_of, stack_rows, take_rows
from infra.lake_snapshot import Snapshot, is_synthetic_source, snapshot_id
from infra.open_interest import OpenInterestStamps, check_open_interest
from market.candles import Candles, Floats, Ints, check_candles
from market.errors import SymbolError
from market.funding import FundingStamps, check_funding
from market.symbols import venue_symbol
from market.timeframe import Timeframe

__all__ = ["Lake"]

_FUNDING = "funding"
_OPEN_INTEREST = "open_interest"
_COLUMNS = {_FUNDING: FUNDING_COLUMNS, _OPEN_INTEREST: OPEN_INTEREST_COLUMNS}


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Lake:
    """The store of market data under ``root``; opening one touches nothing until the first append.

    ``settle_delay_ms`` after its close a bar counts as known when no better moment is given. ``clock_ms`` dates
    revisions that come without a moment of their own. ``lock_timeout_s`` bounds the wait for another writer,
    ``cache_bytes`` the decoded months kept in memory.
    """

    def __init__(
        self,
        root: Path | str,
        settle_delay_ms: int = 5000,
        *,
        lock_timeout_s: float = 30.0,
        clock_ms: Callable[[], int] = _wall_clock_ms,
        cache_bytes: int = 128 * 2**20,
    ) -> None:
        self.root = Path(root)
        self.settle_delay_ms = settle_delay_ms
        self.lock_timeout_s = lock_timeout_s
        self._clock_ms = clock_ms
        self._cache = MonthCache(cache_bytes)

    def append_candles(self, candles: Candles, *, source: str, known_at_ms: int | None = None) -> int:
        """Store checked, closed bars; return how many rows were new.

        Known at ``known_at_ms``, else (a backfill) at close + settle delay. A bar stored with other values becomes a
        revision known at ``known_at_ms``, else now. Raises ``CandleError`` or ``LakeError``; then nothing was stored.
        """
        if len(candles) == 0:
            return 0
        check_candles(candles)
        close = candles.open_time + candles.timeframe.ms
        if known_at_ms is not None and known_at_ms < close[-1]:
            raise LakeError(
                f"{candles.symbol}: the bar closing {_utc(int(close[-1]))} is said to be known at {_utc(known_at_ms)}",
                why="a bar that still forms would be stored as final",
                remedy="append closed bars only, and check the clock of this machine",
            )
        values = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        kind = _candles(candles.timeframe)
        return self._append(
            kind, candles.symbol, candles.open_time, values, close + self.settle_delay_ms, source, known_at_ms
        )

    def append_funding(self, stamps: FundingStamps, *, source: str, known_at_ms: int | None = None) -> int:
        """Store checked settlements, known at their stamp unless told otherwise; return how many rows were new."""
        check_funding(stamps)
        return self._append(_FUNDING, stamps.symbol, stamps.time, (stamps.rate,), stamps.time, source, known_at_ms)

    def append_open_interest(
        self, symbol: str, time: Ints, value: Floats, *, source: str, known_at_ms: int | None = None
    ) -> int:
        """Store raw open interest stamps, known at their stamp unless told otherwise; return how many rows were new."""
        check_open_interest(OpenInterestStamps(symbol=symbol, time=time, value=value))
        return self._append(_OPEN_INTEREST, symbol, time, (value,), time, source, known_at_ms)

    def candles(
        self,
        symbol: str,
        timeframe: Timeframe,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        as_of_ms: int | None = None,
    ) -> Candles:
        """Bars with ``start_ms <= open_time < end_ms`` as known at ``as_of_ms``; empty where there are none."""
        rows = self._read(_candles(timeframe), symbol, start_ms, end_ms, as_of_ms)
        columns = dict(zip(CANDLE_COLUMNS, rows.values, strict=True))
        return Candles(symbol=symbol, timeframe=timeframe, open_time=rows.time, **columns)

    def funding(
        self, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> FundingStamps:
        """Settlements with ``start_ms <= time < end_ms`` as they were known at ``as_of_ms``."""
        rows = self._read(_FUNDING, symbol, start_ms, end_ms, as_of_ms)
        return FundingStamps(symbol=symbol, time=rows.time, rate=rows.values[0])

    def open_interest(
        self, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> tuple[Ints, Floats]:
        """Raw stamps with ``start_ms <= time < end_ms`` as they were known at ``as_of_ms``: times and values."""
        rows = self._read(_OPEN_INTEREST, symbol, start_ms, end_ms, as_of_ms)
        return rows.time, rows.values[0]

    def symbols(self, timeframe: Timeframe) -> tuple[str, ...]:
        """The symbols with candles of this timeframe, sorted."""
        folder = self.root / _candles(timeframe)
        found = folder.iterdir() if folder.is_dir() else ()
        return tuple(sorted(entry.name for entry in found if month_paths(entry)))

    def sources(self, symbol: str, timeframe: Timeframe) -> tuple[str, ...]:
        """Who supplied the candles of this symbol, sorted."""
        return _names_used([self._read_all(_candles(timeframe), symbol, None, None)])

    def watermark(self, symbol: str, timeframe: Timeframe) -> int | None:
        """Open time of the newest bar stored, or None."""
        kind = _candles(timeframe)
        paths = month_paths(self.root / kind / symbol)
        return int(self._cache.read(paths[-1], CANDLE_COLUMNS).time[-1]) if paths else None

    def revisions(self, symbol: str, timeframe: Timeframe) -> tuple[Ints, Ints]:
        """Open times of the bars that were ever revised, and when each revision became known; oldest first."""
        rows = self._read_all(_candles(timeframe), symbol, None, None)
        again = np.append(False, np.diff(rows.time) == 0)[: len(rows)]
        return rows.time[again], rows.known_at[again]

    def snapshot(
        self,
        symbols: Sequence[str],
        timeframe: Timeframe,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        as_of_ms: int | None = None,
    ) -> Snapshot:
        """Name the data of these symbols in ``[start_ms, end_ms)`` as it was known at ``as_of_ms``."""
        names = tuple(sorted(set(symbols)))
        kinds = (_candles(timeframe), _FUNDING, _OPEN_INTEREST)
        parts = [(kind, name, self._read(kind, name, start_ms, end_ms, as_of_ms)) for name in names for kind in kinds]
        bars = [rows for kind, _, rows in parts if kind == kinds[0] and len(rows)]
        sources = _names_used([rows for _, _, rows in parts])
        return Snapshot(
            id=snapshot_id(timeframe, parts),
            symbols=names,
            timeframe=timeframe,
            rows=sum(len(rows) for rows in bars),
            first_ms=min((int(rows.time[0]) for rows in bars), default=None),
            last_ms=max((int(rows.time[-1]) for rows in bars), default=None),
            synthetic=any(is_synthetic_source(source) for source in sources),
            sources=sources,
        )

    def _append(
        self,
        kind: str,
        symbol: str,
        times: Ints,
        values: tuple[Floats, ...],
        default_known_at: Ints,
        source: str,
        known_at_ms: int | None,
    ) -> int:
        if times.size == 0:
            return 0
        _check_names(symbol, source)
        arriving = Rows(
            time=times.astype(np.int64, copy=False),
            values=values,
            known_at=default_known_at if known_at_ms is None else np.full(times.size, known_at_ms, dtype=np.int64),
            source=np.zeros(times.size, dtype=np.int32),
            source_names=(source,),
        )
        folder = self.root / kind / symbol
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with write_lock(folder, timeout_s=self.lock_timeout_s):
                claim_origin(self.root, symbol, synthetic=is_synthetic_source(source))
                remove_leftovers(folder)
                revised_at_ms = self._clock_ms() if known_at_ms is None else known_at_ms
                return self._store(folder, arriving, _columns_of(kind), revised_at_ms=revised_at_ms)
        except OSError as error:
            raise LakeError(
                f"cannot write {folder} ({error.strerror or error})",
                why="no row of this call was stored",
                remedy="free space or fix the permissions there, then run this again",
            ) from error

    def _store(self, folder: Path, arriving: Rows, columns: Sequence[str], *, revised_at_ms: int) -> int:
        files: list[MonthFile] = []
        count = 0
        for month, part in months_of(arriving.time):
            path = folder / f"{month}.parquet"
            stored = self._cache.read(path, columns)
            fresh = new_rows(stored, take_rows(arriving, part), revised_at_ms=revised_at_ms)
            if len(fresh):
                files.append(MonthFile(path=path, rows=merge_rows(stored, fresh)))
                count += len(fresh)
        if files:
            write_months(files, columns)
            for file in files:
                self._cache.wrote(file.path, file.rows)
        return count

    def _read(self, kind: str, symbol: str, start_ms: int | None, end_ms: int | None, as_of_ms: int | None) -> Rows:
        return rows_as_of(self._read_all(kind, symbol, start_ms, end_ms), as_of_ms)

    def _read_all(self, kind: str, symbol: str, start_ms: int | None, end_ms: int | None) -> Rows:
        columns = _columns_of(kind)
        paths = month_paths(self.root / kind / symbol, start_ms=start_ms, end_ms=end_ms)
        rows = stack_rows([self._cache.read(path, columns) for path in paths], width=len(columns))
        lo = 0 if start_ms is None else int(np.searchsorted(rows.time, start_ms))
        hi = len(rows) if end_ms is None else int(np.searchsorted(rows.time, end_ms))
        return rows if (lo, hi) == (0, len(rows)) else take_rows(rows, slice(lo, max(lo, hi)))


def _candles(timeframe: Timeframe) -> str:
    return f"candles_{timeframe.name}"


def _columns_of(kind: str) -> tuple[str, ...]:
    return _COLUMNS.get(kind, CANDLE_COLUMNS)


def _names_used(parts: Sequence[Rows]) -> tuple[str, ...]:
    return tuple(sorted({part.source_names[code] for part in parts for code in np.unique(part.source)}))


def _utc(time_ms: int) -> str:
    return f"{np.datetime64(time_ms, 'ms')}Z"


def _check_names(symbol: str, source: str) -> None:
    if not source or len(source) > 100 or not source.isprintable():
        raise LakeError(
            f"source {source!r}",
            why="every row names who supplied it",
            remedy="name the venue or the folder it came from",
        )
    if venue_symbol(symbol) != symbol:
        raise SymbolError(
            f"symbol {symbol!r}", why="the lake names markets as the venue does", remedy=f"write {venue_symbol(symbol)}"
        )
