"""Each live signal once, soon, across reconnects, and an end for every stream."""

import json
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import httpx
import pytest
from sqlalchemy import text

from infra.bell import SIGNALS, listening
from tests.fakes.small_market import TIMEFRAME
from tests.serving.api.conftest import running


@contextmanager
def stream(api, *, last=None, **query):
    """An open stream as an iterator of ids; the connection closes with the block."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with httpx.stream("GET", f"{api.url}/signals/stream", params=query, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")
        yield (json.loads(line[6:])["id"] for line in lines if line.startswith("data: "))


def test_new_signals_arrive_without_being_asked_for(api, said):
    """A stream that began before the bar is told of it by its commit; what was said earlier is not repeated."""
    said(10)
    with stream(api) as ids:
        said(11)
        assert [next(ids), next(ids)] == [3, 4]


def test_nothing_is_lost_or_repeated_across_reconnects(api, said):
    """Bars are written while the reader comes and goes; it ends with each id once, in order."""
    bars, read = 30, []
    writer = Thread(target=lambda: [said(10 + k) for k in range(bars)])
    writer.start()
    while len(read) < 2 * bars:
        with stream(api, since=0, last=read[-1] if read else None) as ids:
            read += [next(ids) for _ in range(min(7, 2 * bars - len(read)))]
    writer.join()
    assert read == sorted(set(read))
    assert len(read) == 2 * bars


def test_stored_signals_can_be_had_at_once(api, said):
    """From a bar on, live ones only, and the stream ends by itself."""
    said(10)
    said(11, live=False)
    said(12)
    with stream(api, since=TIMEFRAME.open_time(11), for_s=0) as ids:
        assert len(list(ids)) == 2


def test_a_reader_of_another_database_is_told(api, said):
    """An id that was never given out: going on would leave signals out in silence."""
    said(10)
    answer = api.get("/signals/stream", headers={"Last-Event-ID": "99"})
    assert (answer.status_code, "since" in answer.json()["remedy"]) == (409, True)
    assert api.get("/signals/stream", headers={"Last-Event-ID": "x"}).status_code == 422


def test_too_many_streams_are_refused(api):
    """Those that are open go on; the next one is told to wait, and may come when one has gone."""
    with stream(api), stream(api), stream(api):
        assert api.get("/signals/stream").status_code == 503


def test_a_server_that_stops_ends_its_streams(parts, engine, said):
    """The reader sees an end of the stream, not a broken connection."""
    with running(parts) as api, stream(api) as ids:
        api.server.should_exit = True
        assert list(ids) == []


def test_a_lost_notification_costs_no_signal(parts, engine, said):
    """Rows that were written without one are found at the next look."""
    with running(replace(parts, stream_poll_s=0.2)) as api, stream(api) as ids:
        said(10, live=False)
        with engine.begin() as connection:
            connection.execute(text("UPDATE signals SET run = 'live'"))
            connection.execute(text("UPDATE signals SET id = id + 10"))
        assert next(ids) == 11


def test_the_notification_comes_with_the_commit_and_never_without(engine, said):
    """What one live bar brought, once; a replay says nothing, nor does a bar that was rolled back or known."""
    stop = Event()
    with listening(engine, stop, SIGNALS) as bell:
        assert not bell.wait(0.3)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE signals ADD CONSTRAINT t CHECK (size < 0.01) NOT VALID"))
        try:
            with pytest.raises(Exception, match="violates check"):
                said(9)
        finally:
            with engine.begin() as connection:
                connection.execute(text("ALTER TABLE signals DROP CONSTRAINT t"))
        said(10, live=False)
        said(11)
        said(11)
        heard = [json.loads(one.payload) for one in bell._connection.notifies(timeout=1.0)]
    ids = {"first_id": heard[0].pop("first_id"), "last_id": heard[0].pop("last_id")}
    assert heard == [{"model_name": "m", "bar_ms": TIMEFRAME.open_time(11), "signals": 2}]
    assert ids["last_id"] == ids["first_id"] + 1


def test_ids_become_visible_in_their_order(engine, said):
    """While one transaction holds ids it has not committed, another writer of signals waits for it."""
    done = Event()
    with engine.connect() as first:
        from infra.locks import lock_key

        first.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("signals in turn")})
        second = Thread(target=lambda: (said(10), done.set()))
        second.start()
        assert not done.wait(0.3)
        first.rollback()
    assert done.wait(10)
    second.join()
