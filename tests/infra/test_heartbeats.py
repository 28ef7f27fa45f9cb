"""Signs of life and people's switches, on a real database."""

from datetime import UTC, timedelta

import pytest
from sqlalchemy import select, text

from infra.errors import DatabaseError
from infra.heartbeats import beat, read_heartbeats
from infra.switches import set_switch
from infra.tables import switches

pytestmark = pytest.mark.integration


def test_a_beat_replaces_the_one_before(engine):
    """One row per component, with the last detail and an age on the database's clock."""
    beat(engine, "worker", {"bar": 1})
    with engine.begin() as connection:
        connection.execute(text("UPDATE heartbeats SET at = at - interval '90 seconds'"))
    before = read_heartbeats(engine)["worker"]
    assert 90 <= before.age_s < 100
    beat(engine, "worker", {"bar": 2})
    after = read_heartbeats(engine)["worker"]
    assert after.detail == {"bar": 2}
    assert after.age_s < 10
    assert after.at - before.at >= timedelta(seconds=90)
    assert after.at.tzinfo == UTC or after.at.utcoffset() == timedelta(0)


def test_who_never_beat_is_absent(engine):
    """Nothing is invented for a component that never ran."""
    assert "never" not in read_heartbeats(engine)


def stored(engine, name):
    """The switch as every process reads it."""
    with engine.connect() as connection:
        return connection.execute(select(switches.c.value, switches.c.why, switches.c.who).filter_by(name=name)).all()


def test_a_switch_is_set_and_changed(engine):
    """Every process sees the last decision, with who and why."""
    set_switch(engine, "drill", "on", why="exchange down", who="ana")
    assert stored(engine, "drill") == [("on", "exchange down", "ana")]
    set_switch(engine, "drill", "off", why="back", who="ben")
    assert stored(engine, "drill") == [("off", "back", "ben")]


@pytest.mark.parametrize("missing", ["value", "why", "who"])
def test_a_switch_needs_a_reason_and_a_name(engine, missing):
    """A decision nobody can answer for is refused."""
    given = {"value": "on", "why": "w", "who": "me"} | {missing: "  "}
    with pytest.raises(DatabaseError, match="cannot be answered for"):
        set_switch(engine, "unanswered", given["value"], why=given["why"], who=given["who"])
    assert stored(engine, "unanswered") == []
