"""Is a decision what the stored rows say, and does an edited row show?"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text

pytestmark = pytest.mark.e2e

EDITS = {
    "shadow predictions": (
        "predictions",
        "probabilities = ARRAY[probabilities[1] * 0.9, probabilities[2] + probabilities[1] * 0.1, probabilities[3]]",
        "run = 'shadow'",
    ),
    "outcomes": ("outcomes", "net_long = net_long + 0.01", "true"),
    "paper trades": ("paper_trades", "net = net + 0.001", "net is not null"),
    "training run": (
        "training_runs",
        "evaluation = jsonb_set(evaluation, '{calibration_slope}', '1.0')",
        "bundle_hash is not null",
    ),
    "sealed facts": ("bundles", "facts = jsonb_set(facts, '{seed}', '99')", "true"),
}


def test_the_demo_s_decision_is_taken_again_with_the_same_numbers(life, lockstep):
    """Every gate of the card, recomputed from rows, measures the same; nothing has changed since."""
    found = lockstep.ask("cards", "replay", 1, "--home", life.home, "--json").json
    assert found["identical"] is True
    assert found["changed_evidence"] == []
    assert found["verdict"] == found["verdict_now"] == "promote"
    assert len(found["gates"]) == len(life.first["gates"])
    told = lockstep.ask("cards", "replay", 1, "--home", life.home).out
    assert f"identical: {len(found['gates'])} of {len(found['gates'])} gates" in told


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_row_of_evidence_is_found(life, lockstep, name):
    """Whoever improves a stored row afterwards is contradicted by the card."""
    with edited(life.engine, *EDITS[name]):
        answer = lockstep.ask("cards", "replay", 1, "--home", life.home, "--json")
        assert answer.code == 1
        assert answer.json["changed_evidence"] == [name]
        assert answer.json["identical"] is False
    assert lockstep.ask("cards", "replay", 1, "--home", life.home).code == 0


def test_a_card_tells_the_smallest_effect(life, lockstep):
    """So that "not proven" can be told from "could not have been seen"."""
    assert "smallest effect this shadow could have seen" in lockstep.ask("cards", "show", 1, "--home", life.home).out


def test_forcing_needs_a_reason(life, lockstep):
    """Neither without the reason, nor a reason without force."""
    for given in (("--force",), ("--why", "because"), ("--force", "--why", "  ")):
        answer = lockstep.ask("promote", *given, "--home", life.home)
        assert answer.code == 2
        assert "--force needs --why" in answer.err


@contextmanager
def edited(engine: Engine, table: str, change: str, where: str) -> Iterator[None]:
    """One row of a table is different while the block runs."""
    mine = f"ctid = (SELECT ctid FROM {table} WHERE {where} LIMIT 1)"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE kept AS SELECT * FROM {table}"))
        assert connection.execute(text(f"UPDATE {table} SET {change} WHERE {mine}")).rowcount == 1
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # keys are whole again below
            connection.execute(text(f"DELETE FROM {table}"))
            overriding = "OVERRIDING SYSTEM VALUE" if table == "predictions" else ""
            connection.execute(text(f"INSERT INTO {table} {overriding} SELECT * FROM kept"))
            connection.execute(text("DROP TABLE kept"))
