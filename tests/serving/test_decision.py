"""Each rule of the decision, on both sides of its limit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.policy import Action, DecisionPolicy
from registry.policy_rules import GuardRule, RegimeRule
from serving.decision import (
    KEPT_BACK,
    BarDecisions,
    Step,
    decide_bar,
    decide_history,
    funnel,
    used_weights,
)
from serving.decision_state import DecisionState, close_position, new_state
from serving.errors import DecisionError
from serving.market_facts import REGIMES, MarketFacts, regimes_of

POLICY = DecisionPolicy(thresholds=(0.40, 0.40), horizon_bars=4, regime=RegimeRule(ranging=1.0))
EQUAL = np.full(4, 0.25)
BUY, SELL, HOLD = (0.3, 0.5, 0.2), (0.3, 0.2, 0.5), (0.8, 0.1, 0.1)


def decide(
    rows,
    *,
    policy=POLICY,
    weights=EQUAL,
    healthy=None,
    volatility=0.02,
    eligible=None,
    state: DecisionState | None = None,
    bar=100,
    regime="RANGING",
    correlation=0.0,
) -> BarDecisions:
    """Decide symbols given as lists of per-model probability rows."""
    p = np.array(rows, dtype=np.float64)
    n = p.shape[0]
    return decide_bar(
        policy,
        weights,
        new_state(n, policy) if state is None else state,
        bar_index=bar,
        probabilities=p,
        healthy=np.ones(weights.size, bool) if healthy is None else np.array(healthy),
        eligible=np.ones(n, bool) if eligible is None else np.array(eligible),
        facts=facts(n, volatility=volatility, regime=regime, correlation=correlation),
    )


def facts(n: int, *, volatility=0.02, regime="RANGING", correlation=0.0) -> MarketFacts:
    """Facts of ``n`` symbols, each given once for all or once a symbol."""
    names = [regime] * n if isinstance(regime, str) else regime
    return MarketFacts(
        volatility=np.broadcast_to(np.asarray(volatility, dtype=np.float64), (n,)),
        regime=np.array([REGIMES.index(name) for name in names], dtype=np.int8),
        correlation=np.broadcast_to(np.asarray(correlation, dtype=np.float64), (n,)),
    )


def outcome(decided: BarDecisions) -> list[tuple[Action, Step]]:
    return [(Action(a), Step(s)) for a, s in zip(decided.action, decided.step, strict=True)]


@pytest.mark.parametrize(
    ("row", "vote"),
    [
        ((0.3, 0.40, 0.30), Action.BUY),
        ((0.3, 0.3999, 0.3001), Action.HOLD),
        ((0.3, 0.30, 0.40), Action.SELL),
        ((0.3, 0.3001, 0.3999), Action.HOLD),
        ((0.1, 0.45, 0.45), Action.HOLD),
        ((0.0, 0.45, 0.55), Action.SELL),
    ],
)
def test_a_model_votes_for_the_greater_side_at_its_threshold(row, vote):
    """At the threshold a model votes, below it or in an exact tie it holds."""
    assert decide([[row] * 4]).votes[0].tolist() == [vote] * 4


def test_sides_have_thresholds_of_their_own():
    """The buy threshold does not stop a sell, nor the other way round."""
    policy = dataclasses.replace(POLICY, thresholds=(0.9, 0.4))
    assert outcome(decide([[BUY] * 4, [SELL] * 4], policy=policy)) == [
        (Action.HOLD, Step.NO_VOTE),
        (Action.SELL, Step.TAKEN),
    ]


@pytest.mark.parametrize(("healthy", "step"), [([1, 1, 0, 0], Step.TAKEN), ([1, 0, 0, 0], Step.NO_QUORUM)])
def test_two_healthy_models_decide_and_one_does_not(healthy, step):
    """Below ``min_healthy`` every symbol holds."""
    assert decide([[BUY] * 4], healthy=np.array(healthy, bool)).step[0] == step


def test_unhealthy_models_are_excluded_and_weights_renormalised():
    """The excluded model has no vote and no weight; the others' weights sum to one."""
    weights = np.array([0.40, 0.20, 0.25, 0.15])
    healthy = np.array([False, True, True, True])
    decided = decide([[SELL, BUY, BUY, HOLD]], weights=weights, healthy=healthy)
    assert decided.votes[0].tolist() == [-1, 1, 1, 0]
    assert decided.share[0] == pytest.approx(0.75)
    assert used_weights(POLICY, weights, healthy) == pytest.approx([0, 1 / 3, 0.25 / 0.6, 0.25])
    assert used_weights(POLICY, weights, np.array([True, False, False, False])).tolist() == [0, 0, 0, 0]


