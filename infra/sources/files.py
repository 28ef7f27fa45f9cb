"""What do the market files on this disk say?

A folder's files as checked market values. Nothing is sorted, filled or repaired: a file that breaks a rule is refused
by name, with the row and the remedy. The one thing dropped is an exact repeat of an open interest stamp, of which the
last is kept, as the venue's archives repeat stamps; zeros there stay as they are and mean missing.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import numpy as np

from infra.errors import SourceError
from infra.open_interest import OpenInterestStamps, check_open_interest
from infra.sources.catalogue import FoundFile, find_files
from infra.sources.frames import number_column, read_frame, require_columns, time_column
from infra.sources.protocol import FetchRequest, Kind, MarketHistory, MarketValues
from market.candles import Candles, Ints, check_candles, infer_timeframe
from market.errors import CandleError, LockstepError
from market.funding import FundingStamps, check_funding
from market.symbols import venue_symbol
from market.timeframe import Timeframe

__all__ = ["MIN_BARS", "FileSource"]

MIN_BARS = 12
_PRICES = ("open", "high", "low", "close", "volume")
_RUN = 12
_T = TypeVar("_T")


class FileSource:
    """The market files of one folder, found once; each read opens the file anew."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.files = find_files(self.folder)

    @property
    def name(self) -> str:
        """``files:`` and the folder's own name."""
        return f"files:{self.folder.resolve().name}"[:100]

    def symbols(self, timeframe: Timeframe | None = None) -> tuple[str, ...]:
        """Symbols with candles, sorted; with ``timeframe`` those that have it, or whose file does not say."""
        return tuple(
            sorted(
                {file.symbol for file in self._candle_files() if file.timeframe in (None, timeframe) or not timeframe}
            )
        )

    def timeframes(self, symbol: str) -> tuple[Timeframe, ...]:
        """Timeframes of the symbol's candles, shortest first; plain files are opened to see."""
        known = (file.timeframe or self.candles(symbol).timeframe for file in self._of(symbol, Kind.CANDLES))
        return tuple(sorted(set(known), key=lambda timeframe: timeframe.ms))

    def history(self, symbol: str, timeframe: Timeframe | None = None) -> MarketHistory:
        """Everything the folder holds of one market."""
        return MarketHistory(
            candles=self.candles(symbol, timeframe),
            funding=self.funding(symbol),
            open_interest=self.open_interest(symbol),
        )

    def candles(self, symbol: str, timeframe: Timeframe | None = None) -> Candles:
        """Checked candles; None takes the only timeframe there is. ``SourceError``, ``CandleError`` name the file."""
        file = self._choose(symbol, timeframe)
        frame = read_frame(file.path)
        times = time_column(file.path, frame, require_columns(file.path, frame, _PRICES))
        values = {name: number_column(file.path, frame, name) for name in _PRICES}
        candles = Candles(
            symbol=file.symbol,
            timeframe=_bar_length(file, times, timeframe),
            open_time=times,
            open=values["open"],
            high=values["high"],
            low=values["low"],
            close=values["close"],
            volume=values["volume"],
        )
        _checked(file.path, lambda: check_candles(candles))
        _refuse_other_lengths(file.path, candles)
        return candles

    def funding(self, symbol: str) -> FundingStamps | None:
        """Checked settlements, or None where the folder has none for this symbol."""
        file = next(iter(self._of(symbol, Kind.FUNDING)), None)
        if file is None:
            return None
        frame = read_frame(file.path)
        rate = "funding_rate" if "funding_rate" in frame else "open"
        name = require_columns(file.path, frame, () if rate in frame else ("funding_rate",))
        stamps = FundingStamps(
            symbol=file.symbol, time=time_column(file.path, frame, name), rate=number_column(file.path, frame, rate)
        )
        _checked(file.path, lambda: check_funding(stamps))
        return stamps

    def open_interest(self, symbol: str) -> OpenInterestStamps | None:
        """Checked raw stamps, exact repeats dropped, or None where the folder has none for this symbol."""
        file = next(iter(self._of(symbol, Kind.OPEN_INTEREST)), None)
        if file is None:
            return None
        frame = read_frame(file.path)
        times = time_column(file.path, frame, require_columns(file.path, frame, ("open_interest",)))
        value = number_column(file.path, frame, "open_interest")
        keep = np.append(np.diff(times) != 0, True)
        stamps = OpenInterestStamps(symbol=file.symbol, time=times[keep], value=value[keep])
        _checked(file.path, lambda: check_open_interest(stamps))
        return stamps

    def fetch(self, request: FetchRequest) -> Iterator[MarketValues]:
        """The part of the symbol's file that lies in the window; nothing where there is no such file."""
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

    def _candle_files(self) -> Iterator[FoundFile]:
        return (file for file in self.files if file.kind is Kind.CANDLES)

    def _of(self, symbol: str, kind: Kind) -> tuple[FoundFile, ...]:
        name = venue_symbol(symbol)
        return tuple(file for file in self.files if file.symbol == name and file.kind is kind)

    def _choose(self, symbol: str, timeframe: Timeframe | None) -> FoundFile:
        files = self._of(symbol, Kind.CANDLES)
        if not files:
            raise _unknown(symbol, self.folder, self.symbols())
        fitting = [file for file in files if timeframe is None or file.timeframe in (None, timeframe)]
        held = ", ".join(file.timeframe.name for file in files if file.timeframe)
        if not fitting:
            raise SourceError(
                f"{symbol} in {self.folder}: candles of {held}, none of {timeframe.name if timeframe else ''}",
                why="bars of another length are another history",
                remedy=f"ask for {held}, or add the missing files",
            )
        if len(fitting) > 1 and timeframe is None:
            raise SourceError(
                f"{symbol} in {self.folder}: candles of {held}",
                why="which of them is meant is not said",
                remedy=f"name one of {held}",
            )
        return next((file for file in fitting if file.timeframe is not None), fitting[0])


