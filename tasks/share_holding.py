"""Which shares of a model's symbols does this process serve, now?

Every share has a lease; whoever holds it serves the share, in a thread of its own. Workers count each other and hold
equal numbers: a new one is handed shares at the next bar, those of a dead one are free as soon as its connection is
gone. A lease that was lost (the database restarted) ends its thread before anything is taken again.
"""

from collections.abc import Callable
from math import ceil
from threading import Event, Thread

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from infra.locks import Lease
from serving.shares import lease_name

__all__ = ["ShareHolder"]

Serve = Callable[[int, Event], None]
_END_S = 30.0


class ShareHolder:
    """Takes, serves and gives back shares; ``balance`` is one round of it, called about once a second."""

    def __init__(
        self, engine: Engine, *, model_name: str, shares: int, workers: Callable[[], int], serve: Serve
    ) -> None:
        """``serve(share, stop)`` serves one share until ``stop`` is set; ``workers`` counts the processes."""
        self._engine = engine
        self._model_name = model_name
        self._shares = shares
        self._workers = workers
        self._serve = serve
        self._running: dict[int, _Running] = {}

    @property
    def held(self) -> tuple[int, ...]:
        """The shares that this process serves."""
        return tuple(sorted(self._running))

    def balance(self) -> None:
        """Drop what was lost, give back what is too much, take what is free; raises what a share's thread raised."""
        for share, one in list(self._running.items()):
            if one.error is not None:
                raise one.error
            if not one.lease.held():
                self._end(share)
        try:
            fair = ceil(self._shares / self._workers())
            for share in self.held[fair:]:
                self._end(share)
            for share in range(self._shares):
                if len(self._running) < fair and share not in self._running:
                    self._take(share)
        except SQLAlchemyError:
            return  # the database is away: nothing can be taken, and nothing is said meanwhile

    def close(self) -> None:
        """End every thread and give back every lease."""
        for one in self._running.values():
            one.stop.set()
        for share in self.held:
            self._end(share)

    def _take(self, share: int) -> None:
        lease = Lease.take(self._engine, lease_name(self._model_name, share, self._shares))
        if lease is not None:
            self._running[share] = _Running(share, lease, self._serve)

    def _end(self, share: int) -> None:
        one = self._running.pop(share)
        one.stop.set()
        one.thread.join(_END_S)
        one.lease.release()


class _Running:
    """One share being served, and the error that ended it, if one did."""

    def __init__(self, share: int, lease: Lease, serve: Serve) -> None:
        self.lease = lease
        self.stop = Event()
        self.error: BaseException | None = None
        self.thread = Thread(target=self._run, args=(share, serve), name=f"share {share}", daemon=True)
        self.thread.start()

    def _run(self, share: int, serve: Serve) -> None:
        try:
            serve(share, self.stop)
        except BaseException as error:  # noqa: BLE001  # raised again in the main thread by balance
            self.error = error
