"""How does one of two commands win, and the other learn why it must wait?

Advisory locks of PostgreSQL, held by a connection: they work across machines and end with their holder,
even after ``kill -9``. The second one is told at once that somebody holds the lock, or stands by until it is free.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from infra.errors import InfraError

__all__ = ["Lease", "LockHeldError", "exclusive", "lock_key", "present"]


class LockHeldError(InfraError):
    """Somebody else is doing this right now."""


def lock_key(name: str) -> int:
    """The 63-bit key of a named advisory lock."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


@contextmanager
def exclusive(engine: Engine, name: str, *, stand_by: Callable[[], bool] | None = None) -> Iterator[None]:
    """Hold the lock ``name`` until the block ends; raise ``LockHeldError`` at once if another process has it.

    With ``stand_by``, which waits a little and says whether to go on, try again until the lock is free; its False
    raises ``LockHeldError``.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = lock_key(name)
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}):
            if stand_by is not None and stand_by():
                continue
            raise LockHeldError(
                f"another {name} is running on this home",
                why="two at once would do the same work twice",
                remedy="wait for it to end, or stop it, then run this again",
            )
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})


class Lease:
    """The lock ``name``, held until it is released, its holder ends, or the database goes away."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection = connection

    @classmethod
    def take(cls, engine: Engine, name: str) -> "Lease | None":
        """The lease, or None where somebody else has it."""
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            taken = connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": lock_key(name)})
        except BaseException:
            connection.close()
            raise
        if taken:
            return cls(name, connection)
        connection.close()
        return None

    def held(self) -> bool:
        """Whether it is still ours: a database that restarted has forgotten it."""
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def release(self) -> None:
        """Give it back; a lost one is given back already."""
        with suppress(SQLAlchemyError):
            self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": lock_key(self.name)})
        with suppress(SQLAlchemyError):
            self._connection.invalidate()  # the lock ends with its session, whatever was heard above
        self._connection.close()


@contextmanager
def present(engine: Engine, name: str) -> Iterator[Callable[[], int]]:
    """Count among those present under ``name`` until the block ends; gives a function that counts all of them now."""
    key = lock_key(name)
    count = text(
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock' "
        "AND classid::bigint = :high AND objid::bigint = :low AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock_shared(:key)"), {"key": key})

        def how_many() -> int:
            with engine.connect() as asking:
                found = asking.scalar(count, {"high": key >> 32, "low": key & 0xFFFFFFFF})
            return max(int(found or 0), 1)

        yield how_many
        with suppress(SQLAlchemyError):
            connection.execute(text("SELECT pg_advisory_unlock_shared(:key)"), {"key": key})
