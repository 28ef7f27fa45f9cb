"""Waking whoever waits for bars."""

import threading
from collections.abc import Iterator
from threading import Event
from time import monotonic

import pytest
from sqlalchemy import Engine, text

from infra.bell import Bell, listening, ring

pytestmark = pytest.mark.integration
LONG_S = 30.0


@pytest.fixture
def bell(engine: Engine) -> Iterator[Bell]:
    """A listener that has heard its first wait end, so it listens."""
    with listening(engine, Event()) as made:
        assert made.wait(0.01) is False
        yield made


def test_a_ring_ends_a_wait_at_once(engine: Engine, bell: Bell) -> None:
    """Whoever waits half a minute is awake as soon as somebody stored bars."""
    ringing = threading.Timer(0.1, ring, args=(engine,))
    ringing.start()
    began = monotonic()
    assert bell.wait(LONG_S) is True
    assert monotonic() - began < LONG_S / 3
    ringing.join()


def test_a_ring_before_the_wait_is_heard(engine: Engine, bell: Bell) -> None:
    """Bars that came while a bar was served are not waited for."""
    ring(engine)
    assert bell.wait(LONG_S) is True


def test_a_ring_of_another_channel_is_not_meant(engine: Engine, bell: Bell) -> None:
    """Signals going out wake nobody who waits for bars."""
    ring(engine, "something_else")
    assert bell.wait(0.3) is False


def test_a_lost_connection_is_made_again(engine: Engine, bell: Bell) -> None:
    """The server ends the listener's session; that wait ends by itself, and a later ring is heard."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
    assert bell.wait(0.3) is False
    assert bell.wait(0.01) is False
    ring(engine)
    assert bell.wait(LONG_S) is True


def test_a_request_to_stop_ends_a_wait(engine: Engine) -> None:
    """A worker that is told to end does not wait for its next bar."""
    stop = Event()
    with listening(engine, stop) as bell:
        asking = threading.Timer(0.1, stop.set)
        asking.start()
        began = monotonic()
        assert bell.wait(LONG_S) is False
        assert monotonic() - began < LONG_S / 3
        asking.join()
