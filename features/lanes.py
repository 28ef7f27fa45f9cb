"""Which eight stretches of bars advance together, and where do their rows go?

A stretch is a run of bars of one market from where its state begins to the last row wanted. Stretches of any markets
share a job of eight lanes; each lane's bytes are the same in any company. Idle lanes repeat a neighbour's bars and
write nothing.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import kernel
from features.clock import clock_table
from features.contract import FeatureContract
from market.candles import Floats, Ints

__all__ = ["Engine", "Stretch", "new_states", "run_stretches"]

_MONDAY = 3  # the epoch was a Thursday: row 0 of the clock closes on Monday 00:00


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Bars ``bars[start:end]`` (``bars[0]`` has absolute index ``first_index``), of which ``[first, end)`` are written.

    Row ``first`` goes to ``values[0]`` and ``reason[0]``; all positions count from ``bars[0]``.
    """

    bars: Floats
    first_index: int
    start: int
    first: int
    end: int
    values: NDArray[np.floating]
    reason: NDArray[np.uint16]


def new_states(contract: FeatureContract, count: int) -> Floats:
    """States of eight lanes each, ``(count, state_size)``, begun at a cache line: no row of lanes lies across two."""
    size = kernel.state_size(contract.fill_window_bars)
    raw = np.zeros(count * size + kernel.LANES)
    skip = -(_address(raw) // 8) % kernel.LANES
    return raw[skip : skip + count * size].reshape(count, size)


def _address(array: NDArray[np.generic]) -> int:
    """Where the array's first element lies."""
    return int(array.__array_interface__["data"][0])


class Engine:
    """The parameters, clock and scratch state that stretches of one contract need. Not for two threads at once."""

    def __init__(self, contract: FeatureContract) -> None:
        self.parameters: Ints = contract.parameters()
        self.clock: Floats = clock_table(contract.timeframe_ms)
        self._states = new_states(contract, 1)

    def clock_row(self, index: int) -> int:
        """Row of the clock table of the bar before this absolute index."""
        week = len(self.clock)
        return (index + week // 7 * _MONDAY) % week

    def job(self, stretches: Sequence[Stretch]) -> Ints:
        """Describe up to eight stretches to the kernel."""
        job: Ints = np.zeros(kernel.JOB_FIELDS * kernel.LANES, dtype=np.int64)
        for lane in range(kernel.LANES):
            one = stretches[lane] if lane < len(stretches) else stretches[0]
            stride, end = one.bars.strides[0], one.end - one.start
            first = one.first - one.start if lane < len(stretches) else end  # an idle lane writes no row
            job[kernel.JOB_BARS + lane] = _address(one.bars) + one.start * stride
            job[kernel.JOB_STRIDE + lane] = stride
            job[kernel.JOB_VALUES + lane], job[kernel.JOB_REASONS + lane] = _address(one.values), _address(one.reason)
            job[kernel.JOB_FIRST + lane], job[kernel.JOB_END + lane] = first, end
            job[kernel.JOB_CLOCK + lane] = self.clock_row(one.first_index + one.start)
            job[kernel.JOB_STEPS] = max(job[kernel.JOB_STEPS], end)
        return job[None]

    def run(self, stretches: Sequence[Stretch], *, states: Floats | None = None) -> None:
        """Advance up to eight stretches from an empty state, in the scratch state unless another is given."""
        if stretches:
            states = self._states if states is None else states
            aside = np.empty(kernel.FEATURE_COUNT, dtype=stretches[0].values.dtype)
            kernel.run(states, self.job(stretches), self.parameters, self.clock, aside)


def run_stretches(stretches: Sequence[Stretch], contract: FeatureContract, *, threads: int) -> None:
    """Compute all stretches, the longest first, eight at a time on each thread."""
    ordered = sorted(stretches, key=lambda one: (one.end - one.start, one.first - one.start), reverse=True)
    groups = [ordered[k : k + kernel.LANES] for k in range(0, len(ordered), kernel.LANES)]
    workers = max(min(threads, len(groups)), 1)

    def work(share: Sequence[Sequence[Stretch]]) -> None:
        engine = Engine(contract)
        for group in share:
            engine.run(group)

    shares = [groups[k::workers] for k in range(workers)]
    if workers == 1:
        work(groups)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, shares))
