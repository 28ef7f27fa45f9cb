"""How does the command speak to people and to machines?

Progress and remarks go to standard error; results go to standard output, as text, or with ``--json`` as one object.
A refusal is one line that says what, why and what to do, with exit code 1.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Eta
from rich.table import Table

from market.errors import LockstepError
from tasks.progress import reporting

__all__ = ["err", "out", "print_json", "print_refusal", "progress_bars", "refused_by_system", "table"]

_PIPED_WIDTH = 140
# Tables written to a file or a pipe are not squeezed into eighty columns.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """Write one JSON object to standard output; NaN and infinities become null, as JSON has neither."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, sort_keys=False, default=str) + "\n")
    sys.stdout.flush()


def print_refusal(error: LockstepError, *, as_json: bool) -> None:
    """Tell why a command refused, in one line or as ``{"error": {...}}``."""
    if as_json:
        print_json({"error": {"what": error.what, "why": error.why, "remedy": error.remedy}})
    err.print(f"[bold red]refused[/] {_plain(str(error))}")


def refused_by_system(error: OSError) -> LockstepError:
    """What the operating system refused (disk full, no permission) and no room below has put into words."""
    where = f" at {error.filename}" if error.filename else ""
    return LockstepError(
        f"{error.strerror or error}{where}",
        why="this step could not be finished; what earlier steps stored is whole",
        remedy="free space or correct the permissions, then run the same command again",
    )


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[None]:
    """Show a bar for each stage that reports progress while the block runs."""
    if quiet or not err.is_terminal:
        with reporting(_plain_lines(quiet=quiet)):
            yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        Eta(),
    )
    with Progress(*columns, console=err, transient=False) as progress:
        bars: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)  # type: ignore[arg-type]

        with reporting(show):
            yield


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table for people; numbers are right-aligned by the caller's formatting."""
    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(name)
    for row in rows:
        made.add_row(*(_plain(str(cell)) for cell in row))
    return made


def _plain_lines(*, quiet: bool):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Without a terminal: one line when a stage begins and one when it ends."""
    begun: set[str] = set()

    def show(stage: str, done: int, total: int) -> None:
        if quiet:
            return
        if stage not in begun:
            begun.add(stage)
            err.print(f"{stage} ... ({total})")
        if done >= total:
            err.print(f"{stage}: done")

    return show


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item"):
        return _finite(value.item())
    return value
