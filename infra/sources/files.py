"""What do the market files on this disk say, as whole histories?

The files of a market are joined in time; where only shorter bars are there than were asked for, they are added up, and
the source's name says so. Nothing is sorted, filled or repaired, and what breaks a rule is refused by file name.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps
from infra.sources.catalogue import FoundFile, find_files
from infra.sources.cutting import between, times_of
from infra.sources.joining import join_candles, join_funding, join_mark, join_open_interest, join_taker
from infra.sources.market_files import (
    METRICS,
    MIN_BARS,
    naming,
    read_bars,
    read_funding,
    read_mark,
    read_metrics,
    too_few,
)
from infra.sources.protocol import FetchRequest, Kind, MarketHistory, MarketValues
from market.basis import MarkStamps
from market.candles import Candles
from market.errors import CandleError
from market.funding import FundingStamps
from market.resample import divides, resample
from market.symbols import venue_symbol
from market.taker_flow import TakerShares, resample_taker
from market.timeframe import Timeframe

__all__ = ["FileSource"]

_RUN = 12
_LONGEST_NAME = 90  # the lake takes a hundred characters, and a resampled source says from what


class FileSource:
    """The market files of one folder, or one such file, found once; each read opens the files anew."""

    def __init__(self, place: Path | str) -> None:
        self.place = Path(place)
        self.files = find_files(self.place)

    @property
    def name(self) -> str:
        """``files:`` and the name of the folder or file."""
        return f"files:{self.place.resolve().name}"[:_LONGEST_NAME]

    def source_of(self, symbol: str, timeframe: Timeframe) -> str:
        """Name under which candles of this length enter the lake: ``files:x``, or ``files:x@1m`` when added up."""
        held = self._held(symbol, timeframe)[0].timeframe
        return self.name if held == timeframe else f"{self.name}@{held.name}"

    def symbols(self, timeframe: Timeframe | None = None) -> tuple[str, ...]:
        """Symbols with candles, sorted; with ``timeframe`` those that have it, can make it, or do not say."""
        return tuple(
            sorted(
                {
                    file.symbol
                    for file in self.files
                    if file.kind is Kind.CANDLES and (timeframe is None or _fits(file.timeframe, timeframe))
                }
            )
        )

    def timeframes(self, symbol: str) -> tuple[Timeframe, ...]:
        """Timeframes of the symbol's candles on disk, shortest first; plain files are opened to see."""
        files = self._of(symbol, Kind.CANDLES)
        known = {file.timeframe or read_bars(file, None)[0].timeframe for file in files}
        return tuple(sorted(known, key=lambda timeframe: timeframe.ms))

    def history(self, symbol: str, timeframe: Timeframe | None = None) -> MarketHistory:
        """Everything the folder holds of one market."""
        candles, shares = self._bars(symbol, timeframe)
        open_interest, measured = self._metrics(symbol)
        return MarketHistory(
            candles=candles,
            funding=self.funding(symbol),
            open_interest=open_interest,
            mark=self.mark(symbol),
            taker=_better(shares, measured, candles.timeframe),
        )

    def candles(self, symbol: str, timeframe: Timeframe | None = None) -> Candles:
        """Checked candles; None takes the only timeframe there is. ``SourceError``, ``CandleError`` name the file."""
        return self._bars(symbol, timeframe)[0]

    def funding(self, symbol: str) -> FundingStamps | None:
        """Checked settlements, or None where the folder has none for this symbol."""
        parts = [(file.path, read_funding(file)) for file in self._of(symbol, Kind.FUNDING)]
        return join_funding(parts) if parts else None

    def mark(self, symbol: str) -> MarkStamps | None:
        """Checked hourly mark prices, of the longest candles that give them, or None where the folder has none."""
        files = self._of(symbol, Kind.MARK)
        longest = max((file.timeframe.ms for file in files if file.timeframe), default=None)
        parts = [(file.path, read_mark(file)) for file in files if file.timeframe and file.timeframe.ms == longest]
        return join_mark(parts) if parts else None

    def open_interest(self, symbol: str) -> OpenInterestStamps | None:
        """Checked raw stamps, exact repeats dropped, or None where the folder has none for this symbol."""
        return self._metrics(symbol)[0]

    def taker(self, symbol: str, timeframe: Timeframe | None = None) -> TakerShares | None:
        """Takers' shares of the candles: from these themselves, else, of 5m bars, from the files of metrics."""
        candles, shares = self._bars(symbol, timeframe)
        return _better(shares, self._metrics(symbol)[1], candles.timeframe)

    def fetch(self, request: FetchRequest) -> Iterator[MarketValues]:
        """The part of the symbol's history that lies in the window; nothing where there is no such file."""
        values = self._values(request)
        if values is not None:
            inside = between(values, request.start_ms, request.end_ms)
            yield from (inside,) if request.kind is not Kind.CANDLES or times_of(inside).size else ()

    def _values(self, request: FetchRequest) -> MarketValues | None:
        symbol, timeframe = request.symbol, request.timeframe
        match request.kind:
            case Kind.CANDLES:
                return self.candles(symbol, timeframe)
            case Kind.FUNDING:
                return self.funding(symbol)
            case Kind.OPEN_INTEREST:
                return self.open_interest(symbol)
            case Kind.MARK:
                return self.mark(symbol)
            case Kind.TAKER:
                return self.taker(symbol, timeframe)

    def _of(self, symbol: str, kind: Kind) -> tuple[FoundFile, ...]:
        name = venue_symbol(symbol)
        return tuple(file for file in self.files if file.symbol == name and file.kind is kind)

    def _bars(self, symbol: str, timeframe: Timeframe | None) -> tuple[Candles, TakerShares | None]:
        """The candles asked for, added up if need be, and takers' shares where the files tell them."""
        held, shares = self._held(symbol, timeframe)
        if timeframe is None or held.timeframe == timeframe:
            return held, shares
        made = resample(held, timeframe)
        if len(made) < MIN_BARS:
            raise too_few(f"{self.place.name}: {symbol} {held.timeframe.name} as {timeframe.name}", len(made))
        return made, None if shares is None else resample_taker(shares, held, timeframe)

    def _metrics(self, symbol: str) -> tuple[OpenInterestStamps | None, TakerShares | None]:
        parts = [(file.path, *read_metrics(file)) for file in self._of(symbol, Kind.OPEN_INTEREST)]
        measured = [(path, shares) for path, _, shares in parts if shares is not None]
        held = join_open_interest([(path, stamps) for path, stamps, _ in parts]) if parts else None
        return held, join_taker(measured) if measured else None

    def _held(self, symbol: str, timeframe: Timeframe | None) -> tuple[Candles, TakerShares | None]:
        """The candles on disk that answer best, of the length they have there, and takers' shares of them."""
        files = self._choose(symbol, timeframe)
        parts = [(file.path, *read_bars(file, timeframe)) for file in files]
        held = join_candles([(path, candles) for path, candles, _ in parts])
        told = [(path, shares) for path, _, shares in parts if shares is not None]
        names = " to ".join(dict.fromkeys((files[0].path.name, files[-1].path.name)))
        if len(held) < MIN_BARS:
            raise too_few(names, len(held))
        naming(names, lambda: _refuse_other_lengths(held))
        return held, join_taker(told) if told else None

    def _choose(self, symbol: str, timeframe: Timeframe | None) -> tuple[FoundFile, ...]:
        files = self._of(symbol, Kind.CANDLES)
        if not files:
            raise _unknown(symbol, self.place, self.symbols())
        lengths = {file.timeframe for file in files}
        held = ", ".join(length.name for length in sorted(filter(None, lengths), key=lambda length: length.ms))
        fitting = [length for length in lengths if timeframe is None or _fits(length, timeframe)]
        if not fitting:
            raise SourceError(
                f"{symbol} in {self.place}: candles of {held}, none of {timeframe.name if timeframe else ''}",
                why="bars of another length are another history, and only shorter ones add up to longer ones",
                remedy=f"ask for {held}, or add the missing files",
            )
        if len(fitting) > 1 and timeframe is None:
            raise SourceError(
                f"{symbol} in {self.place}: candles of {held}",
                why="which of them is meant is not said",
                remedy=f"name one of {held}",
            )
        # The very length, or else a file that does not say, or else the longest of those that add up.
        best = max(fitting, key=lambda length: (length == timeframe, length is None, length.ms if length else 0))
        return tuple(file for file in files if file.timeframe == best)


