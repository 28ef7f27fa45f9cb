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
from infra.sources.joining import join_candles, join_funding, join_open_interest
from infra.sources.market_files import MIN_BARS, naming, read_candles, read_funding, read_open_interest, too_few
from infra.sources.protocol import FetchRequest, Kind, MarketHistory, MarketValues
from market.candles import Candles
from market.errors import CandleError
from market.funding import FundingStamps
from market.resample import divides, resample
from market.symbols import venue_symbol
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
        held = self._held(symbol, timeframe).timeframe
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
        known = {file.timeframe or read_candles(file, None).timeframe for file in files}
        return tuple(sorted(known, key=lambda timeframe: timeframe.ms))

    def history(self, symbol: str, timeframe: Timeframe | None = None) -> MarketHistory:
        """Everything the folder holds of one market."""
        return MarketHistory(
            candles=self.candles(symbol, timeframe),
            funding=self.funding(symbol),
            open_interest=self.open_interest(symbol),
        )

    def candles(self, symbol: str, timeframe: Timeframe | None = None) -> Candles:
        """Checked candles; None takes the only timeframe there is. ``SourceError``, ``CandleError`` name the file."""
        held = self._held(symbol, timeframe)
        if timeframe is None or held.timeframe == timeframe:
            return held
        made = resample(held, timeframe)
        if len(made) < MIN_BARS:
            raise too_few(f"{self.place.name}: {symbol} {held.timeframe.name} as {timeframe.name}", len(made))
        return made

    def funding(self, symbol: str) -> FundingStamps | None:
        """Checked settlements, or None where the folder has none for this symbol."""
        parts = [(file.path, read_funding(file)) for file in self._of(symbol, Kind.FUNDING)]
        return join_funding(parts) if parts else None

    def open_interest(self, symbol: str) -> OpenInterestStamps | None:
        """Checked raw stamps, exact repeats dropped, or None where the folder has none for this symbol."""
        parts = [(file.path, read_open_interest(file)) for file in self._of(symbol, Kind.OPEN_INTEREST)]
        return join_open_interest(parts) if parts else None

    def fetch(self, request: FetchRequest) -> Iterator[MarketValues]:
        """The part of the symbol's history that lies in the window; nothing where there is no such file."""
        symbol, lo, hi = request.symbol, request.start_ms, request.end_ms
        if request.kind is Kind.CANDLES:
            candles = self.candles(symbol, request.timeframe).between(lo, hi)
            yield from (candles,) if len(candles) else ()
        elif request.kind is Kind.FUNDING and (funding := self.funding(symbol)) is not None:
            inside = (funding.time >= lo) & (funding.time < hi)
            yield FundingStamps(symbol=symbol, time=funding.time[inside], rate=funding.rate[inside])
        elif request.kind is Kind.OPEN_INTEREST and (held := self.open_interest(symbol)) is not None:
            inside = (held.time >= lo) & (held.time < hi)
            yield OpenInterestStamps(symbol=symbol, time=held.time[inside], value=held.value[inside])

    def _of(self, symbol: str, kind: Kind) -> tuple[FoundFile, ...]:
        name = venue_symbol(symbol)
        return tuple(file for file in self.files if file.symbol == name and file.kind is kind)

    def _held(self, symbol: str, timeframe: Timeframe | None) -> Candles:
        """The candles on disk that answer best, of the length they have there."""
        files = self._choose(symbol, timeframe)
        held = join_candles([(file.path, read_candles(file, timeframe)) for file in files])
        names = " to ".join(dict.fromkeys((files[0].path.name, files[-1].path.name)))
        if len(held) < MIN_BARS:
            raise too_few(names, len(held))
        naming(names, lambda: _refuse_other_lengths(held))
        return held

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