def test_garbage_of_an_excluded_model_is_not_read():
    """A model that is out may say NaN without making the symbol ineligible."""
    decided = decide([[(np.nan,) * 3, BUY, BUY, BUY]], healthy=np.array([False, True, True, True]))
    assert outcome(decided) == [(Action.BUY, Step.TAKEN)]


@pytest.mark.parametrize(
    ("weights", "step"), [((0.25, 0.25, 0.10), Step.TAKEN), ((0.25, 0.249, 0.10), Step.NO_CONSENSUS)]
)
def test_consensus_needs_its_share_of_weight(weights, step):
    """Exactly the share is enough, although .25 + .25 + .10 is not .60 in binary; a little less is not."""
    full = np.array([*weights, 1 - sum(weights)])
    assert decide([[BUY, BUY, BUY, HOLD]], weights=full).step[0] == step


def test_an_even_split_holds_even_with_a_low_consensus():
    """BUY and SELL with equal weight cancel; the slightest majority decides."""
    policy = dataclasses.replace(POLICY, consensus_share=0.4)
    even = decide([[BUY, BUY, SELL, SELL]], policy=policy)
    tipped = decide([[BUY, BUY, SELL, SELL]], policy=policy, weights=np.array([0.26, 0.25, 0.24, 0.25]))
    assert outcome(even) == [(Action.HOLD, Step.EVEN_SPLIT)]
    assert outcome(tipped) == [(Action.BUY, Step.TAKEN)]


@pytest.mark.parametrize(
    ("rows", "weights", "confidence"),
    [
        ([BUY, BUY, BUY, BUY], EQUAL, 0.5 * 1.2),
        ([BUY, BUY, BUY, HOLD], EQUAL, 0.5 * 1.1),
        ([BUY, BUY, HOLD, HOLD], np.array([0.35, 0.25, 0.2, 0.2]), 0.5 * 0.8),
        ([(0.0, 1.0, 0.0)] * 4, EQUAL, 1.0),
        ([(0.2, 0.8, 0.0), BUY, BUY, HOLD], np.array([0.5, 0.15, 0.15, 0.2]), (0.4 + 0.15) / 0.8 * 1.1),
    ],
)
def test_confidence_follows_agreement_and_is_capped(rows, weights, confidence):
    """Unanimous x1.2, strong (three of four) x1.1, split x0.8, of the voters' weighted mean, never above the cap."""
    assert decide([rows], weights=weights).confidence[0] == pytest.approx(confidence)


def test_the_cap_is_the_policys():
    """A lower cap lowers the confidence."""
    policy = dataclasses.replace(POLICY, confidence_cap=0.55)
    assert decide([[BUY] * 4], policy=policy).confidence[0] == 0.55


@pytest.mark.parametrize(
    ("volatility", "p_buy", "step"),
    [
        (0.05, 0.50, Step.TAKEN),
        (0.0501, 0.50, Step.VOLATILITY),
        (0.0501, 0.70 / 1.2, Step.VOLATILITY),
        (0.0501, 0.71 / 1.2, Step.TAKEN),
    ],
)
def test_wild_markets_need_confidence(volatility, p_buy, step):
    """At the limit nothing changes; above it the confidence must exceed ``volatility_confidence``."""
    policy = dataclasses.replace(POLICY, volatility_confidence=0.70 / 1.2 * 1.2)
    assert decide([[(1 - p_buy, p_buy, 0.0)] * 4], policy=policy, volatility=volatility).step[0] == step


def remembering(buys: int, sells: int, *, policy=POLICY, n_symbols=1) -> DecisionState:
    state = new_state(n_symbols, policy)
    state.remember(np.array([1] * buys + [2] * sells, dtype=np.int8))
    return state


