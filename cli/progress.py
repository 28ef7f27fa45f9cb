"""How does a person see how far a long step has come?

On a terminal one bar a stage: how much of it, since when, how long it will still take, and in words what it is at.
Without one (a pipe, a log) a line when a stage begins, one when it ends, and on a long way one every tenth.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Eta
from rich.table import Column

from cli.output import err
from tasks.progress import Reporter, reporting

__all__ = ["plain_lines", "progress_bars"]

_QUIET_S = 5.0


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[None]:
    """Show how far each stage that reports progress has come while the block runs."""
    if quiet:
        with reporting(_nothing):
            yield
    elif err.is_terminal:
        with _bars() as progress, reporting(_on_bars(progress)):
            yield
    else:
        with reporting(plain_lines(err)):
            yield


def plain_lines(console: Console, *, clock_s: Callable[[], float] = time.monotonic) -> Reporter:
    """A reporter that writes lines: not one more before a further tenth is done and some seconds have passed."""
    told: dict[str, tuple[float, int]] = {}  # when and at which tenth a stage was last told of
    began: dict[str, float] = {}

    def show(stage: str, done: int, total: int, note: str) -> None:
        now = clock_s()
        tenth = 10 * done // max(total, 1)
        if stage not in began:
            began[stage] = now
            told[stage] = now, tenth
            console.print(f"{stage} ... ({total:,})", markup=False)
        at, last = told[stage]
        if done >= total:
            console.print(f"{stage}: done", markup=False)
            told[stage] = now, 10
        elif tenth > last and now - at >= _QUIET_S:
            left = (now - began[stage]) / done * (total - done)
            words = f", {note}" if note else ""
            console.print(f"{stage} ... ({10 * tenth} %, about {_span(left)} left{words})", markup=False)
            told[stage] = now, tenth

    return show


def _nothing(_stage: str, _done: int, _total: int, _note: str) -> None:
    """Nobody looks."""


def _bars() -> Progress:
    counts = "{task.completed:,.0f}/{task.total:,.0f}"
    words = TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(bar_width=24),
        TextColumn(counts),
        TimeElapsedColumn(),
        Eta(),
        words,
        console=err,
        transient=False,
    )


def _on_bars(progress: Progress) -> Reporter:
    bars: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int, note: str) -> None:
        if stage not in bars:
            bars[stage] = progress.add_task(stage, total=total, note=note)
        progress.update(bars[stage], completed=done, total=total, note=note)

    return show


def _span(seconds: float) -> str:
    """A stretch of time in the unit people would say it in."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
