"""How do live signals reach a Redis stream, with nothing lost and the worker never waiting?

A process of its own reads committed signals in their order from PostgreSQL and adds them to the stream; a row in
``signal_cursors`` remembers how far it came, moved only after Redis has answered. Killed in between, it adds the same
signals again: at least once, and ``signal_id`` tells a reader which it has seen. Redis down means waiting and trying
again, longer each time. The first start begins with signals said from then on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from infra.bell import SIGNALS, listening
from infra.errors import InfraError
from infra.tables import signal_cursors
from serving.errors import SinkError
from serving.signal_feed import LIVE_RUN, Signal, newest_signal_id, read_signals

__all__ = ["RedisSink", "fields_of", "open_redis", "publish_forever", "publish_once"]

_PAGE = 500
_POLL_S = 2.0
_LONGEST_WAIT_S = 30.0
_FIRST_WAIT_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSink:
    """A Redis client and the stream it adds to; ``keep`` newest entries stay, roughly."""

    client: Any
    stream: str
    keep: int

    @property
    def name(self) -> str:
        """The name of its cursor; another stream is another sink."""
        return f"redis {self.stream}"


def open_redis(url: SecretStr) -> Any:
    """A client that connects when first used; raises ``SinkError`` for a bad address or a missing library."""
    try:
        import redis
    except ImportError:
        raise SinkError(
            "the redis library is not installed",
            why="signals are handed to Redis with it",
            remedy="install lockstep[redis]",
        ) from None
    try:
        return redis.Redis.from_url(
            url.get_secret_value(), socket_timeout=10.0, socket_connect_timeout=5.0, health_check_interval=30
        )
    except ValueError:
        raise SinkError(
            "serving.redis_url is no address of a Redis server",
            why="nothing could be handed to it",
            remedy="write it as redis://:password@host:6379/0",
        ) from None


def fields_of(signal: Signal) -> dict[str, str]:
    """One entry: texts by name; what is not known is left out, never an empty text or a zero."""
    values = {
        "schema": "1",
        "signal_id": signal.id,
        "model_name": signal.model_name,
        "symbol": signal.symbol,
        "bar_ms": signal.bar_ms,
        "state": signal.state,
        "reason": signal.reason,
        "action": signal.action,
        "confidence": signal.confidence,
        "size": signal.size,
        "bundle_hash": signal.bundle_hash,
        "version": signal.version,
        "contract": signal.contract,
        "decided_at": signal.decided_at.isoformat(),
    }
    return {
        name: repr(value) if isinstance(value, float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def publish_once(engine: Engine, sink: RedisSink, *, model_name: str, timeframe_ms: int) -> int:
    """Hand over what has been said since; gives how many. Raises what PostgreSQL or Redis raise."""
    handed = 0
    while True:
        with engine.begin() as connection:
            cursor = _cursor(connection, sink.name)
            newest = newest_signal_id(connection)
            found = read_signals(
                connection,
                model_name=model_name,
                timeframe_ms=timeframe_ms,
                after_id=cursor,
                limit=_PAGE,
                run=LIVE_RUN,
                up_to_id=newest,
            )
        more = len(found) == _PAGE
        _add(sink, found)
        reached = found[-1].id if more else max(cursor, newest)
        if reached > cursor:
            with engine.begin() as connection:
                _move(connection, sink.name, reached)
        handed += len(found)
        if not more:
            return handed


def publish_forever(
    engine: Engine,
    sink: RedisSink,
    *,
    model_name: str,
    timeframe_ms: int,
    stop: Event,
    say: Callable[[str], None],
    poll_s: float = _POLL_S,
    first_wait_s: float = _FIRST_WAIT_S,
) -> None:
    """Hand over each signal within moments of its commit until ``stop`` is set."""
    import redis

    wait_s = first_wait_s
    with listening(engine, stop, SIGNALS) as bell:
        while not stop.is_set():
            try:
                publish_once(engine, sink, model_name=model_name, timeframe_ms=timeframe_ms)
            except (redis.RedisError, OSError, SQLAlchemyError, InfraError) as error:
                say(f"waiting {wait_s:g} s, nothing is lost: {type(error).__name__}")
                stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                if wait_s > first_wait_s:
                    say("handing over again")
                wait_s = first_wait_s
                bell.wait(poll_s)


def _add(sink: RedisSink, found: Sequence[Signal]) -> None:
    if not found:
        return
    with sink.client.pipeline(transaction=False) as pipe:
        for one in found:
            pipe.xadd(sink.stream, fields_of(one), maxlen=sink.keep, approximate=True)
        pipe.execute()


def _cursor(connection: Connection, sink: str) -> int:
    """How far the sink came; a sink never seen before begins at the newest signal."""
    mine = signal_cursors.c.sink == sink
    first = insert(signal_cursors).values(sink=sink, last_id=newest_signal_id(connection))
    connection.execute(first.on_conflict_do_nothing())
    return int(connection.scalar(select(signal_cursors.c.last_id).where(mine)) or 0)


def _move(connection: Connection, sink: str, last_id: int) -> None:
    """Forward only."""
    mine = (signal_cursors.c.sink == sink) & (signal_cursors.c.last_id < last_id)
    connection.execute(signal_cursors.update().where(mine).values(last_id=last_id, at=func.clock_timestamp()))
