"""What is the feature row of the bar that has just closed?

One call of the same kernel that batch loops over. The stream keeps the last warm-up bars, and begins anew from them
at every absolute block boundary, exactly where batch does: the bytes are equal.
"""

import numpy as np
from numpy.typing import NDArray

from features import kernel
from features.batch import FeatureBlock, compute_features, require_running
from features.clock import clock_table
from features.contract import FeatureContract
from features.errors import FeatureError
from features.inputs import BarInputs
from market.candles import Floats

__all__ = ["FeatureStream"]


class FeatureStream:
    """The running state of one market. Not for use by two threads at once."""

    def __init__(self, contract: FeatureContract, symbol: str) -> None:
        """Begin empty: ``warm`` it with history, or ``advance`` from a symbol's very first bar."""
        require_running(contract)
        self.symbol = symbol
        self._contract = contract
        self._parameters = contract.parameters()
        self._clock = clock_table(contract.timeframe_ms)
        self._state: Floats = np.zeros(kernel.state_size(contract.fill_window_bars))
        self._recent: Floats = np.empty((0, kernel.INPUT_COLUMNS))  # twice the warm-up, once there is a bar
        self._bar: Floats = np.empty((1, kernel.INPUT_COLUMNS))
        self._reason = np.empty(1, dtype=np.uint16)
        self._held = 0
        self._next_index: int | None = None

    @property
    def next_index(self) -> int | None:
        """Absolute index of the bar that must come next; None before the first."""
        return self._next_index

    def warm(self, inputs: BarInputs) -> FeatureBlock:
        """Take history in, forgetting what came before; returns the rows of the newest bar's block.

        Give ``block + warmup`` bars, or all bars of a younger symbol. Raises ``FeatureError`` for another symbol.
        """
        if inputs.symbol != self.symbol or len(inputs) == 0:
            raise FeatureError(
                f"stream of {self.symbol}: {len(inputs)} bars of {inputs.symbol}",
                why="a stream belongs to one market and begins with history",
                remedy="warm it with this market's bars",
            )
        anchor = (inputs.end_index - 1) // self._contract.block_bars * self._contract.block_bars
        rows = compute_features(inputs, self._contract, start_index=max(anchor, inputs.first_index))
        self._held = min(len(inputs), self._contract.warmup_bars)
        self._recent = np.empty((2 * self._contract.warmup_bars, kernel.INPUT_COLUMNS))
        self._recent[: self._held] = inputs.values[len(inputs) - self._held :]
        self._next_index = inputs.end_index
        self._begin(inputs.values, max(anchor - self._contract.warmup_bars - inputs.first_index, 0), len(inputs))
        return rows

    def advance(self, index: int, row: Floats) -> tuple[NDArray[np.float32], int]:
        """Take the bar with this absolute index, ``row (len(Column),) float64``; returns its features and reason.

        Raises ``FeatureError`` for a repeated or skipped bar: put the history on the grid, which fills gaps.
        """
        self._accept(index, row)
        if index % self._contract.block_bars == 0:
            self._begin(self._recent, max(self._held - self._contract.warmup_bars, 0), self._held)
        values = np.empty((1, kernel.FEATURE_COUNT), dtype=np.float32)
        kernel.run(self._state, index, self._bar, 0, 0, 1, self._parameters, self._clock, values, self._reason)
        self._remember()
        self._next_index = index + 1
        return values[0], int(self._reason[0])

    def _accept(self, index: int, row: Floats) -> None:
        if row.shape != (kernel.INPUT_COLUMNS,):
            raise FeatureError(
                f"{self.symbol}: a bar of shape {row.shape}",
                why=f"a bar has {kernel.INPUT_COLUMNS} columns",
                remedy="take rows from assemble_inputs",
            )
        if self._next_index is not None and index != self._next_index:
            kind = "repeated" if index < self._next_index else "skipped"
            raise FeatureError(
                f"{self.symbol}: bar {index} where {self._next_index} comes next ({kind})",
                why="every later row would differ from the same row computed in batch",
                remedy="put the bars on the grid, or warm the stream again",
            )
        self._bar[0] = row

    def _begin(self, bars: Floats, first: int, end: int) -> None:
        """Begin the state anew from ``bars[first:end]``, writing no row."""
        self._state[kernel.S_COUNT] = 0.0
        values = np.empty((0, kernel.FEATURE_COUNT), dtype=np.float32)
        reason = np.empty(0, dtype=np.uint16)
        kernel.run(self._state, 0, bars, first, end, end, self._parameters, self._clock, values, reason)

    def _remember(self) -> None:
        """Keep the last ``warmup`` bars, oldest first; a full buffer moves its newer half to the front."""
        keep = self._contract.warmup_bars
        if self._recent.shape[0] == 0:
            self._recent = np.empty((2 * keep, kernel.INPUT_COLUMNS))
        if self._held == 2 * keep:
            self._recent[: keep - 1] = self._recent[keep + 1 :]
            self._held = keep - 1
        self._recent[self._held] = self._bar[0]
        self._held += 1
