"""What does a PostgreSQL failure mean to the person who reads it?

One line: what, why, what to do. The address is shown without its password, and no message of a driver that could repeat
it is passed on unread.
"""

import contextlib
from collections.abc import Iterator

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from infra.errors import DatabaseError

__all__ = ["database_failures", "lost_database", "shown"]

_SETTING = "LOCKSTEP_DATABASE__URL"
_KNOWN = (
    ("password authentication failed", "the server refuses the user or the password", f"correct both in {_SETTING}"),
    ("no password supplied", "the server wants a password", f"put one into {_SETTING}"),
    ("no pg_hba.conf entry", "the server does not admit this user from here", "add a pg_hba.conf rule on the server"),
    ("role ", "the server knows no such user", f"create it or correct {_SETTING}"),
    ("database ", "the server has no such database", f"create it or correct {_SETTING}"),
    (
        "too many clients",
        "every connection of the server is taken",
        "lower database.pool_size or raise max_connections",
    ),
    ("remaining connection slots", "every connection of the server is taken", "lower database.pool_size"),
    ("closed the connection", "the server stopped meanwhile", "read its log, check free space there, start again"),
    ("terminating connection", "the server was stopped meanwhile", "start again; if it repeats, read its log"),
    ("recovery mode", "the server crashed and is recovering", "check free space there and read its log"),
    ("starting up", "the server is still starting or recovering", "wait and try again"),
    ("shutting down", "the server is being stopped", "wait and try again"),
    ("no space left on device", "the disk of the database is full", "free space there; nothing was half-written"),
    ("could not extend file", "the disk of the database is full", "free space there; nothing was half-written"),
    ("read-only transaction", "the server is a read-only replica", f"point {_SETTING} at the primary"),
    (
        "permission denied",
        "the user lacks a right it needs",
        "let it own its database, or grant CREATE on schema public",
    ),
    ("lock timeout", "another process holds the lock of the migrations", "find it in pg_stat_activity and end it"),
    ("resolve", "the name of the server cannot be resolved", f"correct the host in {_SETTING}"),
    ("name or service not known", "the name of the server cannot be resolved", f"correct the host in {_SETTING}"),
    (
        "timeout",
        "the server did not answer in time",
        "check host, port and firewall, or raise database.connect_timeout_s",
    ),
    ("refused", "nothing listens there", f"start the server or correct host and port in {_SETTING}"),
    ("ssl", "the server and this client do not agree on encryption", f"set sslmode in {_SETTING}"),
)


def shown(url: URL) -> str:
    """The address as it may be printed: without password and query."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextlib.contextmanager
def database_failures(url: URL, doing: str) -> Iterator[None]:
    """Turn what SQLAlchemy and psycopg raise inside the block into one ``DatabaseError``."""
    try:
        yield
    except (SQLAlchemyError, UnicodeError) as error:
        raise _explained(url, doing, error) from None


@contextlib.contextmanager
def lost_database(url: URL) -> Iterator[None]:
    """Turn what befalls the server while it is used (stopped, full, out of connections) into ``DatabaseError``.

    A statement that is wrong in itself stays what it is: a bug, with its traceback.
    """
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        raise _explained(url, "a statement", error) from error


def _explained(url: URL, doing: str, error: Exception) -> DatabaseError:
    what = f"PostgreSQL at {shown(url)}: {doing} failed"
    if isinstance(error, PoolTimeoutError):
        return DatabaseError(what, why="every connection of this process is taken", remedy="raise database.pool_size")
    said = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
    if url.password:
        said = said.replace(str(url.password), "***")
    for sign, why, remedy in _KNOWN:
        if sign in said.lower():
            return DatabaseError(what, why=f"{why} ({said[:200]})", remedy=remedy)
    return DatabaseError(what, why=said[:300] or type(error).__name__, remedy="read the server's log, then try again")