def _unknown(symbol: str, folder: Path, held: tuple[str, ...]) -> SourceError:
    near = get_close_matches(venue_symbol(symbol), held, n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(near)}? " if near else ""
    return SourceError(
        f"{symbol}: no candles in {folder}",
        why="a symbol without data cannot be trained or served",
        remedy=f"{known}{len(held)} symbols are there: {', '.join(held[:12])}{', ...' if len(held) > 12 else ''}",
    )


def _bar_length(file: FoundFile, times: Ints, asked: Timeframe | None) -> Timeframe:
    if times.size < MIN_BARS:
        raise CandleError(
            f"{file.path.name}: {times.size} bar(s)",
            why=f"fewer than {MIN_BARS} do not even tell their own timeframe",
            remedy="provide a longer history: training wants weeks, one decision needs days of warm-up",
        )
    if asked or file.timeframe:
        return asked or file.timeframe or Timeframe(0)
    steps = np.diff(times)
    if (steps <= 0).any():  # let the rules of candles name the row
        return Timeframe(1)
    found = infer_timeframe(times, symbol=file.symbol)
    return _checked(file.path, lambda: Timeframe.parse(found.name))


def _refuse_other_lengths(path: Path, candles: Candles) -> None:
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
            f"{path.name}: mixed timeframes: from row {row} ({np.datetime64(int(candles.open_time[row]), 'ms')}Z) "
            f"bars are {minutes} minutes apart, not {own // 60_000}",
            why="bars of another length are another history",
            remedy=f"provide {candles.timeframe.name} bars only",
        )


def _checked(path: Path, rule: Callable[[], _T]) -> _T:
    """Run a rule of the market; let its error name the file."""
    try:
        return rule()
    except LockstepError as error:
        raise type(error)(f"{path.name}: {error.what}", why=error.why, remedy=error.remedy) from error
