"""Which markets lie in this folder, or in this one file?

Four layouts are read, each in CSV (also as the one CSV of a zip), Parquet or Feather:

- by kind: ``candles_5m/BTCUSDT.parquet`` (or ``klines_5m``), ``funding/``, ``open_interest_5m/``, ``mark_1h/``;
- freqtrade: ``BTC_USDT_USDT-5m-futures.feather``, ``BTC_USDT_USDT-8h-funding_rate.feather``, ``BTC_USDT-5m.feather``,
  ``BTC_USDT_USDT-1h-mark.feather``, in the folder or in its ``futures`` folder;
- Binance's public archive: ``BTCUSDT-5m-2025-01.zip``, ``BTCUSDT-5m-2025-01-15.zip``,
  ``BTCUSDT-fundingRate-2025-01.zip``, ``BTCUSDT-metrics-2025-01-15.zip``, side by side or in the archive's own tree
  (``futures/um/monthly/klines/...``); the files of one market are parts of one history. Mark prices bear the names of
  klines there and are known by their folder ``markPriceKlines`` alone;
- plain: ``BTCUSDT.csv``, candles of one timeframe, told by the bars themselves.

Mark candles longer than an hour measure too seldom and are left alone, and so are index and premium prices,
coin-margined contracts and whatever else is there. Nothing is opened here; names alone decide.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from infra.errors import SourceError
from infra.sources.frames import EXTENSIONS
from infra.sources.protocol import Kind
from market.errors import SymbolError, TimeframeError
from market.resample import divides
from market.spans import Span
from market.symbols import venue_symbol
from market.timeframe import HOUR_MS, Timeframe

__all__ = ["FoundFile", "find_files"]

_FOLDER = re.compile(
    r"(?:candles|klines)_(?P<candles>\d+[mhd])|(?P<funding>funding)|open_interest(?:_\d+[mhd])?|mark_(?P<mark>\d+[mhd])"
)
_FREQTRADE = re.compile(r"(?P<pair>[A-Za-z0-9]+(?:_[A-Za-z0-9]+){1,2})-(?P<timeframe>\d+[mhd])(?P<tail>-[a-z_]+)?")
_CANDLE_TAILS = ("", "-futures", "-spot")
_ARCHIVE = re.compile(
    r"(?P<symbol>[A-Z0-9_]+)-(?P<kind>\d+[mhd]|fundingRate|metrics)-(?P<period>\d{4}-\d{2}(?:-\d{2})?)"
)
_PERIODS = ("monthly", "daily")
# The steps of the archive's tree that lead to files of ours; then come a symbol's folder and a timeframe's.
_MARKS = "markPriceKlines"
_STEPS = ("data", "futures", "um", "spot", *_PERIODS, "klines", "fundingRate", "metrics", _MARKS)
_STEP = re.compile(rf"{'|'.join(_STEPS)}|[A-Z0-9_]{{5,30}}|\d+[mhd]")
_DEEPEST = len(("data", "futures", "um", "monthly", "klines", "BTCUSDT", "5m"))
_HOUR = Timeframe(HOUR_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file of one market; ``timeframe`` is None where only the bars can tell it (and for funding and OI).

    ``part_of`` is the place of an archive whose other files of this market continue it; None for a whole history.
    ``period`` is the month or day that the archive's name promises, half-open ms UTC.
    """

    path: Path
    symbol: str
    kind: Kind
    timeframe: Timeframe | None
    part_of: Path | None = None
    period: Span | None = None


def find_files(place: Path) -> tuple[FoundFile, ...]:
    """All market files below ``place``, or that one file, sorted by path.

    ``SourceError`` if there is none, or if two files that are no parts of one history claim one market.
    """
    if place.is_file():
        return (_single(place),)
    if not place.is_dir():
        raise SourceError(
            f"{place} is not a folder and not a file",
            why="there is nothing to read",
            remedy="give the folder that holds the market files, or one such file",
        )
    found = tuple(sorted(_scan(place), key=lambda file: str(file.path)))
    if not found:
        raise _nothing(place)
    _refuse_two_histories(found)
    return found


def _refuse_two_histories(found: tuple[FoundFile, ...]) -> None:
    seen: dict[tuple[str, Kind, Timeframe | None], FoundFile] = {}
    for file in found:
        first = seen.setdefault((file.symbol, file.kind, file.timeframe), file)
        if first is not file and (file.part_of is None or file.part_of != first.part_of):
            raise SourceError(
                f"{first.path} and {file.path} both hold {file.symbol} {file.kind}",
                why="spot and futures, or two exports, would be mixed in one history",
                remedy="point at the folder that holds one of them",
            )


def _single(path: Path) -> FoundFile:
    here = path.absolute()
    found = _archived(here, here.parent) or _by_kind(here) or _loose(here)
    if found is None:
        raise SourceError(
            f"{path.name}: its name is no market's in a layout known here",
            why="whose history it holds is not said",
            remedy="name it as BTCUSDT.csv, BTCUSDT-5m-2025-01.zip or BTC_USDT_USDT-5m-futures.feather",
        )
    return found


