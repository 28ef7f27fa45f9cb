"""Can the gates that compare stored facts fail? One changed value refuses the challenger by exactly its own gate.

The champion of the shared home challenges once more under another model's name, so that every gate has its evidence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from infra.database import database_url
from registry.mlflow_store import ModelStore
from tests.e2e.conftest import Life
from tests.e2e.lockstep_command import SYMBOLS

pytestmark = pytest.mark.e2e
NAME = "judged"
AS_NAMED = {"LOCKSTEP_REGISTRY__MODEL_NAME": NAME}


@pytest.fixture(scope="module")
def judged(life: Life) -> Iterator[Life]:
    """A registered model whose version 1 is the champion's bundle and challenges; version 2 is no bundle at all."""
    bundle_hash = life.first["champion"]["bundle_hash"]
    store = ModelStore(database_url(life.engine, "mlflow"), artifact_root=None, model_name=NAME)
    assert store.versions() == ()
    client = store._client
    client.create_registered_model(NAME)
    client.create_model_version(NAME, source="file:///nowhere", tags={"bundle_hash": bundle_hash})
    client.create_model_version(NAME, source="file:///nowhere")
    store.set_alias("challenger", 1)
    yield life
    client.delete_registered_model(NAME)


@contextmanager
def stored_otherwise(life: Life, column: str, value: str) -> Iterator[None]:
    """One column (``table.name``) of the bundle's row has another value while the block runs."""
    table, name = column.split(".")
    here = {"hash": life.first["champion"]["bundle_hash"]}
    with life.engine.begin() as connection:
        before = connection.execute(text(f"SELECT {name}::text FROM {table} WHERE bundle_hash = :hash"), here).scalar()
        connection.execute(text(f"UPDATE {table} SET {name} = {value} WHERE bundle_hash = :hash"), here)
    try:
        yield
    finally:
        with life.engine.begin() as connection:
            kind = "jsonb" if name == "evaluation" else "integer"
            back = text(f"UPDATE {table} SET {name} = CAST(:before AS {kind}) WHERE bundle_hash = :hash")
            connection.execute(back, here | {"before": before})


def refused_by(life, lockstep):
    """The verdict of a dry run and the gates that did not pass."""
    answer = lockstep.ask("promote", "--dry-run", "--json", "--home", life.home, more=AS_NAMED)
    return answer.json["verdict"], {gate["name"] for gate in answer.json["gates"] if not gate["passed"]}


@pytest.mark.parametrize(
    ("column", "value", "gate"),
    [
        ("bundles.version", "7", "integrity"),
        ("training_runs.evaluation", """jsonb_set(evaluation, '{fresh_process_digest}', '"0000"')""", "fresh_process"),
    ],
)
def test_a_stored_fact_that_differs_refuses_by_its_own_gate(judged, lockstep, column, value, gate):
    """Promoted as it is, and refused with one value changed."""
    assert refused_by(judged, lockstep) == ("promote", set())
    with stored_otherwise(judged, column, value):
        assert refused_by(judged, lockstep) == ("refuse", {gate})


def test_versions_are_told_from_what_is_no_bundle_and_what_is_not_there(judged, lockstep):
    """A foreign version is listed as such and refused by name; a number that was mistyped is named beside the known."""
    listed = lockstep.ask("models", "list", "--json", "--home", judged.home, more=AS_NAMED).json["versions"]
    assert [(one["version"], one["bundle_hash"]) for one in listed] == [
        (1, judged.first["champion"]["bundle_hash"]),
        (2, None),
    ]
    assert "not a Lockstep bundle" in lockstep.ask("models", "list", "--home", judged.home, more=AS_NAMED).out
    for command in ("show", "verify"):
        foreign = lockstep.ask("models", command, 2, "--home", judged.home, more=AS_NAMED)
        assert (foreign.code, "version 2 of 'judged' is not a Lockstep bundle" in foreign.err) == (1, True), foreign.err
        absent = lockstep.ask("models", command, 99, "--home", judged.home, more=AS_NAMED)
        assert (absent.code, "does not exist: its versions are 1, 2." in absent.err) == (1, True), absent.err


def test_a_misspelt_symbol_is_named_before_any_rule_about_its_history(life, lockstep):
    """With the names that are near, although the history is too short for these settings."""
    more = {"LOCKSTEP_TRAINING__MIN_TRAIN_DAYS": "300"}
    answer = lockstep.ask("features", "show", SYMBOLS[0].replace("BTC", "BCT"), "--home", life.home, more=more)
    assert answer.code == 1
    assert "did you mean" in answer.err
    assert SYMBOLS[0] in answer.err
    spelt = lockstep.ask("features", "show", SYMBOLS[0], "--home", life.home, more=more)
    assert (spelt.code, "days of history" in spelt.err) == (1, True), spelt.err
