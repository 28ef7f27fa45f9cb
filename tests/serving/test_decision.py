"""Each rule of the decision, on both sides of its limit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.policy import Action, DecisionPolicy
from serving.decision import (
    BarDecisions,
    DecisionState,
    Step,
    close_position,
    decide_bar,
    decide_history,
    funnel,
    new_state,
    used_weights,
)
from serving.errors import DecisionError

POLICY = DecisionPolicy(thresholds=(0.40, 0.40), horizon_bars=4)
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
        volatility=np.broadcast_to(np.asarray(volatility, dtype=np.float64), (n,)),
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
    close_position(state, 0)
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


@pytest.mark.parametrize("name", ["probabilities", "volatility", "healthy"])
def test_arrays_that_do_not_fit_are_refused(name):
    """Positions are meaning: a wrong shape is refused with its name."""
    arguments = {
        "probabilities": np.zeros((2, 4, 3)),
        "healthy": np.ones(4, bool),
        "eligible": np.ones(2, bool),
        "volatility": np.zeros(2),
    }
    arguments[name] = arguments[name][:-1]
    with pytest.raises(DecisionError, match=name):
        decide_bar(POLICY, EQUAL, new_state(2, POLICY), bar_index=0, **arguments)


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
    max_positions=st.integers(1, 4),
    max_exposure=st.floats(0.01, 0.2),
    size_base=st.floats(0.01, 0.2),
)


@settings(max_examples=60, deadline=None)
@given(policy=POLICIES, seed=st.integers(0, 2**32 - 1))
def test_a_history_decides_exactly_as_its_bars_one_by_one(policy, seed):
    """Every output of ``decide_history`` equals ``decide_bar`` with positions closed at the close of their exit bar."""
    rng = np.random.default_rng(seed)
    n_bars, n_symbols, n_models, first = 25, 4, 3, 1_000
    p = rng.dirichlet([0.7] * 3, size=(n_bars, n_symbols, n_models))
    p[rng.random(p.shape) < 0.005] = np.nan
    eligible = rng.random((n_bars, n_symbols)) < 0.9
    volatility = rng.uniform(0, 0.08, (n_bars, n_symbols))
    weights = rng.dirichlet([5] * n_models)
    index = first + np.arange(n_bars)
    exits = index[:, None, None] + rng.integers(1, policy.horizon_bars + 1, (n_bars, n_symbols, 2))
    exits[rng.random(exits.shape) < 0.2] = -1
    whole = decide_history(
        policy,
        weights,
        first_index=first,
        probabilities=p,
        eligible=eligible,
        volatility=volatility,
        exit_index=exits,
    )
    state = new_state(n_symbols, policy)
    closes_at: dict[int, int] = {}
    for t in range(n_bars):
        for s in [s for s, at in closes_at.items() if at <= first + t]:
            close_position(state, s)
            del closes_at[s]
        bar = decide_bar(
            policy,
            weights,
            state,
            bar_index=first + t,
            probabilities=p[t],
            healthy=np.ones(n_models, bool),
            eligible=eligible[t],
            volatility=volatility[t],
        )
        for name in ("action", "confidence", "size", "votes", "share", "step"):
            np.testing.assert_array_equal(getattr(whole, name)[t], getattr(bar, name), err_msg=f"{name} at bar {t}")
        for s in np.flatnonzero(bar.action):
            known = exits[t, s, bar.action[s] - 1]
            if known >= 0:
                closes_at[int(s)] = int(known)
        assert sum(funnel(bar.step).values()) == n_symbols
        assert ((bar.step == Step.TAKEN) == (bar.action != 0)).all()
        assert np.count_nonzero(state.side) <= policy.max_positions
        assert state.size.sum() <= policy.max_exposure + 1e-9
    np.testing.assert_array_equal(whole.state.recent(), state.recent())


def test_the_funnel_counts_every_symbol_once():
    """Counts per step sum to the input, and steps nobody took are not listed."""
    decided = decide([[BUY] * 4, [HOLD] * 4, [SELL] * 4, [BUY] * 4], eligible=[True, True, True, False])
    assert funnel(decided.step) == {"TAKEN": 2, "NOT_ELIGIBLE": 1, "NO_VOTE": 1}
