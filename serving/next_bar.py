"""What does one more bar of one market bring to the features, given the bars before it?

The same numbers, to the last bit, that ``features.inputs.assemble_inputs`` gives for the last bar of a whole history,
in a few microseconds: of the past only what the next bar needs is kept. Whatever the rules here do not cover is None,
and the caller computes the history anew. Tests compare the two row by row.
"""

from dataclasses import dataclass
from math import isinf, nan

import numpy as np

from features.inputs import Column
from infra.lake_rows import Rows
from market.basis import mark_period_bars
from market.funding import LONGEST_MS, STAMP_JITTER_MS
from market.grid import BarGrid
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe

__all__ = ["Arrived", "Bar", "BarMemory", "memory_of", "next_row"]

Bar = tuple[float, float, float, float, float]
"""Open, high, low, close, volume."""
Stamp = tuple[int, float]
_LONGEST_HOURS = 8


@dataclass(slots=True, kw_only=True)
class Arrived:
    """What one bar brings: its candle, and the stamps that belong to it, oldest first; None and empty for nothing."""

    candle: Bar | None = None
    funding: tuple[Stamp, ...] = ()
    open_interest: tuple[Stamp, ...] = ()
    mark: tuple[Stamp, ...] = ()
    taker: float | None = None


@dataclass(slots=True, kw_only=True)
class BarMemory:
    """The past as the next bar needs it: the last close, the last two settlements, one stamp, one measured basis."""

    timeframe: Timeframe
    index: int
    close: float
    settlements: list[Stamp]
    open_interest: float
    basis_index: int
    basis: float


def memory_of(grid: BarGrid, *, funding: Rows, open_interest: Rows, mark: Rows) -> BarMemory:
    """The memory after the last bar of a grid and of the rows known with it."""
    step, last = grid.timeframe.ms, grid.end_index - 1
    inside = open_interest.values[0][int(np.searchsorted(open_interest.time, last * step, side="right")) :]
    found = inside[inside > 0].tolist()
    memory = BarMemory(
        timeframe=grid.timeframe,
        index=last,
        close=float(grid.close[-1]),
        settlements=list(zip(funding.time[-2:].tolist(), funding.values[0][-2:].tolist(), strict=True)),
        open_interest=found[-1] if found else nan,
        basis_index=-1,
        basis=nan,
    )
    period = mark_period_bars(grid.timeframe)
    for at, price in zip(mark.time[::-1].tolist(), mark.values[0][::-1].tolist(), strict=True):
        bar = at // step - 1
        if bar < max(last - period, grid.first_index):
            break
        if at % step == 0 and bar <= last and grid.real[bar - grid.first_index]:
            memory.basis_index, memory.basis = bar, float(grid.close[bar - grid.first_index]) / price - 1.0
            break
    return memory


def next_row(memory: BarMemory, arrived: Arrived, reference_close: float) -> list[float] | None:
    """The ``len(Column)`` inputs of the next bar, and the memory moved on to it; None where the history must speak.

    ``reference_close`` is the reference market's close at this bar, NaN where it has no real bar.
    """
    memory.index += 1
    row = [nan] * len(Column)
    real = arrived.candle is not None
    bar = arrived.candle or (memory.close, memory.close, memory.close, memory.close, 0.0)
    row[Column.OPEN], row[Column.HIGH], row[Column.LOW], row[Column.CLOSE], row[Column.VOLUME] = bar
    row[Column.REAL] = float(real)
    row[Column.REF_CLOSE] = reference_close
    memory.close = bar[3]
    if not (
        _funding(memory, arrived, row) and _basis(memory, arrived, row, real=real) and _taker(arrived, row, real=real)
    ):
        return None
    _open_interest(memory, arrived, row)
    return row


def _funding(memory: BarMemory, arrived: Arrived, row: list[float]) -> bool:
    """As ``funding_on_grid`` and ``assemble_inputs``; not about a first settlement, whose interval the second tells."""
    known = len(memory.settlements)
    memory.settlements = [*memory.settlements, *arrived.funding][-2:]
    if known < 2:
        return known == 0 and len(memory.settlements) < 2
    (before, _), (last, rate) = memory.settlements
    opened = memory.index * memory.timeframe.ms
    interval_ms = last - before
    if opened >= last + min(interval_ms, LONGEST_MS) - STAMP_JITTER_MS:
        return True
    minute = float(MINUTE_MS)
    interval = min(float(np.rint(interval_ms / minute)) * minute, float(_LONGEST_HOURS * HOUR_MS))
    due = float(np.rint(last / minute)) * minute + interval
    if interval > 0:
        row[Column.FUNDING_RATE] = rate
        row[Column.FUNDING_INTERVAL_H] = interval / HOUR_MS
        row[Column.HOURS_TO_FUNDING] = max(due - (opened + memory.timeframe.ms), 0.0) / HOUR_MS
    return True


def _open_interest(memory: BarMemory, arrived: Arrived, row: list[float]) -> None:
    """As ``infra.open_interest.on_grid``: the last stamp above zero within the bar, else that of the bar before."""
    found = nan
    for _, value in arrived.open_interest:
        found = value if value > 0 else found
    row[Column.OPEN_INTEREST] = memory.open_interest if found != found else found  # noqa: PLR0124  NaN
    memory.open_interest = found


def _basis(memory: BarMemory, arrived: Arrived, row: list[float], *, real: bool) -> bool:
    """As ``market.basis.basis_on_grid``; a basis that no market can have is refused where the history is built."""
    for at, price in arrived.mark:
        if real and at % memory.timeframe.ms == 0:
            memory.basis_index, memory.basis = memory.index, row[Column.CLOSE] / price - 1.0
            if isinf(memory.basis) or memory.basis <= -1:
                return False
    if memory.basis_index >= 0 and memory.index - memory.basis_index <= mark_period_bars(memory.timeframe):
        row[Column.BASIS] = memory.basis
    return True


def _taker(arrived: Arrived, row: list[float], *, real: bool) -> bool:
    """As ``market.taker_flow.taker_on_grid``."""
    share = arrived.taker
    if share is None or not real or not row[Column.VOLUME] > 0:
        return True
    if not 0.0 <= share <= 1.0:
        return False
    row[Column.TAKER_SHARE] = share
    return True