@pytest.mark.parametrize(
    ("buys", "sells", "buy_step"),
    [
        (19, 0, Step.TAKEN),
        (20, 0, Step.SUPERVISOR),
        (14, 6, Step.TAKEN),
        (15, 5, Step.SUPERVISOR),
        (35, 15, Step.TAKEN),
        (36, 14, Step.SUPERVISOR),
    ],
)
def test_the_supervisor_blocks_one_side_only(buys, sells, buy_step):
    """From 20 actions on, more than 70 % of one side blocks that side and never the other."""
    assert decide([[BUY] * 4], state=remembering(buys, sells)).step[0] == buy_step
    assert decide([[SELL] * 4], state=remembering(buys, sells)).step[0] == Step.TAKEN


def test_the_supervisor_forgets_and_opens_again():
    """The window rolls: 50 later sells leave nothing of 36 buys, and buying is possible again."""
    state = remembering(36, 14)
    state.remember(np.full(50, 2, dtype=np.int8))
    assert state.recent().tolist() == [2] * 50
    assert decide([[BUY] * 4], state=state).step[0] == Step.TAKEN


def test_the_supervisor_counts_all_symbols_and_no_holds():
    """Actions of every symbol enter the ring in the order they were considered; holds do not."""
    state = new_state(3, POLICY)
    decide([[BUY] * 4, [HOLD] * 4, [(0.1, 0.1, 0.8)] * 4], state=state)
    assert state.recent().tolist() == [Action.SELL, Action.BUY]


def test_one_position_per_symbol_until_the_horizon():
    """A symbol with an open position holds, until the close of bar t + horizon."""
    state = new_state(1, POLICY)
    steps = [decide([[BUY] * 4], state=state, bar=100 + k).step[0] for k in range(5)]
    assert steps == [Step.TAKEN, *[Step.POSITION_OPEN] * 3, Step.TAKEN]


def test_a_closed_position_frees_its_symbol():
    """After ``close_position`` the next bar may act."""
    state = new_state(1, POLICY)
    decide([[BUY] * 4], state=state)
    close_position(POLICY, state, 0, bar_index=101, net=0.01)
    assert decide([[BUY] * 4], state=state, bar=101).step[0] == Step.TAKEN


def test_only_so_many_positions_and_the_confident_come_first():
    """With room for two, the two most confident symbols get it; equals go by index."""
    policy = dataclasses.replace(POLICY, max_positions=2)
    rows = [[(1 - p, p, 0.0)] * 4 for p in (0.5, 0.6, 0.7, 0.6)]
    assert decide(rows, policy=policy).step.tolist() == [
        Step.MAX_POSITIONS,
        Step.TAKEN,
        Step.TAKEN,
        Step.MAX_POSITIONS,
    ]


@pytest.mark.parametrize(("limit", "steps"), [(0.036, [0, 0, 0]), (0.0359, [0, 0, Step.MAX_EXPOSURE])])
def test_exposure_is_the_sum_of_sizes(limit, steps):
    """Three positions of 0.012 fill an exposure of 0.036 exactly and exceed 0.0359."""
    policy = dataclasses.replace(POLICY, max_exposure=limit)
    assert decide([[BUY] * 4] * 3, policy=policy, volatility=0.01).step.tolist() == steps


@pytest.mark.parametrize(
    ("volatility", "size"),
    [(0.02, 0.02 * 0.6 * 0.5), (0.01, 0.02 * 0.6), (0.005, 0.02 * 0.6 * 2), (0.001, 0.02 * 0.6 * 2), (0.0, 0.024)],
)
def test_size_shrinks_with_volatility(volatility, size):
    """Base x confidence x min(target / volatility, 2); zero volatility is calm, not a division by zero."""
    assert decide([[BUY] * 4], volatility=volatility).size[0] == pytest.approx(size)


def test_size_is_capped():
    """Never above ``size_cap``."""
    policy = dataclasses.replace(POLICY, size_base=0.5)
    assert decide([[BUY] * 4], policy=policy, volatility=0.01).size[0] == 0.10


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.0001, -0.0001])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_an_impossible_probability_takes_its_symbol_out_alone(bad, column):
    """One model's impossible number makes that symbol hold and leaves the other to act."""
    broken = list(BUY)
    broken[column] = bad
    decided = decide([[BUY, tuple(broken), BUY, BUY], [BUY] * 4])
    assert outcome(decided) == [(Action.HOLD, Step.NOT_FINITE), (Action.BUY, Step.TAKEN)]