def _scan(folder: Path) -> Iterator[FoundFile]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from filter(None, map(_by_kind, _files(path)))
            if path.name == "futures":
                yield from filter(None, map(_loose, _files(path)))
    yield from filter(None, map(_loose, _files(folder)))
    yield from _in_archive(folder, folder, _DEEPEST)


def _in_archive(folder: Path, top: Path, deepest: int) -> Iterator[FoundFile]:
    for path in _files(folder):
        found = _archived(path, top)
        if found is not None:
            yield found
    if deepest:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and _STEP.fullmatch(path.name):
                yield from _in_archive(path, top, deepest - 1)


def _archived(path: Path, top: Path) -> FoundFile | None:
    match = _ARCHIVE.fullmatch(path.stem)
    symbol = _symbol(match["symbol"]) if match else None
    if match is None or symbol is None:
        return None
    bars = Kind.MARK if _MARKS in path.absolute().parts else Kind.CANDLES
    kind = {"fundingRate": Kind.FUNDING, "metrics": Kind.OPEN_INTEREST}.get(match["kind"], bars)
    timeframe = _length(kind, match["kind"])
    period = _period(match["period"])
    if period is None or (kind is bars and timeframe is None):
        return None
    # Above the folders of months and days one market ends and another begins: spot, and futures of the same name.
    here = next((above.parent for above in path.absolute().parents if above.name in _PERIODS), top.absolute())
    return FoundFile(path=path, symbol=symbol, kind=kind, timeframe=timeframe, part_of=here, period=period)


def _by_kind(path: Path) -> FoundFile | None:
    match = _FOLDER.fullmatch(path.parent.name)
    symbol = _symbol(path.stem)
    if match is None or symbol is None or path.suffix not in EXTENSIONS:
        return None
    named = {Kind.CANDLES: match["candles"], Kind.FUNDING: match["funding"], Kind.MARK: match["mark"]}
    kind = next((kind for kind, name in named.items() if name), Kind.OPEN_INTEREST)
    timeframe = _length(kind, named.get(kind) or "")
    if kind in (Kind.CANDLES, Kind.MARK) and timeframe is None:
        return None
    return FoundFile(path=path, symbol=symbol, kind=kind, timeframe=timeframe)


def _loose(path: Path) -> FoundFile | None:
    match = _FREQTRADE.fullmatch(path.stem)
    symbol = _symbol(match["pair"] if match else path.stem)
    if symbol is None or path.suffix not in EXTENSIONS:
        return None
    if match is None:
        return FoundFile(path=path, symbol=symbol, kind=Kind.CANDLES, timeframe=None)
    tail, timeframe = match["tail"] or "", _timeframe(match["timeframe"])
    if tail in _CANDLE_TAILS and timeframe:
        return FoundFile(path=path, symbol=symbol, kind=Kind.CANDLES, timeframe=timeframe)
    if tail == "-funding_rate":
        return FoundFile(path=path, symbol=symbol, kind=Kind.FUNDING, timeframe=None)
    marks = _length(Kind.MARK, match["timeframe"])
    if tail == "-mark" and marks:
        return FoundFile(path=path, symbol=symbol, kind=Kind.MARK, timeframe=marks)
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in EXTENSIONS and path.is_file())


def _symbol(text: str) -> str | None:
    try:
        return venue_symbol(text) if re.fullmatch(r"[A-Z0-9_]+", text) else None
    except SymbolError:
        return None


def _length(kind: Kind, name: str) -> Timeframe | None:
    """The length of the bars, for the kinds that are bars: of mark prices an hour or what adds up to one."""
    found = _timeframe(name) if kind in (Kind.CANDLES, Kind.MARK) else None
    usable = kind is Kind.CANDLES or (found is not None and (found == _HOUR or divides(found, _HOUR)))
    return found if usable else None


def _period(text: str) -> Span | None:
    """The UTC month or day of this name; None where the calendar has none."""
    unit: Literal["D", "M"] = "D" if text.count("-") == 2 else "M"
    try:
        first = np.datetime64(text, unit)
    except ValueError:
        return None
    start, end = (int(moment.astype("datetime64[ms]").astype(np.int64)) for moment in (first, first + 1))
    return start, end


def _timeframe(text: str) -> Timeframe | None:
    try:
        return Timeframe.parse(text)
    except TimeframeError:
        return None


def _nothing(folder: Path) -> SourceError:
    inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and any(_scan(path))]
    remedy = (
        "name files as candles_5m/BTCUSDT.parquet, BTC_USDT_USDT-5m-futures.feather, BTCUSDT-5m-2025-01.zip "
        "or BTCUSDT.csv"
    )
    if inside:
        remedy = f"point at one of the folders inside it: {', '.join(inside[:8])}"
    return SourceError(
        f"{folder} holds no market files", why="none of its names is a market's in a layout known here", remedy=remedy
    )
