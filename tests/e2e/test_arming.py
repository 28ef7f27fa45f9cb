"""Can live be armed where it would contradict the settings or the bundle?"""

import pytest

pytestmark = pytest.mark.e2e


def test_paper_cannot_be_armed_and_a_synthetic_champion_never(life, lockstep):
    """One line each; nothing is written; live without the record is FLAT in the status."""
    live = {"LOCKSTEP_SERVING__MODE": "live"}
    for more, words in ((None, "serving.mode is"), (live, "trained on a synthetic market")):
        answer = lockstep.ask("arm", "--reason", "reviewed", "--home", life.home, more=more)
        assert answer.code == 1
        assert words in answer.lines[-1]
    found = lockstep.ask("status", "--home", life.home, "--json", more=live).json
    assert (found["mode"], found["armed"]) == ("live", None)
    assert found["state"] == "FLAT"
    assert ", not armed" in lockstep.ask("status", "--home", life.home, more=live).out