@pytest.mark.parametrize("volatility", [np.nan, np.inf, -0.01])
def test_an_impossible_volatility_takes_its_symbol_out_alone(volatility):
    """Without a volatility there is no size."""
    decided = decide([[BUY] * 4] * 2, volatility=np.array([volatility, 0.02]))
    assert outcome(decided) == [(Action.HOLD, Step.NOT_FINITE), (Action.BUY, Step.TAKEN)]


def test_probabilities_of_zero_and_one_are_probabilities():
    """The ends of the range are inside it."""
    assert outcome(decide([[(0.0, 1.0, 0.0)] * 4])) == [(Action.BUY, Step.TAKEN)]


def test_ineligible_symbols_hold_and_are_named():
    """``eligible`` False comes before every other rule."""
    decided = decide([[BUY] * 4] * 2, eligible=[False, True])
    assert outcome(decided) == [(Action.HOLD, Step.NOT_ELIGIBLE), (Action.BUY, Step.TAKEN)]
    assert np.isnan(decided.confidence[0])
    assert decided.size[0] == 0.0


def test_a_position_survives_its_symbols_ineligibility():
    """A symbol that cannot be judged now keeps the position it has."""
    state = new_state(1, POLICY)
    decide([[BUY] * 4], state=state)
    decide([[BUY] * 4], state=state, eligible=[False], bar=101)
    assert decide([[BUY] * 4], state=state, bar=102).step[0] == Step.POSITION_OPEN


@pytest.mark.parametrize("name", ["probabilities", "volatility", "regime", "correlation", "healthy"])
def test_arrays_that_do_not_fit_are_refused(name):
    """Positions are meaning: a wrong shape is refused with its name."""
    arguments = {
        "probabilities": np.zeros((2, 4, 3)),
        "healthy": np.ones(4, bool),
        "eligible": np.ones(2, bool),
        "facts": facts(2),
    }
    if name in arguments:
        arguments[name] = arguments[name][:-1]
    else:
        arguments["facts"] = dataclasses.replace(facts(2), **{name: getattr(facts(2), name)[:-1]})
    with pytest.raises(DecisionError, match=name):
        decide_bar(POLICY, EQUAL, new_state(2, POLICY), bar_index=0, **arguments)


GUARDS = st.builds(
    GuardRule,
    window=st.integers(2, 5),
    min_trades=st.integers(1, 2),
    paused_hit_rate=st.floats(0.0, 0.3),
    reduced_streak=st.integers(1, 2),
    paused_streak=st.integers(2, 4),
    reduced_drawdown=st.floats(0.001, 0.01),
    paused_drawdown=st.floats(0.01, 0.05),
)
POLICIES = st.builds(
    DecisionPolicy,
    thresholds=st.tuples(st.floats(0.2, 0.6), st.floats(0.2, 0.6)),
    horizon_bars=st.integers(1, 6),
    consensus_share=st.floats(0.3, 0.7),
    min_healthy=st.integers(1, 3),
    volatility_limit=st.floats(0.01, 0.06),
    supervisor_window=st.integers(4, 12),
    supervisor_min=st.integers(1, 4),
    supervisor_share=st.floats(0.4, 0.9),
    supervisor_mode=st.sampled_from(["observe", "enforced"]),
    max_positions=st.integers(1, 4),
    max_exposure=st.floats(0.01, 0.2),
    size_base=st.floats(0.01, 0.2),
    max_correlated=st.integers(1, 2),
    correlation_limit=st.floats(0.1, 0.9),
    cooldown_bars=st.integers(0, 2),
    daily_loss_limit=st.floats(0.001, 0.02),
    drawdown_limit=st.floats(0.01, 0.1),
    bars_per_day=st.integers(3, 12),
    regime=st.builds(RegimeRule, counter_trend=st.sampled_from([0.0, 0.5])),
    guard=GUARDS,
)
SEEN_STEPS: set[Step] = set()


