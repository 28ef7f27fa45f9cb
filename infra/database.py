"""How does a process get a PostgreSQL it can trust?

``open_database`` starts the embedded server (or goes to the configured one), brings the tables up to date, writes a
row, reads it back, and only then hands out the engine; afterwards it closes every connection and leaves the server.
What goes wrong is one ``DatabaseError``. Sessions speak UTC. JSON with NaN or infinity is refused before it is stored.
"""

import contextlib
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

from sqlalchemy import URL, Engine, create_engine, delete, event, insert, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from infra.database_errors import database_failures, lost_database, shown
from infra.embedded_postgres import running_server
from infra.errors import DatabaseError
from infra.postgres_cluster import PORT, SUPERUSER
from infra.schema import bring_up_to_date
from infra.settings import Settings
from infra.tables import probe

__all__ = ["database_url", "open_database"]

_DATABASE = "lockstep"
_ADMIN_DATABASE = "postgres"
_DRIVER = "postgresql+psycopg"


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """An engine on the migrated, probed database of these settings, for as long as the block lasts.

    Raises:
        DatabaseError: wrong address, refused, unreachable, full, newer than this code; never with the password.
    """
    with contextlib.ExitStack() as stack:
        if settings.database.url is None:
            url = _embedded_url(stack.enter_context(running_server(settings.home)))
        else:
            url = _server_url(settings.database.url.get_secret_value())
        if settings.database.url is None:
            _create_if_missing(stack.enter_context(_engine(url.set(database=_ADMIN_DATABASE), settings)), _DATABASE)
        engine = stack.enter_context(_engine(url, settings))
        with database_failures(url, "bringing the tables up to date"):
            bring_up_to_date(engine)
        with database_failures(url, "writing and reading back a row"):
            _probe(engine)
        with lost_database(url):
            yield engine


def database_url(engine: Engine, name: str) -> str:
    """Address of the database ``name`` on the same server, made if missing; with its password, so never print it."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise DatabaseError(
            f"database name {name!r}",
            why="it would need quoting everywhere",
            remedy="use lower-case letters, digits and _",
        )
    _create_if_missing(engine, name)
    return engine.url.set(database=name).render_as_string(hide_password=False)


def _embedded_url(socket_dir: object) -> URL:
    return URL.create(_DRIVER, SUPERUSER, database=_DATABASE, query={"host": str(socket_dir), "port": str(PORT)})


def _server_url(given: str) -> URL:
    """The configured address, always with the driver we ship."""
    remedy = "write LOCKSTEP_DATABASE__URL as postgresql+psycopg://user:password@host:5432/name"
    try:
        url = make_url(given.strip())
    except (ArgumentError, ValueError):
        raise DatabaseError(
            "the database address cannot be read", why="it is no URL, or a character in it needs quoting", remedy=remedy
        ) from None
    if url.drivername not in {"postgresql", "postgres", _DRIVER}:
        raise DatabaseError(
            f"the database address begins with {url.drivername}://",
            why="Lockstep keeps its state in PostgreSQL only",
            remedy=remedy,
        )
    if not url.database:
        raise DatabaseError(f"{shown(url)} names no database", why="the server's default would be used", remedy=remedy)
    return url.set(drivername=_DRIVER)


@contextlib.contextmanager
def _engine(url: URL, settings: Settings) -> Iterator[Engine]:
    with database_failures(url, "reading the address"):
        engine = create_engine(
            url,
            pool_size=settings.database.pool_size,
            max_overflow=settings.database.pool_size,
            pool_pre_ping=True,
            json_serializer=_strict_json,
            connect_args={"connect_timeout": settings.database.connect_timeout_s, "application_name": "lockstep"},
        )
    event.listen(engine, "connect", _speak_utc)
    try:
        yield engine
    finally:
        engine.dispose()


def _speak_utc(connection: Any, _record: object) -> None:
    connection.execute("SET TIME ZONE 'UTC'")
    connection.commit()


def _strict_json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _create_if_missing(engine: Engine, name: str) -> None:
    known = text("SELECT 1 FROM pg_database WHERE datname = :name")
    with (
        database_failures(engine.url, f"making the database {name}"),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        if connection.scalar(known, {"name": name}):
            return
        try:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
        except DBAPIError:
            if not connection.scalar(known, {"name": name}):  # unless another process was faster
                raise


def _probe(engine: Engine) -> None:
    token = secrets.token_hex(8)
    with engine.begin() as connection:
        row = connection.scalar(insert(probe).values(token=token).returning(probe.c.id))
    with engine.begin() as connection:
        found = connection.scalar(select(probe.c.token).where(probe.c.id == row))
        connection.execute(delete(probe).where(probe.c.id == row))
    if found != token:
        raise DatabaseError(
            f"PostgreSQL at {shown(engine.url)} did not give back the row it was given",
            why="what is written there is not what is read",
            remedy="point LOCKSTEP_DATABASE__URL at the primary, not at a replica or a balancer",
        )
