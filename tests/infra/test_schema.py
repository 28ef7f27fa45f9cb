"""Migrations lead to exactly the declared tables, refuse the future, and can be taken back."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

from infra import capital_tables  # noqa: F401  # its tables belong to METADATA
from infra.database import database_url
from infra.errors import DatabaseError
from infra.migrations import HEAD
from infra.schema import alembic_config, bring_up_to_date
from infra.tables import METADATA

pytestmark = pytest.mark.integration


@pytest.fixture
def empty(engine):
    """An engine on a new database without tables."""
    other = create_engine(database_url(engine, "scratch"))
    yield other
    other.dispose()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE scratch WITH (FORCE)"))


def test_a_migrated_database_equals_the_declared_tables(empty):
    """Autogenerate finds nothing to add, drop or change: columns, types, defaults, keys, indexes, comments."""
    assert bring_up_to_date(empty)
    with empty.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
        primary = {name: inspect(connection).get_pk_constraint(name) for name in METADATA.tables}
    assert {name: (key["name"], key["constrained_columns"]) for name, key in primary.items()} == {
        name: (f"{name}_pkey", list(table.primary_key.columns.keys())) for name, table in METADATA.tables.items()
    }


def test_head_names_the_last_migration(engine):
    """The constant that makes the start fast is the revision Alembic would find."""
    with engine.connect() as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [HEAD]


def test_the_second_run_does_nothing(empty):
    """A database at the last migration is left alone."""
    assert [bring_up_to_date(empty), bring_up_to_date(empty)] == [True, False]


def test_a_migration_can_be_taken_back(empty):
    """Downgrading removes every table, so a failed upgrade can be undone by hand."""
    bring_up_to_date(empty)
    with empty.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert inspect(empty).get_table_names() == ["alembic_version"]


def test_a_database_from_the_future_is_refused(empty):
    """A revision this code does not know is named, with the remedy, and nothing is touched."""
    bring_up_to_date(empty)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    with pytest.raises(
        DatabaseError, match=rf"stands at migration 0999, this Lockstep knows up to {HEAD}.*upgrade Lockstep"
    ):
        bring_up_to_date(empty)


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty):
    """All steps are one transaction: a table in the way undoes the rest."""
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE trials (mine int)"))
    with pytest.raises(Exception, match="already exists"):
        bring_up_to_date(empty)
    assert inspect(empty).get_table_names() == ["trials"]
