"""When is a venue left alone?

A circuit breaker for one client: it opens when the venue asks for a wait longer than we wait, bans us, or when several
calls fail one after the other, each after its own retries. Everything pending then fails at once. After the pause, one
more failure opens it again, for twice as long; one answer makes it forget. What outlives the process is stored by the
caller.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from infra.sources.exchange_errors import VenueClosedError

__all__ = ["Breaker"]

_FIRST_PAUSE_S = 60.0
_LONGEST_PAUSE_S = 3600.0


class Breaker:
    """Counts failures in a row; ``max_failures`` of them open it, which cancels the tasks in ``waiting``."""

    def __init__(self, exchange: str, *, max_failures: int, clock_ms: Callable[[], int] | None = None) -> None:
        self._exchange = exchange
        self._clock_ms = clock_ms or _now_ms
        self._max_failures = max_failures
        self._failures = 0
        self._openings = 0
        self._open: tuple[int, str] | None = None
        self.waiting: set[asyncio.Task[Any]] = set()

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once."""
        return self._open is not None and self._clock_ms() < self._open[0]

    def check(self) -> None:
        """Raise ``VenueClosedError`` while open."""
        if self.is_open:
            raise self.error()
        self._open = None

    def error(self) -> VenueClosedError:
        """Why and until when it is open."""
        until_ms, because = self._open or (self._clock_ms(), "it failed")
        return VenueClosedError(self._exchange, because=because, until_ms=until_ms)

    def answered(self) -> None:
        """A call was answered."""
        self._failures = self._openings = 0

    def failed(self, because: str) -> None:
        """A call failed for good; ``VenueClosedError`` if it was one too many."""
        self._failures += 1
        if self._failures >= self._max_failures:
            self.open(f"{because}; {self._failures} calls in a row have failed", pause_s=None)

    def open(self, because: str, *, pause_s: float | None) -> None:
        """Open for ``pause_s`` (None: longer each time) and raise ``VenueClosedError``."""
        if not self.is_open:
            grown_s = min(_FIRST_PAUSE_S * 2.0**self._openings, _LONGEST_PAUSE_S)
            self._open = (self._clock_ms() + int(1000 * (grown_s if pause_s is None else pause_s)), because)
            self._openings += 1
            self._failures = self._max_failures - 1
            for task in tuple(self.waiting):
                task.cancel()
        raise self.error()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
