"""What a bundle's own closed trades forbid it to say, and how it comes back."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import PolicyError
from registry.policy import DecisionPolicy
from registry.policy_rules import GuardRule, RegimeRule
from serving.decision import Step, decide_bar
from serving.decision_state import (
    DecisionState,
    close_position,
    guard_cause,
    guard_level,
    new_state,
    recall_trades,
    resume,
)
from serving.market_facts import MarketFacts

# One symbol, sizes of a tenth, so that a net of -0.1 costs a hundredth of equity.
POLICY = DecisionPolicy(
    thresholds=(0.4, 0.4),
    horizon_bars=4,
    min_healthy=1,
    size_base=0.1,
    volatility_target=0.02,
    unanimous_multiplier=1.0,
    regime=RegimeRule(ranging=1.0),
    supervisor_share=1.0,
    daily_loss_limit=1.0,
    drawdown_limit=1.0,
)
GUARD = POLICY.guard
SURE, UNSURE = 0.5, 0.49  # of BUY; REDUCED asks for .4 + .1


def say(state: DecisionState, *, bar: int, policy=POLICY, p_buy: float = SURE):
    """Decide one bar of one symbol that one model would buy."""
    return decide_bar(
        policy,
        np.ones(1),
        state,
        bar_index=bar,
        probabilities=np.array([[[1 - p_buy, p_buy, 0.0]]]),
        healthy=np.ones(1, bool),
        eligible=np.ones(1, bool),
        facts=MarketFacts(volatility=np.array([0.02]), regime=np.array([1], np.int8), correlation=np.zeros(1)),
    )


def live_through(results, *, policy=POLICY, state=None, bar=0) -> DecisionState:
    """Take a position each bar and close it at the next with these nets; what is said follows the guard."""
    state = new_state(1, policy) if state is None else state
    for net in results:
        say(state, bar=bar, policy=policy)
        close_position(policy, state, 0, bar_index=bar + 1, net=net)
        bar += 1
    return state


GAIN, LOSS = 0.01, -0.01


@pytest.mark.parametrize(
    ("results", "level"),
    [
        ([], "NORMAL"),
        ([LOSS] * 4, "NORMAL"),
        ([LOSS, GAIN, LOSS, GAIN, LOSS], "NORMAL"),
        ([GAIN, LOSS] * 5 + [LOSS], "NORMAL"),
        ([GAIN, LOSS] * 5 + [LOSS] * 3, "REDUCED"),
        ([GAIN, LOSS, LOSS, LOSS, GAIN, LOSS, GAIN, LOSS, LOSS, LOSS], "REDUCED"),
        ([GAIN, LOSS, LOSS, LOSS, LOSS], "PAUSED"),
        ([GAIN] * 10 + [LOSS] * 5, "REDUCED"),
        ([GAIN] * 10 + [LOSS] * 8, "PAUSED"),
    ],
)
def test_hit_rate_and_streak_set_the_level(results, level):
    """Below 40 % of the last ten, from five on, it is reduced; below 30 % paused; five losses in a row reduce."""
    assert guard_level(live_through(results)) == level


@pytest.mark.parametrize(
    ("net", "level"), [(-0.99, "NORMAL"), (-1.01, "REDUCED"), (-1.99, "REDUCED"), (-2.01, "PAUSED")]
)
def test_drawdown_sets_the_level(net, level):
    """Of the book, from its peak: above 5 % reduced, above 10 % paused; at confidence .5 a trade is .05 of equity."""
    assert guard_level(live_through([net])) == level


def test_reduced_halves_what_is_said_and_asks_for_more():
    """The book takes both in full; of the sure one half is said, of the unsure one nothing."""
    for p_buy, share, step in ((SURE, 0.5, Step.TAKEN), (UNSURE, 0.0, Step.GUARD_REDUCED)):
        state = live_through([-1.01])
        decided = say(state, bar=50, p_buy=p_buy)
        assert decided.step[0] == step
        assert decided.book_size[0] == pytest.approx(0.1 * p_buy)
        assert decided.size[0] == pytest.approx(0.1 * p_buy * share)


def test_paused_says_nothing_and_its_book_goes_on():
    """A position of the book is open, an action is recorded, nothing is said, and the table names the cause."""
    state = live_through([-2.01])
    decided = say(state, bar=50)
    assert (decided.step[0], decided.action[0], decided.size[0]) == (Step.GUARD_PAUSED, 1, 0.0)
    assert (state.side[0], state.size[0], state.said[0]) == (1, decided.book_size[0], 0.0)
    assert guard_cause(POLICY, state) == "guard_paused"


def test_a_paused_bundle_recovers_by_its_own_book():
    """Gains of the unsaid book lead from PAUSED over REDUCED to NORMAL: the state can be left."""
    state = live_through([GAIN] * 5 + [LOSS] * 8)
    levels = [guard_level(state)]
    for k in range(12):
        live_through([0.02], state=state, bar=100 + k)
        levels.append(guard_level(state))
    order = [level for k, level in enumerate(levels) if k == 0 or level != levels[k - 1]]
    assert order == ["PAUSED", "REDUCED", "NORMAL"]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), losses=st.integers(5, 60))
def test_every_simulated_pause_ends_when_the_edge_returns(seed, losses):
    """However long the bad stretch, a bundle that wins six of ten again is NORMAL at some later time."""
    rng = np.random.default_rng(seed)
    state = live_through([-0.02] * losses)
    assert guard_level(state) == "PAUSED"
    for k in range(2_000):
        live_through([0.02 if rng.random() < 0.6 else -0.02], state=state, bar=1_000 + k)
        if guard_level(state) == "NORMAL":
            return
    pytest.fail("the guard never came back")


def test_the_days_loss_stops_until_the_next_utc_day():
    """After 5 % of the day's first equity nothing more is said; bars of the next day speak again."""
    policy = dataclasses.replace(
        POLICY, daily_loss_limit=0.05, guard=GuardRule(reduced_drawdown=0.9, paused_drawdown=0.9)
    )
    state = live_through([-0.99], policy=policy)
    assert guard_cause(policy, state) == "ok"
    live_through([-0.02], policy=policy, state=state, bar=1)
    assert guard_cause(policy, state) == "daily_loss"
    assert say(state, bar=287, policy=policy).step[0] == Step.DAILY_LOSS
    close_position(policy, state, 0, bar_index=288, net=0.0)
    assert say(state, bar=288, policy=policy).step[0] == Step.TAKEN


