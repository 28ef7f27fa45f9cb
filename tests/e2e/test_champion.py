"""Is the demo's champion left in peace, and would a rollback of it work?"""

import pytest

pytestmark = pytest.mark.e2e


def test_a_sound_champion_is_left_in_peace(life, lockstep):
    """Three checks with their numbers, none fires, and asked twice nothing is added."""
    found = lockstep.ask("watch", "--home", life.home, "--json").json
    assert found["verdict"] == "quiet"
    assert found["action"] is None
    assert {one["name"]: one["verdict"] for one in found["checks"]}["degraded"] == "quiet"
    before = {name: rows for name, rows in life.stored().rows.items() if name.endswith(".trigger_checks")}
    assert list(before.values()) == [3]
    assert lockstep.ask("watch", "--home", life.home).code == 0
    assert before.items() <= life.stored().rows.items()


def test_the_drill_rolls_back_and_forward_elsewhere(life, lockstep):
    """All steps in a scratch home, timed; this home's champion and models stay, and status knows when it passed."""
    before = life.stored().rows
    found = lockstep.ask("drill", "--home", life.home, "--json").json
    assert found["passed"] is True
    assert found["stand_in"] is True, "the demo has had one champion"
    assert list(found["steps_s"]) == [
        "register", "promote the first", "promote the second", "roll back", "roll forward", "roll back to a version",
    ]  # fmt: skip
    after = life.stored().rows
    changed = {name for name in after if after[name] != before[name]}
    assert {name.split(".")[1] for name in changed} <= {"heartbeats"}
    beats = lockstep.ask("status", "--home", life.home, "--json").json["heartbeats"]
    assert "rollback drill" in str(beats)


def test_a_rollback_of_the_only_champion_is_refused(life, lockstep):
    """There is nothing to return to, also for a dry run."""
    for more in ((), ("--dry-run",)):
        answer = lockstep.ask("rollback", "--reason", "harm", *more, "--home", life.home)
        assert answer.code == 1
        assert "nothing to return to" in answer.lines[-1]