@settings(max_examples=120, deadline=None)
@given(policy=POLICIES, seed=st.integers(0, 2**32 - 1))
def test_a_history_decides_exactly_as_its_bars_one_by_one(policy, seed):
    """Every output of ``decide_history`` equals ``decide_bar`` with positions closed at the close of their exit bar."""
    rng = np.random.default_rng(seed)
    n_bars, n_symbols, n_models, first = 40, 4, 3, 1_000
    p = rng.dirichlet([0.7] * 3, size=(n_bars, n_symbols, n_models))
    p[rng.random(p.shape) < 0.005] = np.nan
    eligible = rng.random((n_bars, n_symbols)) < 0.9
    seen = MarketFacts(
        volatility=rng.uniform(0, 0.08, (n_bars, n_symbols)),
        regime=rng.integers(0, len(REGIMES), (n_bars, n_symbols)).astype(np.int8),
        correlation=rng.uniform(-1, 1, (n_bars, n_symbols)),
    )
    weights = rng.dirichlet([5] * n_models)
    index = first + np.arange(n_bars)
    exits = index[:, None, None] + rng.integers(1, policy.horizon_bars + 1, (n_bars, n_symbols, 2))
    exits[rng.random(exits.shape) < 0.2] = -1
    net = np.where(exits < 0, np.nan, rng.normal(0.0, 0.5, exits.shape))
    whole = decide_history(
        policy,
        weights,
        first_index=first,
        probabilities=p,
        eligible=eligible,
        facts=seen,
        exit_index=exits,
        net=net,
    )
    state = new_state(n_symbols, policy)
    closes_at: dict[int, tuple[int, float]] = {}
    for t in range(n_bars):
        for s in sorted(s for s, (at, _) in closes_at.items() if at <= first + t):
            close_position(policy, state, s, bar_index=first + t, net=closes_at.pop(s)[1])
        bar = decide_bar(
            policy,
            weights,
            state,
            bar_index=first + t,
            probabilities=p[t],
            healthy=np.ones(n_models, bool),
            eligible=eligible[t],
            facts=MarketFacts(volatility=seen.volatility[t], regime=seen.regime[t], correlation=seen.correlation[t]),
        )
        for name in ("action", "confidence", "size", "book_size", "one_sided", "votes", "share", "step"):
            np.testing.assert_array_equal(getattr(whole, name)[t], getattr(bar, name), err_msg=f"{name} at bar {t}")
        for s in np.flatnonzero(bar.action):
            known = exits[t, s, bar.action[s] - 1]
            if known >= 0:
                closes_at[int(s)] = int(known), float(net[t, s, bar.action[s] - 1])
        taken = np.isin(bar.step, [Step.TAKEN, *KEPT_BACK])
        assert sum(funnel(bar.step).values()) == n_symbols
        assert (taken == (bar.action != 0)).all()
        assert (taken == (bar.book_size > 0)).all()
        assert ((bar.step == Step.TAKEN) == (bar.size > 0)).all()
        assert (bar.size <= bar.book_size).all()
        assert np.count_nonzero(state.side) <= policy.max_positions
        assert state.size.sum() <= policy.max_exposure + 1e-9
    np.testing.assert_array_equal(whole.state.recent(), state.recent())
    np.testing.assert_array_equal(whole.state.money, state.money)
    np.testing.assert_array_equal(whole.state.counts, state.counts)
    SEEN_STEPS.update(Step(code) for code in np.unique(whole.step))


def test_the_property_above_reached_every_rule_of_a_history():
    """Random policies and markets ran into each rule, so their equality says something about each."""
    # There all models are healthy, everything is an event, and random weights never tie.
    never = {Step.NO_QUORUM, Step.NO_EVENT, Step.EVEN_SPLIT}
    assert set(Step) - never == SEEN_STEPS


@pytest.mark.parametrize(
    ("regime", "side", "step", "share"),
    [
        ("UP", BUY, Step.TAKEN, 1.0),
        ("UP", SELL, Step.REGIME, 0.0),
        ("DOWN", SELL, Step.TAKEN, 1.0),
        ("DOWN", BUY, Step.REGIME, 0.0),
        ("RANGING", BUY, Step.TAKEN, 0.5),
        ("WILD", SELL, Step.TAKEN, 0.5),
        ("UNKNOWN", BUY, Step.TAKEN, 0.5),
    ],
)
def test_the_regime_leaves_its_share_and_blocks_against_the_trend(regime, side, step, share):
    """With the trend whole, without one or in a wild or unknown market half, against it nothing."""
    policy = dataclasses.replace(POLICY, regime=RegimeRule())
    decided = decide([[side] * 4], policy=policy, regime=regime)
    assert (decided.step[0], decided.size[0]) == (step, pytest.approx(share * 0.02 * 0.6 * 0.5))


