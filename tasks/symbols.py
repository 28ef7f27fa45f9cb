"""Which markets does a home work with?

Those of its settings, or else those its lake holds; for a folder of files those that are in it. A symbol that was asked
for and is not there is an error, never left out in silence.
"""

from collections.abc import Sequence
from pathlib import Path

from infra.bootstrap import App
from infra.sources.files import FileSource
from market.errors import LockstepError
from market.timeframe import Timeframe
from tasks.plan import timeframe_of

__all__ = ["SYNTHETIC_START_MS", "check_files", "file_symbols", "symbols_in_use"]

SYNTHETIC_START_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def file_symbols(folder: str, *, timeframe: Timeframe, wanted: Sequence[str]) -> tuple[str, ...]:
    """The symbols of the folder, or those wanted, each of which must be there."""
    source = FileSource(Path(folder))
    held = source.symbols(timeframe)
    for symbol in wanted:
        if symbol not in held:
            source.candles(symbol, timeframe)  # raises with the names that are near
    if not held:
        raise LockstepError(
            f"no {timeframe.name} candles in {folder}",
            why=f"this home works with {timeframe.name} bars",
            remedy="choose another folder, or set LOCKSTEP_DATA__TIMEFRAME for a new home",
        )
    return tuple(wanted) or held


def check_files(folder: str, *, timeframe: Timeframe, symbols: Sequence[str]) -> None:
    """Read every file of these symbols, so that a bad one is refused before any row of a good one is stored."""
    source = FileSource(Path(folder))
    for symbol in symbols:
        source.history(symbol, timeframe)


def symbols_in_use(app: App) -> tuple[str, ...]:
    """The symbols of the settings, or else those that the lake holds."""
    found = app.settings.data.symbols or app.lake.symbols(timeframe_of(app.settings))
    if not found:
        raise LockstepError(
            "the lake holds no candles",
            why="there is nothing to work on",
            remedy="run lockstep backfill --files DIR, or lockstep demo",
        )
    return tuple(found)
