"""Live needs two keys: the setting, and a record for the very bundle that serves."""

import pytest
from sqlalchemy import update

from infra.tables import switches
from serving.arming import arm, armed_cause, disarm, read_arming
from serving.errors import ServingError
from serving.worker import serve_once
from tests.fakes.small_market import END_INDEX, TIMEFRAME
from tests.serving.replays import lineup_of, plan_for, said

pytestmark = pytest.mark.integration

CLOSE = TIMEFRAME.close_time(END_INDEX - 1)


def reasons(engine, market, bundles, *, now_ms=CLOSE + 6000, needed=True):
    """Why the newest bar's signals are what they are."""
    plan = plan_for(market, arming_needed=needed)
    serve_once(engine, market.lake, lineup_of(bundles[:1]), plan=plan, now_ms=now_ms, max_catch_up=1)
    return {(row.state, row.reason) for row in said(engine)}


def let(engine, bundle, *, until_ms):
    arm(engine, model_name="m", bundle_hash=bundle.hash, until_ms=until_ms, why="paper was reviewed", who="ada")


def test_without_the_record_nothing_is_tradable(engine, market, bundles):
    """FLAT with the reason, whatever the champion would say; paper mode asks for none."""
    assert reasons(engine, market, bundles) == {("FLAT", "not_armed")}
    assert {row.action for row in said(engine)} == {0}


def test_paper_asks_for_no_record(engine, market, bundles):
    """The second key is live mode's alone."""
    assert reasons(engine, market, bundles, needed=False) == {("FULL", "ok")}


def test_an_armed_champion_speaks(engine, market, bundles):
    """Until the record ends."""
    let(engine, bundles[0], until_ms=CLOSE + 6001)
    assert reasons(engine, market, bundles) == {("FULL", "ok")}


@pytest.mark.parametrize("case", ["over", "another bundle", "taken back", "unreadable"])
def test_a_record_that_does_not_fit_is_none(engine, market, bundles, case):
    """Its time is over, it was given to another bundle, it was taken back, or nobody can read it."""
    let(engine, bundles[1 if case == "another bundle" else 0], until_ms=CLOSE + (6000 if case == "over" else 99_000))
    if case == "taken back":
        disarm(engine, model_name="m", why="funding went wild", who="ada")
        assert read_arming(engine, "m") is None
    if case == "unreadable":
        with engine.begin() as connection:
            connection.execute(update(switches).values(value=f"{bundles[0].hash} soon"))
        with pytest.raises(ServingError, match="it allows nothing"):
            read_arming(engine, "m")
    assert reasons(engine, market, bundles) == {("FLAT", "not_armed")}


def test_another_model_s_record_counts_for_nothing(engine, bundles):
    """Records are by model, and by bundle."""
    let(engine, bundles[0], until_ms=2)
    assert armed_cause(engine, model_name="m", bundle_hash=bundles[0].hash, now_ms=1) == "ok"
    assert armed_cause(engine, model_name="n", bundle_hash=bundles[0].hash, now_ms=1) == "not_armed"
    assert armed_cause(engine, model_name="m", bundle_hash=None, now_ms=1) == "not_armed"