def _better(told: TakerShares | None, measured: TakerShares | None, timeframe: Timeframe) -> TakerShares | None:
    """What the candles told, else what metrics measured, which are of bars of their own length alone."""
    if told is not None and told.open_time.size:
        return told
    return measured if timeframe == METRICS else told


def _fits(length: Timeframe | None, timeframe: Timeframe) -> bool:
    return length is None or length == timeframe or divides(length, timeframe)


def _unknown(symbol: str, place: Path, held: tuple[str, ...]) -> SourceError:
    near = get_close_matches(venue_symbol(symbol), held, n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(near)}? " if near else ""
    return SourceError(
        f"{symbol}: no candles in {place}",
        why="a symbol without data cannot be trained or served",
        remedy=f"{known}{len(held)} symbols are there: {', '.join(held[:12])}{', ...' if len(held) > 12 else ''}",
    )


def _refuse_other_lengths(candles: Candles) -> None:
    """Refuse a stretch of bars that keeps another, longer step: a history of holes never keeps one so long."""
    step = np.diff(candles.open_time)
    own = candles.timeframe.ms
    ends = np.flatnonzero(np.append(np.diff(step) != 0, True))
    lengths = np.diff(np.append(-1, ends))
    other = np.flatnonzero((lengths >= min(_RUN, step.size)) & (step[ends] != own))
    if other.size:
        row = int(ends[other[0]] - lengths[other[0]] + 1)
        minutes = int(step[row]) // 60_000
        raise CandleError(
            f"mixed timeframes: from row {row} ({np.datetime64(int(candles.open_time[row]), 'ms')}Z) "
            f"bars are {minutes} minutes apart, not {own // 60_000}",
            why="bars of another length are another history",
            remedy=f"provide {candles.timeframe.name} bars only",
        )
