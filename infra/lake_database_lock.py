"""Who may write to a lake that lies in an object store?

A session-level advisory lock of the home's PostgreSQL, held by one connection for as long as one append lasts. The
server releases it when that connection ends, however its process dies. The connection carries the writer's name, so
that whoever waits too long can say for whom. Homes with different databases do not see each other's locks.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from infra.errors import LakeError
from infra.lake_storage import Held
from infra.locks import lock_key

__all__ = ["DatabaseLocks"]

_LOCK_NOT_AVAILABLE = "55P03"
_SIGN = text("SELECT set_config('application_name', :name, false), set_config('lock_timeout', :wait_ms, false)")
_MINE = """
    locktype = 'advisory' AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = :key
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_HOLDER = text(f"SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE {_MINE}")  # noqa: S608
_HELD = text(f"SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND {_MINE}")  # noqa: S608


class DatabaseLocks:
    """Advisory locks of the database behind ``engine``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def hold(self, name: str, *, timeout_s: float) -> Iterator[Held]:
        """Hold the lock ``name``; ``LakeError`` naming the holder after ``timeout_s``."""
        key = lock_key(name)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                _acquire(connection, key, name, timeout_s=timeout_s)
                yield partial(_check, connection, key, name)
            finally:
                _release(connection)


def _acquire(connection: Connection, key: int, name: str, *, timeout_s: float) -> None:
    who = f"process {os.getpid()} on {socket.gethostname()}"[:63]
    connection.execute(_SIGN, {"name": who, "wait_ms": str(max(int(timeout_s * 1000), 1))})
    try:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        holder = connection.scalar(_HOLDER, {"key": key}) or "another process"
        raise LakeError(
            f"{name.removeprefix('lake ')} is locked by {holder} (waited {timeout_s:g} s)",
            why="two writers of one market would lose each other's rows",
            remedy="wait for that process to finish, or stop it, and run this again",
        ) from error


def _check(connection: Connection, key: int, name: str) -> None:
    """Ask the server whether this very connection still holds the lock."""
    lost: DBAPIError | None = None
    try:
        if connection.scalar(_HELD, {"key": key}):
            return
    except DBAPIError as error:
        lost = error
    raise LakeError(
        f"the lock of {name.removeprefix('lake ')} was lost before these rows were stored",
        why="another writer may be at work on this market",
        remedy="see why the database ended the connection, then run this again",
    ) from lost


def _release(connection: Connection) -> None:
    """Give the lock back; a connection that cannot is closed, and the server releases what it held."""
    try:
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
        connection.execute(text("RESET lock_timeout"))
        connection.execute(text("RESET application_name"))
    except SQLAlchemyError:
        connection.invalidate()