def test_an_unknown_regime_can_be_blocked():
    """A multiple of 0 takes nothing."""
    policy = dataclasses.replace(POLICY, regime=RegimeRule(unknown=0.0))
    assert decide([[BUY] * 4], policy=policy, regime="UNKNOWN").step[0] == Step.REGIME


def test_regimes_are_told_by_the_two_features():
    """Wild goes before any trend; what is no number of these is unknown, never calm."""
    trend = np.array([1.0, -1.0, 0.0, 1.0, np.nan, 0.0, 0.5])
    wild = np.array([0.0, 0.0, 0.0, 1.0, 0.0, np.nan, 0.0])
    names = [REGIMES[code] for code in regimes_of(trend, wild)]
    assert names == ["UP", "DOWN", "RANGING", "WILD", "UNKNOWN", "UNKNOWN", "UNKNOWN"]


@pytest.mark.parametrize(("rest", "steps"), [(0, ["TAKEN"]), (2, ["COOLDOWN", "COOLDOWN", "TAKEN"])])
def test_a_market_rests_after_a_position(rest, steps):
    """As many bars as the policy says after the bar in which the position ended."""
    policy = dataclasses.replace(POLICY, cooldown_bars=rest)
    state = new_state(1, policy)
    decide([[BUY] * 4], policy=policy, state=state)
    close_position(policy, state, 0, bar_index=101, net=0.01)
    found = [Step(decide([[BUY] * 4], policy=policy, state=state, bar=102 + k).step[0]).name for k in range(len(steps))]
    assert found == steps


@pytest.mark.parametrize(
    ("correlation", "side", "step"),
    [
        (0.9, BUY, Step.CORRELATION),
        (0.9, SELL, Step.TAKEN),
        (-0.9, BUY, Step.TAKEN),
        (-0.9, SELL, Step.CORRELATION),
        (0.7, BUY, Step.TAKEN),
    ],
)
def test_positions_that_move_alike_are_limited(correlation, side, step):
    """Beside two longs at .9 a third that moves with them is refused, a hedge is not; .9 x .7 is below the limit."""
    policy = dataclasses.replace(POLICY, max_correlated=2)
    state = new_state(3, policy)
    decide([[BUY] * 4, [BUY] * 4, [HOLD] * 4], policy=policy, state=state, correlation=0.9)
    later = decide([[HOLD] * 4] * 2 + [[side] * 4], policy=policy, state=state, bar=101, correlation=correlation)
    assert later.step[2] == step


def test_an_unknown_correlation_takes_its_symbol_out_alone():
    """What is not known is no reason to believe that positions differ."""
    decided = decide([[BUY] * 4] * 2, correlation=np.array([np.nan, 0.5]))
    assert outcome(decided) == [(Action.HOLD, Step.NOT_FINITE), (Action.BUY, Step.TAKEN)]


def test_a_supervisor_that_observes_says_so_and_lets_pass():
    """The same one-sided memory blocks in one mode and is only recorded in the other."""
    watching = dataclasses.replace(POLICY, supervisor_mode="observe")
    blocked = decide([[BUY] * 4], state=remembering(20, 0))
    passed = decide([[BUY] * 4], policy=watching, state=remembering(20, 0, policy=watching))
    assert (blocked.step[0], blocked.one_sided[0]) == (Step.SUPERVISOR, True)
    assert (passed.step[0], passed.one_sided[0]) == (Step.TAKEN, True)
    assert not decide([[BUY] * 4], state=remembering(14, 6)).one_sided[0]


def test_a_supervisor_that_cannot_judge_blocks():
    """A memory that holds what no action is, is a fault; it blocks both sides."""
    state = remembering(10, 9)
    state.ring[3] = 7
    assert decide([[BUY] * 4], state=state).step[0] == Step.SUPERVISOR
    assert decide([[SELL] * 4], state=state).step[0] == Step.SUPERVISOR


def test_the_funnel_counts_every_symbol_once():
    """Counts per step sum to the input, and steps nobody took are not listed."""
    decided = decide([[BUY] * 4, [HOLD] * 4, [SELL] * 4, [BUY] * 4], eligible=[True, True, True, False])
    assert funnel(decided.step) == {"TAKEN": 2, "NOT_ELIGIBLE": 1, "NO_VOTE": 1}
