"""Signals reach a Redis stream over TCP: all of them, in order, with Redis away for a while, killed in between."""

from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread
from time import monotonic

import fakeredis
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import select

from infra.processes import free_port
from infra.tables import signal_cursors
from serving.errors import SinkError
from serving.records import BarRecord, SignalRow
from serving.redis_sink import RedisSink, open_redis, publish_forever, publish_once
from serving.store import write_bars
from tests.fakes.small_market import TIMEFRAME

ROW = SignalRow(
    model_name="m",
    symbol="BTCUSDT",
    bar_ms=0,
    state="FULL",
    reason="ok",
    action=2,
    confidence=0.1 + 0.2,
    size=None,
    bundle_hash="b" * 64,
    version=3,
    run="live",
    steps="{}",
)
STREAM = "signals"


def say(engine, index, *, run="live"):
    bar_ms = TIMEFRAME.open_time(index)
    record = BarRecord(bar_ms=bar_ms, signals=(replace(ROW, bar_ms=bar_ms, run=run),), detail={"bar_ms": bar_ms})
    write_bars(engine, [record], heartbeat="worker" if run == "live" else None)


@contextmanager
def redis_on(port):
    """A Redis that speaks TCP."""
    server = fakeredis.TcpFakeServer(("127.0.0.1", port))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def sink():
    """A sink on a running Redis, with a client of our own to read."""
    port = free_port()
    with redis_on(port):
        client = open_redis(SecretStr(f"redis://127.0.0.1:{port}/0"))
        yield RedisSink(client=client, stream=STREAM, keep=1000)
        client.close()


def entries(sink):
    return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in sink.client.xrange(STREAM)]


def once(engine, sink):
    return publish_once(engine, sink, model_name="m", timeframe_ms=TIMEFRAME.ms)


def cursor(engine):
    with engine.connect() as connection:
        return connection.scalar(select(signal_cursors.c.last_id))


def test_each_signal_is_added_once_and_in_order(engine, sink):
    """From the first start on, live ones only; every field is as it was said and what is not known is absent."""
    say(engine, 1)
    assert once(engine, sink) == 0
    for index in (2, 3):
        say(engine, index)
    say(engine, 4, run="replay")
    assert (once(engine, sink), once(engine, sink)) == (2, 0)
    found = entries(sink)
    assert [one["signal_id"] for one in found] == ["2", "3"]
    assert (found[0]["action"], float(found[0]["confidence"]), found[0]["schema"]) == ("SELL", 0.1 + 0.2, "1")
    assert "size" not in found[0]
    assert cursor(engine) == 4


def test_killed_before_the_cursor_moved_it_adds_again(engine, sink, monkeypatch):
    """At least once: the reader sees the same signal_id twice, and none is missing."""
    once(engine, sink)
    say(engine, 1)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("serving.redis_sink._move", killed)
        with pytest.raises(KeyboardInterrupt):
            once(engine, sink)
    say(engine, 2)
    once(engine, sink)
    assert [one["signal_id"] for one in entries(sink)] == ["1", "1", "2"]


def test_redis_away_is_waited_for(engine):
    """Signals said meanwhile arrive once it is back, and no word of it tells the password."""
    port, stop, back, heard = free_port(), Event(), Event(), []

    def hear(text):
        heard.append(text)
        if text.startswith("handing"):
            back.set()

    client = open_redis(SecretStr(f"redis://:hunter2@127.0.0.1:{port}/0"))
    sink = RedisSink(client=client, stream=STREAM, keep=1000)
    options = {"model_name": "m", "timeframe_ms": TIMEFRAME.ms, "stop": stop, "say": hear}
    say(engine, 0)
    assert once(engine, sink) == 0
    say(engine, 1)
    with pytest.raises(redis.RedisError):
        once(engine, sink)
    thread = Thread(target=publish_forever, args=(engine, sink), kwargs=options | {"poll_s": 0.2, "first_wait_s": 0.05})
    thread.start()
    deadline = monotonic() + 10
    while not heard:
        assert monotonic() < deadline
    say(engine, 2)
    sink_open = RedisSink(client=open_redis(SecretStr(f"redis://127.0.0.1:{port}/0")), stream=STREAM, keep=1000)
    client.connection_pool.connection_kwargs["password"] = None  # the stand-in knows no passwords
    with redis_on(port):
        assert back.wait(40)
        stop.set()
        thread.join(10)
        assert [one["signal_id"] for one in entries(sink_open)] == ["2", "3"]
        sink_open.client.close()
        client.close()
    assert heard
    assert not any("hunter2" in text for text in heard)


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "http://:hunter2@x/0", ""])
def test_an_address_that_is_none_is_refused(url):
    """With what to write, and without what was written."""
    with pytest.raises(SinkError, match="redis://") as refusal:
        open_redis(SecretStr(url))
    assert "hunter2" not in str(refusal.value)
