"""Which options do commands share, and how do they begin and end?"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.output import print_refusal, refused_by_system
from cli.progress import progress_bars
from market.errors import LockstepError
from market.symbols import venue_symbol

__all__ = [
    "Day",
    "Files",
    "Home",
    "Json",
    "Symbols",
    "command",
    "day_ms",
    "existing_home",
    "home_path",
    "split_symbols",
]

Home = Annotated[
    Path, typer.Option("--home", help="Folder that holds everything of one installation.", envvar="LOCKSTEP_HOME")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Symbols = Annotated[
    str | None, typer.Option("--symbols", help="Comma-separated: BTCUSDT,ETHUSDT or BTC/USDT:USDT,ETH/USDT:USDT.")
]
Files = Annotated[
    Path | None, typer.Option("--files", help="Folder or file of market data (Parquet, CSV, feather, Binance's zips).")
]
Day = Annotated[str | None, typer.Option(help="UTC day or moment: 2025-01-31 or 2025-01-31T12:00.")]

_HOME_PARTS = ("lake", "postgres", "lockstep.toml")


def home_path(home: Path) -> Path:
    """The home as an absolute path, so that no later change of directory moves it."""
    return Path(os.path.abspath(home))  # noqa: PTH100  # resolve() would follow links the user chose


def existing_home(home: Path) -> Path:
    """The home as an absolute path, refused where there is none: a misspelt home must not be made and then halted."""
    path = home_path(home)
    # A folder that Lockstep never wrote to is no home either: looking must not turn it into one.
    if not path.exists() or (path.is_dir() and not any((path / name).exists() for name in _HOME_PARTS)):
        raise LockstepError(
            f"there is no home at {path}",
            why="nothing was ever run there",
            remedy="run lockstep demo, or give the right --home",
        )
    return path


def split_symbols(text: str | None) -> tuple[str, ...]:
    """Symbols in any spelling, in the order given, each once."""
    parts = [part for part in (text or "").split(",") if part.strip()]
    if text is not None and not parts:
        raise LockstepError(
            f"no symbol in {text!r}",
            why="it is not what asks for every symbol",
            remedy="name symbols, BTCUSDT,ETHUSDT, or leave the option out",
        )
    return tuple(dict.fromkeys(venue_symbol(part) for part in parts))


def day_ms(text: str | None, *, option: str) -> int | None:
    """A UTC day or moment as ms; None stays None."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no date; write 2025-01-31 or 2025-01-31T12:00", param_hint=option
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


@contextmanager
def command(*, as_json: bool, quiet: bool = False) -> Iterator[None]:
    """Show progress while the block runs; turn a refusal into one line and exit code 1."""
    try:
        with progress_bars(quiet=quiet):
            yield
    except LockstepError as error:
        print_refusal(error, as_json=as_json)
        raise typer.Exit(1) from error
    except OSError as error:
        print_refusal(refused_by_system(error), as_json=as_json)
        raise typer.Exit(1) from error
