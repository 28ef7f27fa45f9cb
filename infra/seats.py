"""How do several commands of one home share a server that one of them started?

Each user holds a shared lock on ``run/<name>.users``, which the kernel drops when that user dies, however it dies. One
at a time, under ``run/<name>.turn``, finds out whether a server runs or must be started. Whoever started it ends it,
but waits for the other users first.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InfraError
from infra.processes import running_url

__all__ = ["Seat", "take_seat"]

_POLL_S = 0.1


@dataclass(slots=True, kw_only=True)
class Seat:
    """One user of a server: ``url`` of the one that runs, None where this user is to start it."""

    url: str | None
    turn: int | None
    users: int

    def settled(self) -> None:
        """Give the next process its turn: the server is there, or will not be."""
        if self.turn is not None:
            os.close(self.turn)
            self.turn = None

    def wait_for_others(self, on_wait: Callable[[], None]) -> None:
        """Return when nobody else uses the server, and let nobody in any more; ``on_wait`` is called if others do."""
        fcntl.flock(self.users, fcntl.LOCK_UN)
        told = False
        while True:
            try:
                return fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    told = True
                    on_wait()
                time.sleep(_POLL_S)


@contextmanager
def take_seat(name: str, *, run_dir: Path) -> Iterator[Seat]:
    """Become a user of the home's server ``name``; call ``settled`` once it is clear that it runs."""
    with ExitStack() as stack:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            seat = Seat(url=None, turn=None, users=_opened(run_dir / f"{name}.users"))
            stack.callback(os.close, seat.users)
            stack.callback(seat.settled)
            seat.turn = _opened(run_dir / f"{name}.turn")
            fcntl.flock(seat.turn, fcntl.LOCK_EX)
            fcntl.flock(seat.users, fcntl.LOCK_SH)
        except OSError as error:
            raise InfraError(
                f"{run_dir} cannot be used ({error.strerror or error})",
                why="the servers of this home keep their locks and logs there",
                remedy="free space or correct the permissions, then run this again",
            ) from error
        seat.url = running_url(name, run_dir=run_dir)
        yield seat


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
