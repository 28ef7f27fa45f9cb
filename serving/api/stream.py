"""How does a reader hear each signal within moments of its commit, once, across reconnects?

Server-sent events. One listener for the whole app hears the workers' notifications and wakes every stream, which then
reads the rows after the last id it sent. A notification that is lost costs seconds, never a signal, because everybody
is woken every ``poll_s`` anyway. A reader that comes back with ``Last-Event-ID`` goes on after it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.bell import SIGNALS, listening
from infra.errors import InfraError
from serving.errors import ApiRefusalError
from serving.signal_feed import Signal

__all__ = ["Hub", "Page", "events"]

_RETRY_MS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Signals after a cursor, the cursor up to which everything has been read now, and whether more wait behind it."""

    signals: Sequence[Signal]
    cursor: int
    more: bool


class Hub:
    """Wakes the streams of one app; ``close`` ends them all."""

    def __init__(self, engine: Engine, *, poll_s: float = 2.0, most: int = 32) -> None:
        self._engine = engine
        self._poll_s = poll_s
        self._most = most
        self._stop = Event()
        self._bells: set[asyncio.Event] = set()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closing = False

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._bells)

    def open(self) -> None:
        """Begin to listen; within the event loop of the app."""
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._listen, name="signal listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every stream and the listener; within the event loop of the app."""
        self.closing = True
        self._stop.set()
        self._wake()

    async def closed(self) -> None:
        """Return when the listener has ended."""
        self.close()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def require_room(self) -> None:
        """Raise ``ApiRefusalError`` where as many streams are open as may be."""
        if self.closing or len(self._bells) >= self._most:
            raise ApiRefusalError(
                503,
                "the server is stopping" if self.closing else f"{len(self._bells)} streams are open",
                why="each one costs memory and queries",
                remedy="close one, or ask again later with Last-Event-ID",
            )

    @contextlib.contextmanager
    def seat(self) -> Iterator[asyncio.Event]:
        """The event that wakes one stream."""
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)

    def _listen(self) -> None:
        with listening(self._engine, self._stop, SIGNALS) as bell:
            while not self._stop.is_set():
                bell.wait(self._poll_s)
                if self._loop is not None:
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for bell in self._bells:
            bell.set()


async def events(
    hub: Hub,
    read: Callable[[int], Awaitable[Page]],
    *,
    after_id: int,
    for_s: float,
    keep_alive_s: float = 15.0,
    gone: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    """Every signal after ``after_id`` as one event, for at most ``for_s`` seconds or until the hub closes."""
    with hub.seat() as bell:
        async for said in _told(hub, bell, read, after_id, for_s, keep_alive_s, gone):
            yield said


async def _told(
    hub: Hub,
    bell: asyncio.Event,
    read: Callable[[int], Awaitable[Page]],
    after_id: int,
    for_s: float,
    keep_alive_s: float,
    gone: Callable[[], Awaitable[bool]],
) -> AsyncIterator[str]:
    ends, spoke, cursor = monotonic() + for_s, monotonic(), after_id
    yield f"retry: {_RETRY_MS}\n\n"
    while True:
        bell.clear()
        try:
            page = await read(cursor)
        except (SQLAlchemyError, InfraError):
            yield ": the database is away; come back with Last-Event-ID\n\n"
            return
        for one in page.signals:
            yield f"id: {one.id}\nevent: signal\ndata: {one.model_dump_json()}\n\n"
            spoke = monotonic()
        if hub.closing or await gone():
            return
        cursor = page.cursor
        if page.more:
            continue
        left = ends - monotonic()
        if left <= 0:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(bell.wait(), min(left, keep_alive_s))
        if monotonic() - spoke >= keep_alive_s:
            yield ": alive\n\n"
            spoke = monotonic()
