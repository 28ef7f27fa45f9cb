"""Workers hold shares by lease: equally, one each, and whatever a dead one leaves behind."""

from collections.abc import Iterator
from contextlib import ExitStack
from threading import Event
from time import monotonic

import pytest
from sqlalchemy import Engine, text

from infra.bootstrap import App
from infra.locks import Lease, present
from tasks.share_holding import ShareHolder

pytestmark = pytest.mark.integration
PATIENCE_S = 10.0


class Worker:
    """One process of the model ``name``, as far as its leases go; what it serves is noted."""

    def __init__(self, engine: Engine, name: str, shares: int, stack: ExitStack) -> None:
        self.serving: set[int] = set()
        self.broken = False
        workers = stack.enter_context(present(engine, f"workers of {name}"))
        self.holder = ShareHolder(engine, model_name=name, shares=shares, workers=workers, serve=self._serve)
        stack.callback(self.holder.close)

    def _serve(self, share: int, stop: Event) -> None:
        if self.broken:
            raise RuntimeError(f"share {share} broke")
        self.serving.add(share)
        stop.wait()
        self.serving.discard(share)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends every worker of the test."""
    with ExitStack() as held:
        yield held


def until(happened, *, why: str) -> None:
    """Wait for a thread to show what it did."""
    end = monotonic() + PATIENCE_S
    while not happened():
        assert monotonic() < end, why


def test_a_single_worker_serves_everything(app: App, stack: ExitStack) -> None:
    """All shares, at the first round."""
    one = Worker(app.engine, "alone", 3, stack)
    one.holder.balance()
    assert one.holder.held == (0, 1, 2)
    until(lambda: one.serving == {0, 1, 2}, why="not every share is served")


def test_a_second_worker_is_handed_half_and_no_share_has_two(app: App, stack: ExitStack) -> None:
    """The first gives back what is too much once it counts two; nothing is served twice on the way."""
    first, second = (Worker(app.engine, "pair", 4, stack) for _ in range(2))
    first.holder.balance()
    second.holder.balance()
    assert not set(first.holder.held) & set(second.holder.held)
    first.holder.balance()
    second.holder.balance()
    assert sorted((*first.holder.held, *second.holder.held)) == [0, 1, 2, 3]
    assert len(first.holder.held) == len(second.holder.held) == 2
    until(lambda: first.serving | second.serving == {0, 1, 2, 3}, why="a share is not served")
    assert not first.serving & second.serving


def test_what_one_leaves_the_other_takes(app: App, stack: ExitStack) -> None:
    """A worker that ends gives back its leases and its place in the count."""
    first = Worker(app.engine, "leaving", 2, stack)
    with ExitStack() as short:
        second = Worker(app.engine, "leaving", 2, short)
        for one in (first, second, first, second):
            one.holder.balance()
        assert len(second.holder.held) == 1
    first.holder.balance()
    assert first.holder.held == (0, 1)


def test_a_lease_that_the_database_forgot_is_noticed(app: App, stack: ExitStack) -> None:
    """Its session was ended by the server: the thread ends, and the share is taken anew."""
    one = Worker(app.engine, "forgotten", 1, stack)
    one.holder.balance()
    until(lambda: one.serving == {0}, why="the share is not served")
    with app.engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
                " AND pid <> pg_backend_pid()"
            )
        )
    one.holder.balance()
    assert one.holder.held == (0,)
    until(lambda: one.serving == {0}, why="the share is not served again")


def test_an_error_of_a_share_ends_the_worker(app: App, stack: ExitStack) -> None:
    """Nothing is swallowed in a thread: the next round raises it."""
    one = Worker(app.engine, "broken", 1, stack)
    one.broken = True
    one.holder.balance()

    def raised() -> bool:
        try:
            one.holder.balance()
        except RuntimeError as error:
            return "share 0 broke" in str(error)
        return False

    until(raised, why="the error was swallowed")


def test_a_lease_has_one_holder(app: App) -> None:
    """The second is told no, and after the release yes."""
    first = Lease.take(app.engine, "one holder")
    assert first is not None
    assert first.held()
    assert Lease.take(app.engine, "one holder") is None
    first.release()
    second = Lease.take(app.engine, "one holder")
    assert second is not None
    second.release()
