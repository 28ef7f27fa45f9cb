"""How does one of two commands win, and the other learn why it must wait?

Advisory locks of PostgreSQL, held by a connection: they work across machines and end with their holder,
even after ``kill -9``. The second one is told at once that somebody holds the lock, or stands by until it is free.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

from sqlalchemy import Engine, text

from infra.errors import InfraError

__all__ = ["LockHeldError", "exclusive", "lock_key"]


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
