"""Which markets does a home work with?

Those of its settings, or else those its lake holds; with ``universe.mode`` turnover those that belong to the universe
now; for a folder of files those that are in it. A symbol that was asked for and is not there is an error, never left
out in silence.
"""

from collections.abc import Sequence
from pathlib import Path
from time import time_ns

from infra.bootstrap import App
from infra.sources.files import FileSource
from infra.universe import judged_in, newest_snapshot, read_snapshots, universe_rule
from market.errors import LockstepError
from market.timeframe import Timeframe
from market.universe import DELISTED
from tasks.moments import moment_of
from tasks.plan import timeframe_of

__all__ = [
    "SYNTHETIC_START_MS",
    "check_files",
    "file_symbols",
    "followed_symbols",
    "no_universe",
    "symbols_in_use",
    "symbols_to_collect",
]

SYNTHETIC_START_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def file_symbols(folder: str, *, timeframe: Timeframe, wanted: Sequence[str]) -> tuple[str, ...]:
    """The symbols of the folder, or those wanted, each of which must be there."""
    source = FileSource(Path(folder))
    held = source.symbols(timeframe)
    for symbol in wanted:
        if symbol not in held:
            source.candles(symbol, timeframe)  # raises with the names that are near
    if not source.symbols():
        kinds = ", ".join(sorted({file.kind.value.replace("_", " ") for file in source.files}))
        raise LockstepError(
            f"{folder} holds {kinds} and no candles",
            why="these tell of a market only beside its bars",
            remedy="put the candles of the same markets into the folder too, as candles_5m/BTCUSDT.parquet",
        )
    if not held:
        raise LockstepError(
            f"no {timeframe.name} candles in {folder}",
            why=f"this home works with {timeframe.name} bars",
            remedy="choose another folder, or set LOCKSTEP_DATA__TIMEFRAME for a new home",
        )
    return tuple(wanted) or held


def check_files(folder: str, *, timeframe: Timeframe, symbols: Sequence[str]) -> None:
    """Read every file of these symbols, so that a bad one is refused before any row of a good one is stored.

    So is a bar that has not closed: it still forms, or its time is wrong.
    """
    source = FileSource(Path(folder))
    for symbol in symbols:
        candles = source.history(symbol, timeframe).candles
        close_ms = int(candles.open_time[-1]) + timeframe.ms
        if close_ms > time_ns() // 1_000_000:
            raise LockstepError(
                f"{symbol} in {folder}: the last bar closes at {moment_of(close_ms):%Y-%m-%d %H:%M} UTC, in the future",
                why="only closed bars are stored: one that still forms has other values when it closes",
                remedy="remove the bars that have not closed, or correct the times in the file or this machine's clock",
            )


def followed_symbols(app: App) -> tuple[str, ...]:
    """The members of the universe now; with a fixed one the symbols of the settings, or else those of the lake.

    None where nothing was decided or stored yet.
    """
    if app.settings.universe.mode == "turnover":
        newest = newest_snapshot(app.engine, universe_rule(app.settings))
        return () if newest is None else newest.members
    return tuple(app.settings.data.symbols or app.lake.symbols(timeframe_of(app.settings)))


def symbols_in_use(app: App) -> tuple[str, ...]:
    """``followed_symbols``; raises where there are none."""
    found = followed_symbols(app)
    if found:
        return found
    if app.settings.universe.mode == "turnover":
        raise no_universe()
    raise LockstepError(
        "the lake holds no candles",
        why="there is nothing to work on",
        remedy="run lockstep backfill --files DIR, or lockstep demo",
    )


def symbols_to_collect(app: App) -> tuple[str, ...]:
    """The symbols in use, and the markets that left the universe but are still traded.

    These may come back, and positions in them have to end at real prices: a hole in their bars would stay for ever.
    """
    using = symbols_in_use(app)
    if app.settings.universe.mode != "turnover":
        return using
    snapshots = read_snapshots(app.engine, universe_rule(app.settings))
    gone = {one.symbol for one in judged_in(app.engine, snapshots[-1].id) if one.reason == DELISTED}
    ever = {name for snapshot in snapshots for name in snapshot.members}
    return tuple(sorted({*ever - gone, app.settings.features.reference_symbol}))


def no_universe() -> LockstepError:
    """The refusal of a home that follows a universe which nobody has decided."""
    return LockstepError(
        "the universe has no members yet",
        why="with universe.mode turnover they say which markets to follow",
        remedy="run lockstep universe refresh, or for past days lockstep universe build --from 2025-01-31",
    )
