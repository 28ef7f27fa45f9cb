"""The stages of capital: which evidence moves a champion, which does not, and where a breach leads."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings_ramp import RampSettings
from serving.ramp import HOUR_MS, Clock, Stage, at_most_paper, next_stage, position_cap, size_share, stage_hours
from serving.ramp_gates import Evidence

S = RampSettings()
ORDER = list(Stage)
GOOD = Evidence(
    bundle_hash="b" * 64,
    deployment=1,
    synthetic=False,
    bars=300,
    missing_bars=0,
    beating=True,
    feature_errors=0,
    load_failures=0,
    predictions=100,
    consensus=0.9,
    confidence=0.8,
    trades=40,
    profit=0.02,
    drawdown=0.01,
    daily_drawdown=0.01,
    stop_share=0.05,
    buy_share=0.5,
    trips=0,
)
WITH_CAPITAL = (Stage.CAPITAL_10, Stage.CAPITAL_25, Stage.CAPITAL_FULL)


def clock(stage: Stage, since_ms: int = 0) -> Clock:
    return Clock(bundle_hash=GOOD.bundle_hash, deployment=1, stage=stage, since_ms=since_ms)


def over(stage: Stage) -> int:
    """The first moment at which the time of a stage that began at 0 is over."""
    return round(stage_hours(stage, S) * HOUR_MS)


def judged(stage: Stage, now_ms: int | None = None, **changes):
    return next_stage(
        clock(stage), replace(GOOD, **changes), now_ms=over(stage) if now_ms is None else now_ms, settings=S
    )


@pytest.mark.parametrize(("stage", "then"), list(pairwise(ORDER)))
def test_good_evidence_moves_one_stage_when_the_time_is_over_and_not_before(stage, then):
    """A millisecond too early nothing moves, and no stage is skipped."""
    early = judged(stage, now_ms=over(stage) - 1)
    assert (early.verdict, early.clock) == ("quiet", clock(stage))
    done = judged(stage)
    assert (done.verdict, done.clock) == ("fired", clock(then, over(stage)))


def test_there_is_no_stage_beyond_full_capital():
    """Good evidence changes nothing there."""
    assert judged(Stage.CAPITAL_FULL).clock == clock(Stage.CAPITAL_FULL)


AT_THE_LIMIT = [
    (Stage.OBSERVE, "consensus", 0.6, 0.61),
    (Stage.OBSERVE, "confidence", 0.5, 0.51),
    (Stage.OBSERVE, "feature_errors", 1, 0),
    (Stage.OBSERVE, "load_failures", 1, 0),
    (Stage.OBSERVE, "missing_bars", 1, 0),
    (Stage.PAPER, "profit", 0.0, 1e-9),
    (Stage.PAPER, "stop_share", 0.10, 0.099),
    (Stage.PAPER, "buy_share", 0.81, 0.8),
    (Stage.PAPER, "buy_share", 0.19, 0.2),
    (Stage.PAPER, "unresolved", 1, 0),
    (Stage.PAPER, "missing_bars", 1, 0),
    *[
        (stage, *rest)
        for stage in WITH_CAPITAL
        for rest in (
            ("profit", 0.0, 1e-9),
            ("consensus", 0.7, 0.71),
            ("unresolved", 1, 0),
            ("missing_bars", 1, 0),
        )
    ],
]


@pytest.mark.parametrize(("stage", "name", "bad", "good"), AT_THE_LIMIT)
def test_a_gate_fires_at_its_limit_when_the_time_is_over_and_not_inside_it(stage, name, bad, good):
    """Missed: the stage again, or one down with capital; before the time is over nothing; inside the limit, on."""
    down = stage if stage in (Stage.OBSERVE, Stage.PAPER) else ORDER[ORDER.index(stage) - 1]
    missed = judged(stage, **{name: bad})
    assert (missed.verdict, missed.clock) == ("fired", clock(down, over(stage)))
    assert "missed" in missed.reason
    assert judged(stage, now_ms=1, **{name: bad}).clock == clock(stage)
    up = stage if stage is Stage.CAPITAL_FULL else ORDER[ORDER.index(stage) + 1]
    assert judged(stage, **{name: good}).clock.stage is up


BREACHES = [
    (Stage.PAPER, "feature_errors", 1, 0, Stage.OBSERVE),
    (Stage.PAPER, "load_failures", 1, 0, Stage.OBSERVE),
    (Stage.PAPER, "daily_drawdown", 0.05, 0.049, Stage.OBSERVE),
    *[
        (stage, *rest)
        for stage in WITH_CAPITAL
        for rest in (
            ("feature_errors", 1, 0, Stage.OBSERVE),
            ("load_failures", 1, 0, Stage.OBSERVE),
            ("drawdown", 0.08, 0.079, Stage.PAPER),
            ("trips", 1, 0, Stage.PAPER),
            ("fired", ("harm",), (), Stage.PAPER),
        )
    ],
]


@pytest.mark.parametrize(("stage", "name", "bad", "good", "to"), BREACHES)
def test_a_breach_demotes_at_once(stage, name, bad, good, to):
    """In the first minute of the stage; just inside the limit nothing happens."""
    found = judged(stage, now_ms=60_000, **{name: bad})
    assert (found.verdict, found.clock) == ("fired", clock(to, 60_000))
    assert "breach" in found.reason
    assert judged(stage, now_ms=60_000, **{name: good}).clock == clock(stage)


def test_of_two_breaches_the_graver_one_counts():
    """A drawdown alone leads to paper, with a feature error to observe."""
    assert judged(Stage.CAPITAL_25, drawdown=0.5, feature_errors=2).clock.stage is Stage.OBSERVE


NEEDED = {
    Stage.OBSERVE: ("feature_errors", "load_failures", "consensus", "confidence", "missing_bars", "beating"),
    Stage.PAPER: ("feature_errors", "load_failures", "profit", "daily_drawdown", "stop_share", "buy_share", "beating"),
    **dict.fromkeys(
        WITH_CAPITAL[:2],
        ("feature_errors", "load_failures", "trips", "drawdown", "profit", "consensus", "missing_bars", "beating"),
    ),
}


@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage, names in NEEDED.items() for name in names])
def test_a_missing_number_promotes_nobody_and_demotes_nobody(stage, name):
    """However long one waits."""
    found = judged(stage, now_ms=1000 * over(stage), **{name: None})
    assert (found.verdict, found.clock) == ("unknown", clock(stage))


@pytest.mark.parametrize("change", [{"trades": S.min_trades - 1}, {"beating": False}])
def test_too_few_trades_or_a_silent_worker_are_not_known(change):
    """A profit of nine trades is none yet, and a worker that is gone now promotes nobody."""
    assert judged(Stage.PAPER, **change).verdict == "unknown"


@pytest.mark.parametrize("stage", ORDER)
def test_an_unplanned_restart_begins_the_stages_time_again(stage):
    """At the moment the worker was back, and only for a restart after the clock began."""
    found = judged(stage, restarted_ms=1234)
    assert (found.verdict, found.clock) == ("fired", clock(stage, 1234))
    again = next_stage(found.clock, replace(GOOD, restarted_ms=1234), now_ms=1300, settings=S)
    assert (again.verdict, again.clock) == ("quiet", found.clock)


@pytest.mark.parametrize("stage", ORDER)
def test_another_champion_is_at_paper_at_most(stage):
    """Also the same bundle that came back later; its clock begins now."""
    found = judged(stage, deployment=2, now_ms=77)
    assert found.clock == replace(clock(at_most_paper(stage), 77), deployment=2)


@pytest.mark.parametrize("synthetic", [True, None])
@pytest.mark.parametrize("stage", ORDER[1:])
def test_a_synthetic_bundle_never_goes_beyond_paper(stage, synthetic):
    """Nor one of which nobody knows; found beyond it, it comes back to it."""
    assert judged(stage, synthetic=synthetic).clock.stage is Stage.PAPER


@given(
    stage=st.sampled_from(ORDER),
    now_ms=st.integers(0, 10**10),
    changes=st.fixed_dictionaries(
        {},
        optional={
            "profit": st.none() | st.floats(-1, 1),
            "drawdown": st.none() | st.floats(0, 1),
            "consensus": st.none() | st.floats(0, 1),
            "feature_errors": st.none() | st.integers(0, 2),
            "trips": st.none() | st.integers(0, 2),
            "synthetic": st.none() | st.booleans(),
            "deployment": st.integers(1, 2),
            "restarted_ms": st.none() | st.integers(0, 10**10),
        },
    ),
)
def test_more_capital_comes_only_after_the_time_and_by_passed_gates(stage, now_ms, changes):
    """Whatever the evidence: a step up is one step, after the time, on real data, with every gate passed."""
    found = judged(stage, now_ms=now_ms, **changes)
    if ORDER.index(found.clock.stage) > ORDER.index(stage):
        assert ORDER.index(found.clock.stage) == ORDER.index(stage) + 1
        assert now_ms >= over(stage)
        assert found.gates
        assert all(gate.passed is True for gate in found.gates)
        assert stage is Stage.OBSERVE or changes.get("synthetic", False) is False
    assert found.clock.since_ms <= max(now_ms, 0)


def test_what_each_stage_allows():
    """Share of the capital and positions; no stage without capital allows any."""
    assert [size_share(stage) for stage in Stage] == [0.0, 0.0, 0.10, 0.25, 1.0]
    assert [position_cap(stage, S) for stage in Stage] == [0, 0, 5, 10, None]
