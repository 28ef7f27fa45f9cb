"""How are a hundred markets' histories answered without formatting a number per call?

Every row is put into the venue's JSON once per market, in one piece of memory, so that a page is a slice of it. Numbers
are the shortest text that reads back as the same float.
"""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market.candles import Floats, Ints

__all__ = ["Rows", "TextCache", "rows_of", "ticks"]


class Rows:
    """JSON texts of many rows, each followed by a comma, and slices of them."""

    def __init__(self, texts: pa.StringArray) -> None:
        _, offsets, data = texts.buffers()
        self._bounds = np.frombuffer(offsets, dtype=np.int32)[: len(texts) + 1]
        self._data = memoryview(data) if data is not None else memoryview(b"")

    def __len__(self) -> int:
        """Number of rows."""
        return self._bounds.size - 1

    def join(self, picked: Ints, replaced: Mapping[int, bytes]) -> bytes:
        """These rows (ascending positions) separated by commas; ``replaced`` gives other text for some positions."""
        if picked.size == 0:
            return b""
        cuts = np.flatnonzero(np.diff(picked) != 1) + 1
        pieces = [
            piece for run in np.split(picked, cuts) for piece in self._run(int(run[0]), int(run[-1]) + 1, replaced)
        ]
        return b"".join(pieces)[:-1]

    def _run(self, lo: int, hi: int, replaced: Mapping[int, bytes]) -> list[bytes | memoryview]:
        pieces: list[bytes | memoryview] = []
        for position in sorted(row for row in replaced if lo <= row < hi):
            pieces += [self._slice(lo, position), replaced[position] + b","]
            lo = position + 1
        return [*pieces, self._slice(lo, hi)]

    def _slice(self, lo: int, hi: int) -> memoryview:
        return self._data[self._bounds[lo] : self._bounds[hi]]


class TextCache:
    """Rows by market and kind, made at the first ask and dropped with the market."""

    def __init__(self) -> None:
        self._rows: WeakKeyDictionary[object, dict[str, Any]] = WeakKeyDictionary()

    def get(self, market: object, kind: str, make: Callable[[], Any]) -> Any:
        """What was made of this market under this name."""
        made = self._rows.setdefault(market, {})
        if kind not in made:
            made[kind] = make()
        return made[kind]


def _text(values: np.ndarray) -> pa.StringArray:
    """Numbers as the shortest text that reads back the same."""
    return pc.cast(pa.array(values), pa.string())


def rows_of(*parts: str | np.ndarray, newest_first: bool = False) -> Rows:
    """Rows out of constant texts and columns, in this order; each column is one value a row."""
    columns = [part if isinstance(part, str) else _text(part[::-1] if newest_first else part) for part in parts]
    joined = pc.binary_join_element_wise(*columns, ",", "")
    return Rows(joined if isinstance(joined, pa.StringArray) else joined.combine_chunks())


def ticks(prices: Floats) -> tuple[str, int]:
    """The tick size that these prices seem to have, as text, and its number of decimals (at most 8)."""
    texts = (f"{price:.8f}".rstrip("0") for price in prices[:200])
    digits = max((len(text) - text.index(".") - 1 for text in texts), default=2)
    return f"{10.0**-digits:.{digits}f}", digits
