"""Jobs that tests send to other processes."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from learning.errors import HistoryError


@dataclass(frozen=True, kw_only=True)
class Table:
    """Something large that all jobs share."""

    X: np.ndarray
    name: str


def row_sum(table: Table, row: int) -> tuple[str, float, int, bool]:
    """The table's name, the sum of a row, the process, and whether the table could be written to."""
    return table.name, float(table.X[row].sum()), os.getpid(), bool(table.X.flags.writeable)


def refuse(table: Table, row: int) -> None:
    """A refusal for row 1, as the domain would raise it."""
    if row == 1:
        raise HistoryError(f"{table.name} has no row {row}", why="it was never written", remedy="write it")


class _OddError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def refuse_oddly(table: Table, row: int) -> None:
    """An error that does not survive pickling."""
    raise _OddError(row, row + 1)


def die(table: Table, row: int) -> int:
    """The process of row 1 is killed, as by a lack of memory."""
    if row == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return row
