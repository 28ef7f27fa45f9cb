"""Which bar is it, in absolute numbers?

A bar is named by its open time, in integer milliseconds since the epoch (UTC). Its *index* is
``open_time // timeframe``: an absolute integer, so blocks, folds and anchors never depend on where
a history starts. A bar is known at its close (plus the settle delay of its source).

    >>> five = Timeframe.parse("5m")
    >>> five.ms, five.bars_per_day, five.index_of(1_735_603_200_000)
    (300000, 288, 5785344)
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from market.errors import TimeframeError

__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS", "Timeframe", "as_utc"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
_UNITS = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of one bar; ``ms`` divides one day."""

    ms: int

    @classmethod
    def parse(cls, name: str) -> "Timeframe":
        """Read ``"5m"``, ``"1h"`` or ``"1d"``; anything that does not divide a day is refused."""
        found = re.fullmatch(r"([1-9]\d*)([mhd])", name.strip())
        ms = int(found[1]) * _UNITS[found[2]] if found else 0
        if ms == 0 or DAY_MS % ms:
            raise TimeframeError(
                f"timeframe {name!r}",
                why="bars need a length that divides one day, so that bar indices are absolute",
                remedy="use for example 1m, 5m, 15m, 1h, 4h or 1d",
            )
        return cls(ms)

    @property
    def name(self) -> str:
        """The venue's spelling: ``5m``, ``1h``, ``1d``."""
        for unit, ms in (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS)):
            if self.ms % ms == 0:
                return f"{self.ms // ms}{unit}"
        return f"{self.ms}ms"

    @property
    def bars_per_day(self) -> int:
        """Bars in 24 hours."""
        return DAY_MS // self.ms

    @property
    def bars_per_year(self) -> int:
        """Bars in 365 days: crypto trades every day, so no 252 here."""
        return 365 * self.bars_per_day

    def index_of(self, time_ms: int) -> int:
        """Absolute index of the bar that contains ``time_ms``."""
        return time_ms // self.ms

    def open_time(self, index: int) -> int:
        """Open time in ms of the bar with this absolute index."""
        return index * self.ms

    def close_time(self, index: int) -> int:
        """Close time in ms: the first millisecond after the bar."""
        return (index + 1) * self.ms


def as_utc(time_ms: int) -> str:
    """A moment in ms as people read it.

    >>> as_utc(1_735_689_600_000)
    '2025-01-01 00:00'
    """
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
