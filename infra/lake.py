"""What did the market do, and what did we know of it when?

The lake keeps candles, funding, open interest, mark prices and takers' shares of volume as Parquet, append-only and
bitemporal: every row says when it was known, a changed bar is a new row, and reads take ``as_of_ms``. Only checked
values enter. Appending the same rows twice stores them once. Synthetic and real rows never share a symbol. Times are
integer ms UTC; candles and shares are named by the bar's open time, mark prices by the close of their hour. Arrays
that reads return may be shared and are read-only.

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
from infra.lake_cache import RowsCache
from infra.lake_contents import Compaction, Holding, Progress, compacted, holdings, kinds, symbols_of
from infra.lake_files import CANDLE_COLUMNS, month_at
from infra.lake_market import MarketFiles
from infra.lake_origin import claim_origin
from infra.lake_rows import Rows, rows_as_of
from infra.lake_snapshot import Snapshot, is_synthetic_source, snapshot_id
from infra.lake_storage import Locks, open_storage, writing
from infra.lake_tail import Tail
from infra.open_interest import OpenInterestStamps, check_open_interest
from market.basis import MarkStamps, check_mark
from market.candles import Candles, Floats, Ints, check_candles
from market.errors import SymbolError
from market.funding import FundingStamps, check_funding
from market.symbols import venue_symbol
from market.taker_flow import TakerShares, check_taker
from market.timeframe import Timeframe

__all__ = ["Lake"]

_FUNDING = "funding"
_MARK = "mark"
_OPEN_INTEREST = "open_interest"


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Lake:
    """The store of market data in a folder or at ``s3://bucket/prefix``; opening one touches nothing.

    ``settle_delay_ms`` after its close a bar counts as known when no better moment is given. ``clock_ms`` dates
    revisions that come without a moment of their own. ``lock_timeout_s`` bounds the wait for another writer,
    ``cache_bytes`` the decoded files kept in memory. ``locks`` keeps writers of an object store apart; a folder has
    locks of its own.
    """

    def __init__(
        self,
        root: Path | str,
        settle_delay_ms: int = 5000,
        *,
        lock_timeout_s: float = 30.0,
        clock_ms: Callable[[], int] = _wall_clock_ms,
        cache_bytes: int = 128 * 2**20,
        locks: Locks | None = None,
    ) -> None:
        self._storage = open_storage(root, locks=locks)
        self.root = Path(root) if self._storage.replaces else root
        self.settle_delay_ms = settle_delay_ms
        self.lock_timeout_s = lock_timeout_s
        self._clock_ms = clock_ms
        self._cache = RowsCache(self._storage, cache_bytes)

    @property
    def place(self) -> str:
        """Where it lies, as a person would write it."""
        return self._storage.shown("")

    def append_candles(self, candles: Candles, *, source: str, known_at_ms: int | None = None) -> int:
        """Store checked, closed bars; return how many rows were new.

        Known at ``known_at_ms``, else (a backfill) at close + settle delay. A bar stored with other values becomes a
        revision known at ``known_at_ms``, else now. Raises ``CandleError`` or ``LakeError``; running again completes.
        """
        if len(candles) == 0:
            return 0
        check_candles(candles)
        values = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        kind, close = _candles(candles.timeframe), candles.open_time + candles.timeframe.ms
        return self._append_closed(kind, candles.symbol, candles.open_time, values, close, source, known_at_ms)

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

    def append_mark(self, stamps: MarkStamps, *, source: str, known_at_ms: int | None = None) -> int:
        """Store checked mark prices, known as closed bars are; return how many rows were new."""
        check_mark(stamps)
        return self._append_closed(_MARK, stamps.symbol, stamps.time, (stamps.price,), stamps.time, source, known_at_ms)

    def append_taker(self, shares: TakerShares, *, source: str, known_at_ms: int | None = None) -> int:
        """Store checked takers' shares, known as their bars are; return how many rows were new."""
        check_taker(shares)
        kind, close = _taker(shares.timeframe), shares.open_time + shares.timeframe.ms
        return self._append_closed(kind, shares.symbol, shares.open_time, (shares.share,), close, source, known_at_ms)

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

    def mark(
        self, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> MarkStamps:
        """Mark prices with ``start_ms <= time < end_ms`` as they were known at ``as_of_ms``."""
        rows = self._read(_MARK, symbol, start_ms, end_ms, as_of_ms)
        return MarkStamps(symbol=symbol, time=rows.time, price=rows.values[0])

    def taker(
        self,
        symbol: str,
        timeframe: Timeframe,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        as_of_ms: int | None = None,
    ) -> TakerShares:
        """Takers' shares of bars with ``start_ms <= open_time < end_ms`` as they were known at ``as_of_ms``."""
        rows = self._read(_taker(timeframe), symbol, start_ms, end_ms, as_of_ms)
        return TakerShares(symbol=symbol, timeframe=timeframe, open_time=rows.time, share=rows.values[0])

    def symbols(self, timeframe: Timeframe) -> tuple[str, ...]:
        """The symbols with candles of this timeframe, sorted."""
        return symbols_of(self._storage, _candles(timeframe))

    def sources(self, symbol: str, timeframe: Timeframe) -> tuple[str, ...]:
        """Who supplied the candles of this symbol, sorted."""
        return _names_used([self.versions(_candles(timeframe), symbol)])

    def watermark(self, symbol: str, timeframe: Timeframe) -> int | None:
        """Open time of the newest bar stored, or None."""
        return self._market(_candles(timeframe), symbol).last_time()

    def revisions(self, symbol: str, timeframe: Timeframe) -> tuple[Ints, Ints]:
        """Open times of the bars that were ever revised, and when each revision became known; oldest first."""
        rows = self.versions(_candles(timeframe), symbol)
        again = np.append(False, np.diff(rows.time) == 0)[: len(rows)]
        return rows.time[again], rows.known_at[again]

    def versions(self, kind: str, symbol: str, *, start_ms: int | None = None, end_ms: int | None = None) -> Rows:
        """Every version ever stored of ``[start_ms, end_ms)``; kinds are named as their folders, as ``candles_5m``."""
        return self._market(kind, symbol).read(start_ms=start_ms, end_ms=end_ms)

    def tail(self, kind: str, symbol: str, *, start_ms: int) -> Tail:
        """A reader that tells what comes to the months from ``start_ms`` on, beginning with the next look."""
        return Tail(market=self._market(kind, symbol), start_month=month_at(start_ms)).begin()

    def holdings(self, progress: Progress = lambda _done, _total: None) -> tuple[Holding, ...]:
        """What is stored, by kind."""
        return holdings(self._markets(), progress)

    def compact(self, progress: Progress = lambda _done, _total: None) -> Compaction:
        """Leave one file a month everywhere; reads answer the same before, meanwhile and after."""
        return compacted(self._markets(), progress, lock_timeout_s=self.lock_timeout_s)

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
        kinds = (_candles(timeframe), _FUNDING, _OPEN_INTEREST, _MARK, _taker(timeframe))
        read = [(kind, name, self._read(kind, name, start_ms, end_ms, as_of_ms)) for name in names for kind in kinds]
        # Not every market has these two, and one without them keeps the id it would have had before they existed.
        parts = [(kind, name, rows) for kind, name, rows in read if kind in kinds[:3] or len(rows)]
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

    def _append_closed(
        self,
        kind: str,
        symbol: str,
        times: Ints,
        values: tuple[Floats, ...],
        close: Ints,
        source: str,
        known_at_ms: int | None,
    ) -> int:
        """``_append`` for what is final with a bar's close: it cannot have been known before."""
        if known_at_ms is not None and close.size and known_at_ms < close[-1]:
            raise LakeError(
                f"{symbol}: the bar closing {_utc(int(close[-1]))} is said to be known at {_utc(known_at_ms)}",
                why="a bar that still forms would be stored as final",
                remedy="append closed bars only, and check the clock of this machine",
            )
        return self._append(kind, symbol, times, values, close + self.settle_delay_ms, source, known_at_ms)

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
        market = self._market(kind, symbol)
        with (
            writing(self._storage, market.folder),
            self._storage.lock(market.folder, timeout_s=self.lock_timeout_s) as held,
        ):
            synthetic = is_synthetic_source(source)
            claim_origin(self._storage, symbol, synthetic=synthetic, held=held, timeout_s=self.lock_timeout_s)
            self._storage.remove_leftovers(market.folder)
            revised_at_ms = self._clock_ms() if known_at_ms is None else known_at_ms
            return market.append(arriving, revised_at_ms=revised_at_ms, held=held)

    def _read(self, kind: str, symbol: str, start_ms: int | None, end_ms: int | None, as_of_ms: int | None) -> Rows:
        return rows_as_of(self.versions(kind, symbol, start_ms=start_ms, end_ms=end_ms), as_of_ms)

    def _market(self, kind: str, symbol: str) -> MarketFiles:
        return MarketFiles(storage=self._storage, cache=self._cache, kind=kind, symbol=symbol)

    def _markets(self) -> list[MarketFiles]:
        storage = self._storage
        return [self._market(kind, symbol) for kind in kinds(storage) for symbol in symbols_of(storage, kind)]


def _candles(timeframe: Timeframe) -> str:
    return f"candles_{timeframe.name}"


def _taker(timeframe: Timeframe) -> str:
    return f"taker_{timeframe.name}"


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
