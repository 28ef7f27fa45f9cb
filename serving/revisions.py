"""Which bars did their venue change after they were decided on?

What was decided stays as it was decided: signals, predictions and feature rows are written once. The change is a new
version in the lake, and every later bar is computed from it. This only says so, with the first bar that knew of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from infra.lake import Lake
from infra.lake_rows import Rows
from market.candles import Ints
from market.timeframe import DAY_MS, Timeframe

__all__ = ["Revisions", "read_revisions", "revised_bars"]

_LOOK_BACK_MS = DAY_MS


def revised_bars(rows: Rows) -> tuple[Ints, Ints]:
    """``(k,) int64`` open times of the bars known with other values later, and when; ``rows`` sorted by time."""
    again = np.append(False, np.diff(rows.time) == 0)[: len(rows)]
    return rows.time[again], rows.known_at[again]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """Which bars of each symbol were changed, and when."""

    changed: dict[str, tuple[Ints, Ints]]

    def between(self, after_ms: int, until_ms: int, *, before_ms: int) -> tuple[str, ...]:
        """The symbols of which a change to a bar before ``before_ms`` became known in ``(after_ms, until_ms]``."""
        return tuple(
            symbol
            for symbol, (opened, at) in self.changed.items()
            if bool(((opened < before_ms) & (at > after_ms) & (at <= until_ms)).any())
        )


def read_revisions(
    lake: Lake, symbols: Iterable[str], timeframe: Timeframe, *, first_index: int, end_index: int
) -> Revisions:
    """Changes to the bars from a day before ``first_index`` up to ``end_index``; older ones are used but not told."""
    start_ms, end_ms = timeframe.open_time(first_index) - _LOOK_BACK_MS, timeframe.open_time(end_index)
    kind = f"candles_{timeframe.name}"
    found = {symbol: revised_bars(lake.versions(kind, symbol, start_ms=start_ms, end_ms=end_ms)) for symbol in symbols}
    return Revisions(changed={symbol: bars for symbol, bars in found.items() if bars[0].size})
