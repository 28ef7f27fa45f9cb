"""How does a database get the tables this code expects?

One transaction: take a lock that all processes share, look again, run the missing migrations, commit. So any number of
processes may open a new database at once, and a killed one leaves it as it was. A database that already stands at
``HEAD`` costs one query and no Alembic. One that is newer than this code is refused.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from infra.errors import DatabaseError
from infra.migrations import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["alembic_config", "bring_up_to_date"]

_LOCK = 0x10C57E9  # any number, the same for every process
_LOCK_TIMEOUT_S = 120


def bring_up_to_date(engine: Engine) -> bool:
    """Run the missing migrations; True where there were any.

    Raises:
        DatabaseError: the database was migrated by a newer Lockstep, or holds no migration we know.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return False
    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = _revision(connection)
        if found == HEAD:
            return False
        _upgrade(connection, found)
        return True


def alembic_config(connection: Connection) -> "Config":
    """Alembic's configuration for this connection, built without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revision(connection: Connection) -> str | None:
    """The migration the database stands at; None where it is empty."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseError(
            f"the database stands at migration {found}, this Lockstep knows up to {HEAD}",
            why="a newer Lockstep changed its tables, and this one could misread them",
            remedy="upgrade Lockstep, or restore the dump taken before that upgrade",
        )
    command.upgrade(config, "head")
