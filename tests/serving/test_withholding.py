"""What a check finds after a bar was decided: taken out of the signals, and out of nothing else."""

import json

import pytest
from sqlalchemy import insert, select

from infra.tables import drift_runs, predictions
from serving.drift_block import drift_cause
from serving.guards import too_slow
from serving.records import BarRecord, SignalRow
from serving.withholding import withheld
from serving.worker import serve_once
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME
from tests.serving.fault_stand import AT, made_stand
from tests.serving.replays import lineup_of, plan_for, run, said

NOW = TIMEFRAME.close_time(END_INDEX - 1) + 7000
HOUR = 3_600_000


def signal(symbol: str, *, reason: str = "ok", state: str = "FULL", action: int = 1) -> SignalRow:
    """A signal that buys."""
    return SignalRow(
        model_name="m",
        symbol=symbol,
        bar_ms=0,
        state=state,
        reason=reason,
        action=action,
        confidence=0.7,
        size=0.1,
        bundle_hash="b",
        version=1,
        run="live",
        steps=json.dumps({"cause": reason, "step": "TAKEN"}),
    )


def test_only_the_market_that_is_hurt_loses_its_action():
    """The reason and the counts follow; what led to the decision stays readable."""
    record = BarRecord(bar_ms=0, signals=(signal("A"), signal("B")), detail={"reasons": {"ok": 2}, "funnel": {}})
    found = withheld(record, {"A": "frozen_feed"})
    assert found.signals[1] is record.signals[1]
    hurt = found.signals[0]
    assert (hurt.state, hurt.reason, hurt.action, hurt.confidence, hurt.size) == ("FLAT", "frozen_feed", 0, None, None)
    assert json.loads(hurt.steps) == {"cause": "frozen_feed", "step": "TAKEN"}
    assert found.detail == {"reasons": {"frozen_feed": 1, "ok": 1}, "funnel": {}}


@pytest.mark.parametrize(
    ("stood", "state", "added", "reason"),
    [
        ("halted", "HALT", "frozen_feed", "halted"),
        ("stale_data", "FLAT", "frozen_feed", "stale_data"),
        ("registry_down", "LAST_GOOD", "revised_bar", "registry_down"),
        ("registry_down", "LAST_GOOD", "slow_decision", "slow_decision"),
        ("ok", "FULL", "ok", "ok"),
    ],
)
def test_the_graver_cause_counts_and_the_older_of_equals(stood, state, added, reason):
    """A check never makes anything less grave than it was."""
    record = BarRecord(bar_ms=0, signals=(signal("A", reason=stood, state=state),), detail={})
    found = withheld(record, {"A": added})
    assert found.signals[0].reason == reason
    assert (found is record) == (reason == stood)


def test_a_revised_bar_is_said_and_acted_on():
    """The cause is told, the action stands."""
    found = withheld(BarRecord(bar_ms=0, signals=(signal("A"),), detail={}), {"A": "revised_bar"}).signals[0]
    assert (found.state, found.reason, found.action, found.size) == ("FULL", "revised_bar", 1, 0.1)


def test_a_decision_in_the_last_permitted_millisecond_is_said(market):
    """Beyond it nothing is."""
    plan = plan_for(market, max_decision_ms=10_000)
    record = BarRecord(bar_ms=0, signals=tuple(signal(symbol) for symbol in SYMBOLS), detail={})
    assert too_slow(record, plan, took_ms=10_000) is record
    assert {row.reason for row in too_slow(record, plan, took_ms=10_001).signals} == {"slow_decision"}


@pytest.mark.parametrize(("pause_at", "slow"), [(None, []), (2, [1]), (5, [2])])
def test_each_bar_of_a_round_has_the_whole_time(
    engine, template, market, bundles, bundle_dirs, tmp_path, pause_at, slow
):
    """Two bars of nine seconds each are not one decision of eighteen; a pause in one hurts that one alone."""
    stand = made_stand(engine, template, market, bundles, bundle_dirs, tmp_path)
    calls = []

    def predict(model, X):
        calls.append(1)
        stand.now_ms += 11_000 if len(calls) == pause_at else 3000
        return model.predict(X)

    stand.wear(predict)
    stand.collect(AT + 2)
    stand.serve(AT + 2)
    found = [k for k in (1, 2) if {row.reason for row in stand.said(AT + k)} == {"slow_decision"}]
    assert (found, len(calls)) == (slow, 6)


def verdict(engine, bundle, found: str, *, last_ms: int = NOW - HOUR, model: str = "m") -> None:
    """One check of drift."""
    row = {"first_ms": 0, "last_ms": last_ms, "rows": 100, "features": []}
    with engine.begin() as connection:
        connection.execute(insert(drift_runs).values(model_name=model, bundle_hash=bundle.hash, verdict=found, **row))


def cause(engine, bundle, *, now_ms: int = NOW, hours: int | None = 48) -> str:
    """What it comes to."""
    return drift_cause(engine, model_name="m", bundle_hash=bundle.hash, now_ms=now_ms, max_age_hours=hours)


def test_only_the_newest_critical_verdict_about_this_bundle_blocks(engine, bundles):
    """Not another bundle's, not another model's, not a milder one; one that could not judge lifts nothing."""
    assert cause(engine, bundles[0]) == "ok"
    verdict(engine, bundles[1], "HIGH")
    verdict(engine, bundles[0], "HIGH", model="other")
    verdict(engine, bundles[0], "MEDIUM")
    assert cause(engine, bundles[0]) == "ok"
    verdict(engine, bundles[0], "HIGH")
    verdict(engine, bundles[0], "UNKNOWN")
    assert cause(engine, bundles[0]) == "drift_block"
    assert cause(engine, bundles[0], hours=None) == "ok"
    assert cause(engine, bundles[0], now_ms=NOW + 47 * HOUR) == "drift_block"
    assert cause(engine, bundles[0], now_ms=NOW + 47 * HOUR + 1) == "ok"
    verdict(engine, bundles[0], "LOW")
    assert cause(engine, bundles[0]) == "ok"


def test_a_block_starves_nobody_of_telemetry(engine, market, bundles):
    """Champion and challenger predict as ever, so the next check has rows to judge; a replay is not blocked."""
    verdict(engine, bundles[0], "HIGH")
    plan = plan_for(market, run="live", drift_block_hours=48)
    blocked = serve_once(engine, market.lake, lineup_of(bundles), plan=plan, now_ms=NOW)
    assert (blocked.reasons, blocked.predictions) == ({"drift_block": 3}, 6)
    assert {row.action for row in said(engine)} == {0}
    with engine.connect() as connection:
        assert set(connection.scalars(select(predictions.c.role))) == {"champion", "challenger"}
    assert run(engine, market, lineup_of(bundles), bars=2).reasons == {"ok": 6}
