"""How does whoever waits for bars hear at once that there are some?

Whoever stores bars rings (``NOTIFY``), whoever waits listens (``LISTEN``). A ring is a hint and nothing else: it
carries no data, may be lost, and a database that is away rings nothing; so every wait ends by itself after the time it
was given, and the waiting side looks for itself.
"""

import contextlib
from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["BARS", "SIGNALS", "Bell", "listening", "ring"]

BARS = "lockstep_bars"
"""The channel on which a collector says that it stored bars."""

SIGNALS = "lockstep_signals"
"""The channel on which a worker's transaction says which signals it has committed."""

_SLICE_S = 0.25  # how long a request to stop may go unheard


def ring(engine: Engine, channel: str = BARS) -> None:
    """Wake everybody who listens; a database that is away wakes nobody, and that is no error."""
    with contextlib.suppress(SQLAlchemyError), engine.begin() as connection:
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


class Bell:
    """One listener with a connection of its own, made again whenever it is lost."""

    def __init__(self, engine: Engine, channel: str, stop: Event) -> None:
        self._engine = engine
        self._channel = channel
        self._stop = stop
        self._connection: Any = None

    def wait(self, timeout_s: float) -> bool:
        """Wait until somebody rings, at most ``timeout_s``, or until asked to stop; True where it rang."""
        end = monotonic() + timeout_s
        while not self._stop.is_set():
            left = min(end - monotonic(), _SLICE_S)
            if left <= 0.0:
                return False
            if self._heard(left):
                return True
        return False

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None

    def _heard(self, timeout_s: float) -> bool:
        import psycopg

        try:
            if self._connection is None:
                self._connection = self._listen()
            return any(True for _ in self._connection.notifies(timeout=timeout_s, stop_after=1))
        except (SQLAlchemyError, psycopg.Error, OSError):
            self.close()
            self._stop.wait(timeout_s)  # nothing to listen to: this is the polling it falls back to
            return False

    def _listen(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # it is ours until hung up: the pool shall not hand out a connection that listens
        connection.autocommit = True
        connection.execute(f'LISTEN "{self._channel}"')
        return connection


@contextlib.contextmanager
def listening(engine: Engine, stop: Event, channel: str = BARS) -> Iterator[Bell]:
    """A bell for the time of the block."""
    bell = Bell(engine, channel, stop)
    try:
        yield bell
    finally:
        bell.close()
