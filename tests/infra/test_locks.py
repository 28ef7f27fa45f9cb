"""Of two commands one works and the other is told why it must wait."""

import pytest

from infra.locks import LockHeldError, exclusive, lock_key

pytestmark = pytest.mark.integration

HOLD = """
import sys
from pathlib import Path
from infra.database import open_database
from infra.locks import exclusive
from infra.settings import load_settings
with open_database(load_settings(Path(sys.argv[1]), environ={})) as engine, exclusive(engine, sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_name_has_one_positive_key():
    """Pinned: two versions of the code must agree on it; it fits PostgreSQL's bigint."""
    assert lock_key("demo") == lock_key("demo") == 5_078_378_350_811_123_216
    assert lock_key("demo") != lock_key("training of lockstep")
    assert all(0 <= lock_key(str(k)) < 2**63 for k in range(100))


def test_the_second_is_refused_at_once_with_the_reason(engine):
    """Also inside one process; another name is free meanwhile."""
    with exclusive(engine, "demo"):
        told = r"another demo is running on this home.*What to do: wait"
        with pytest.raises(LockHeldError, match=told), exclusive(engine, "demo"):
            pytest.fail("two at once")
        with exclusive(engine, "training"):
            pass
    with exclusive(engine, "demo"):
        pass


def test_an_error_inside_gives_the_lock_back(engine):
    """And comes through unchanged."""
    with pytest.raises(ZeroDivisionError), exclusive(engine, "demo"):
        raise ZeroDivisionError
    with exclusive(engine, "demo"):
        pass


def test_the_lock_of_another_process_ends_with_it(engine, settings, run_python):
    """While it lives it is respected; after it ends, the name is free."""
    other = run_python(HOLD, settings.home, "collection")
    assert other.stdout.readline() == "held\n", other.stderr.read()
    with pytest.raises(LockHeldError), exclusive(engine, "collection"):
        pytest.fail("two at once")
    other.kill()
    other.wait(10)
    for _ in range(100):
        try:
            with exclusive(engine, "collection"):
                return
        except LockHeldError:
            engine.dispose()  # a new connection; the server notices a dead client within milliseconds
    pytest.fail("the lock outlived its holder")
