"""How do a market's grid and inputs grow by a bar without being copied?

Columns lie in memory with room at the end; what is handed out are views of the filled part, laid out exactly as arrays
that were built at once, so that compiled code takes them as the same type.
"""

import numpy as np
from numpy.typing import NDArray

from features.inputs import BarInputs
from market.candles import Floats
from market.grid import BarGrid
from serving.next_bar import Arrived, BarMemory, next_row

__all__ = ["MarketGrowth"]

_PRICES = ("open", "high", "low", "close", "volume")
_ROOM = 512  # bars; then everything moves once


class MarketGrowth:
    """One market's grid and inputs, bar after bar."""

    def __init__(self, grid: BarGrid, inputs: BarInputs, memory: BarMemory) -> None:
        self._grid, self._inputs, self._memory = grid, inputs, memory
        self._columns: Floats = np.empty((len(_PRICES), 0))
        self._real: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._rows: Floats = np.empty((0, inputs.values.shape[1]))

    def add(self, arrived: Arrived, reference_close: float) -> tuple[BarGrid, BarInputs] | None:
        """Grid and inputs with one more bar; None where the history must be built anew."""
        row = next_row(self._memory, arrived, reference_close)
        if row is None:
            return None
        bars, rows = len(self._grid), len(self._inputs)
        if bars >= self._real.size or rows >= len(self._rows):
            self._make_room()
        self._columns[:, bars] = row[: len(_PRICES)]
        self._real[bars] = arrived.candle is not None
        self._rows[rows] = row
        self._grid = BarGrid(
            symbol=self._grid.symbol,
            timeframe=self._grid.timeframe,
            first_index=self._grid.first_index,
            open=self._columns[0, : bars + 1],
            high=self._columns[1, : bars + 1],
            low=self._columns[2, : bars + 1],
            close=self._columns[3, : bars + 1],
            volume=self._columns[4, : bars + 1],
            real=self._real[: bars + 1],
        )
        self._inputs = BarInputs(
            symbol=self._inputs.symbol,
            timeframe=self._inputs.timeframe,
            first_index=self._inputs.first_index,
            values=self._rows[: rows + 1],
        )
        return self._grid, self._inputs

    def _make_room(self) -> None:
        bars, rows = len(self._grid), len(self._inputs)
        columns = np.empty((len(_PRICES), bars + _ROOM))
        real = np.zeros(bars + _ROOM, dtype=np.bool_)
        inputs = np.empty((rows + _ROOM, self._inputs.values.shape[1]))
        for k, name in enumerate(_PRICES):
            columns[k, :bars] = getattr(self._grid, name)
        real[:bars] = self._grid.real
        inputs[:rows] = self._inputs.values
        self._columns, self._real, self._rows = columns, real, inputs
