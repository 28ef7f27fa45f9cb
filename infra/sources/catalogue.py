"""Which markets lie in this folder?

Three layouts are read, each in CSV, Parquet or Feather:

- by kind: ``candles_5m/BTCUSDT.parquet`` (or ``klines_5m``), ``funding/``, ``open_interest_5m/``;
- freqtrade: ``BTC_USDT_USDT-5m-futures.feather``, ``BTC_USDT_USDT-8h-funding_rate.feather``, ``BTC_USDT-5m.feather``,
  in the folder or in its ``futures`` folder;
- plain: ``BTCUSDT.csv``, candles of one timeframe, told by the bars themselves.

Mark price files and whatever else is there are left alone. Nothing is opened here; names alone decide.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.errors import SourceError
from infra.sources.frames import EXTENSIONS
from infra.sources.protocol import Kind
from market.errors import SymbolError, TimeframeError
from market.symbols import venue_symbol
from market.timeframe import Timeframe

__all__ = ["FoundFile", "find_files"]

_FOLDER = re.compile(r"(?:candles|klines)_(?P<candles>\d+[mhd])|(?P<funding>funding)|open_interest(?:_\d+[mhd])?")
_FREQTRADE = re.compile(r"(?P<pair>[A-Za-z0-9]+(?:_[A-Za-z0-9]+){1,2})-(?P<timeframe>\d+[mhd])(?P<tail>-[a-z_]+)?")
_CANDLE_TAILS = ("", "-futures", "-spot")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """One file of one market; ``timeframe`` is None where only the bars can tell it (and for funding and OI)."""

    path: Path
    symbol: str
    kind: Kind
    timeframe: Timeframe | None


def find_files(folder: Path) -> tuple[FoundFile, ...]:
    """All market files below ``folder``, sorted by path; ``SourceError`` if there is none, or two claim one market."""
    if not folder.is_dir():
        raise SourceError(
            f"{folder} is not a folder",
            why="there is nothing to read",
            remedy="give the folder that holds the market files",
        )
    found = tuple(sorted(_scan(folder), key=lambda file: str(file.path)))
    if not found:
        raise _nothing(folder)
    seen: dict[tuple[str, Kind, Timeframe | None], Path] = {}
    for file in found:
        other = seen.setdefault((file.symbol, file.kind, file.timeframe), file.path)
        if other != file.path:
            raise SourceError(
                f"{other} and {file.path} both hold {file.symbol} {file.kind}",
                why="spot and futures, or two exports, would be mixed in one history",
                remedy="point at the folder that holds one of them",
            )
    return found


def _scan(folder: Path) -> Iterator[FoundFile]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _in_kind_folder(path)
            if path.name == "futures":
                yield from _loose(path)
    yield from _loose(folder)


def _in_kind_folder(folder: Path) -> Iterator[FoundFile]:
    match = _FOLDER.fullmatch(folder.name)
    if match is None:
        return
    timeframe = _timeframe(match["candles"]) if match["candles"] else None
    kind = Kind.CANDLES if match["candles"] else Kind.FUNDING if match["funding"] else Kind.OPEN_INTEREST
    for path in _files(folder):
        symbol = _symbol(path.stem)
        if symbol and (timeframe or kind is not Kind.CANDLES):
            yield FoundFile(path=path, symbol=symbol, kind=kind, timeframe=timeframe)


def _loose(folder: Path) -> Iterator[FoundFile]:
    for path in _files(folder):
        match = _FREQTRADE.fullmatch(path.stem)
        symbol = _symbol(match["pair"] if match else path.stem)
        if symbol is None:
            continue
        tail = (match["tail"] or "") if match else ""
        if match is None or tail in _CANDLE_TAILS:
            timeframe = _timeframe(match["timeframe"]) if match else None
            if timeframe or not match:
                yield FoundFile(path=path, symbol=symbol, kind=Kind.CANDLES, timeframe=timeframe)
        elif tail == "-funding_rate":
            yield FoundFile(path=path, symbol=symbol, kind=Kind.FUNDING, timeframe=None)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in EXTENSIONS and path.is_file())


def _symbol(text: str) -> str | None:
    try:
        return venue_symbol(text) if re.fullmatch(r"[A-Z0-9_]+", text) else None
    except SymbolError:
        return None


def _timeframe(text: str) -> Timeframe | None:
    try:
        return Timeframe.parse(text)
    except TimeframeError:
        return None


def _nothing(folder: Path) -> SourceError:
    inside = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and any(_scan(path))]
    remedy = "name files as candles_5m/BTCUSDT.parquet, BTC_USDT_USDT-5m-futures.feather or BTCUSDT.csv"
    if inside:
        remedy = f"point at one of the folders inside it: {', '.join(inside[:8])}"
    return SourceError(
        f"{folder} holds no market files", why="none of its names is a market's in a layout known here", remedy=remedy
    )