def test_what_was_not_said_loses_nothing_of_the_day():
    """Losses of a paused book move the guard, not the day's limit."""
    policy = dataclasses.replace(POLICY, daily_loss_limit=0.05)
    state = live_through([LOSS] * 5 + [-2.0] * 3, policy=policy)
    assert guard_level(state) == "PAUSED"
    assert guard_cause(policy, state) == "guard_paused"


def test_a_drawdown_kills_until_a_person_resumes():
    """At 15 % below the peak nothing is said, gains of the book or not; after a resume it is counted from there."""
    policy = dataclasses.replace(
        POLICY, drawdown_limit=0.15, guard=GuardRule(reduced_drawdown=0.9, paused_drawdown=0.9, paused_hit_rate=0.0)
    )
    state = live_through([-2.9], policy=policy)
    assert guard_cause(policy, state) == "ok"
    live_through([-0.2], policy=policy, state=state, bar=1)
    assert guard_cause(policy, state) == "drawdown"
    live_through([3.0] * 10, policy=policy, state=state, bar=300)
    assert say(state, bar=700, policy=policy).step[0] == Step.DRAWDOWN
    close_position(policy, state, 0, bar_index=701, net=0.0)
    resume(state)
    assert guard_cause(policy, state) == "ok"
    assert say(state, bar=702, policy=policy).step[0] == Step.TAKEN


def test_an_unknown_result_is_no_result():
    """A trade without a net moves neither rates nor equity."""
    state = live_through([np.nan] * 20)
    assert state.counts[0] == 0
    assert state.money.tolist() == [1.0] * 5


def test_the_record_put_back_is_the_record_lived():
    """Closed trades told again in their order leave the same bytes."""
    nets = np.random.default_rng(3).normal(0, 0.3, 200)
    lived = new_state(1, POLICY)
    book, said = np.zeros(200), np.zeros(200)
    for k, net in enumerate(nets):
        decided = say(lived, bar=k)
        book[k], said[k] = decided.book_size[0] * net, decided.size[0] * net
        close_position(POLICY, lived, 0, bar_index=k + 1, net=net)
    put_back = new_state(1, POLICY)
    recall_trades(POLICY, put_back, bars=np.arange(1, 201), book=book, said=said)
    for name in ("gains", "counts", "money"):
        np.testing.assert_array_equal(getattr(put_back, name), getattr(lived, name))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 3},
        {"paused_hit_rate": 0.5},
        {"reduced_hit_rate": 0.5},
        {"paused_streak": 4},
        {"paused_drawdown": 0.01},
        {"reduced_size": 1.1},
        {"min_trades": 0},
        {"normal_hit_rate": float("nan")},
    ],
)
def test_a_guard_that_could_not_be_left_or_entered_is_refused(wrong):
    """Thresholds in the wrong order, sizes that grow, and no numbers."""
    with pytest.raises(PolicyError, match=r"guard\."):
        GuardRule(**wrong)


def test_a_policy_with_its_rules_survives_its_json():
    """What is sealed is what is read, and a rule with an unknown field is refused."""
    assert DecisionPolicy.from_json(POLICY.to_json()) == POLICY
    with pytest.raises(PolicyError, match="GuardRule"):
        DecisionPolicy.from_json(POLICY.to_json().replace('"paused_streak"', '"paused_steak"'))
