"""Events: the bars on which something is decided, and the sides that the primary rule leaves open."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from features import ContractError, EventRule, PrimaryRule, compute_features
from features.primary_rule import PRIMARY_FEATURES
from tests.features.histories import ANCHOR, contract, inputs_of, random_bars

NAMES = (*PRIMARY_FEATURES, "cusum_event")


def rows(*values):
    return np.array(values, dtype=np.float32).reshape(len(values), -1)


@pytest.mark.parametrize(
    ("ema", "rsi", "macd", "side"),
    [
        (0.01, 50, 0.01, 1),
        (-0.01, 50, -0.01, -1),
        (0.01, 50, -0.01, 0),
        (0.01, 75, 0.01, 1),
        (0.01, 25, -0.01, 0),
        (0.0, 25, 0.01, 1),
        (0.0, 70, 0.0, 0),
        (0.0, 50, 0.01, 0),
        (0.0, 71, -0.01, -1),
    ],
)
def test_votes_are_weighed(ema, rsi, macd, side):
    """Trend votes weigh .4 each, an extreme RSI .2 against the move; a side needs .6."""
    assert PrimaryRule().sides(rows((ema, rsi, macd)), PRIMARY_FEATURES).tolist() == [side]


def test_columns_are_found_by_name():
    """The same numbers in another order of columns are the same votes; a missing column is an error."""
    X = rows((0.01, 75.0, -0.01))
    votes = PrimaryRule().votes(X, PRIMARY_FEATURES)
    assert votes.tolist() == [[1, -1, -1]]
    np.testing.assert_array_equal(PrimaryRule().votes(X[:, ::-1], PRIMARY_FEATURES[::-1]), votes)
    with pytest.raises(ContractError, match="reads 'macd_hist'"):
        PrimaryRule().sides(X, ("ema_9_21_diff", "rsi", "other"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ema_weight": -0.1},
        {"threshold": 1.1},
        {"ema_weight": 0.9, "macd_weight": 0.9},
        {"versions": ("ema_9_21/2", "rsi_30_70/1", "macd_12_26_9/1")},
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused(wrong):
    """Negative or excessive weights, a threshold out of reach, and a rule of another version."""
    with pytest.raises(ContractError):
        PrimaryRule(**wrong)


def test_every_kth_bar_is_counted_from_the_epoch():
    """Which bars are events depends on their own index, not on where a history begins."""
    rule, bars = EventRule(every_bars=3), np.arange(100, 112)
    whole = rule.sides(np.zeros((12, 4), np.float32), bars, NAMES)
    assert whole.any(axis=1).tolist() == [bar % 3 == 0 for bar in bars.tolist()]
    np.testing.assert_array_equal(rule.sides(np.zeros((5, 4), np.float32), bars[7:], NAMES), whole[7:])


def test_meta_mode_opens_the_named_side_at_sampled_bars():
    """The primary rule's side, only where sampling picks the bar."""
    X = rows((1, 50, 1, 1), (-1, 50, -1, 0), (-1, 50, -1, -1), (1, 50, -1, 1))
    rule = EventRule(mode="meta", sampling="cusum")
    assert rule.sides(X, np.arange(4), NAMES).tolist() == [[True, False], [False, False], [False, True], [False, False]]
    assert rule.allowed(X, NAMES)[1].tolist() == [False, True]


def test_cusum_needs_its_feature_and_an_unknown_rule_is_refused():
    """A contract without the column, another word for a mode, and a step of nothing."""
    with pytest.raises(ContractError, match="cusum_event"):
        EventRule(sampling="cusum").sides(np.zeros((1, 3), np.float32), np.arange(1), PRIMARY_FEATURES)
    for wrong in ({"mode": "both"}, {"sampling": "tick"}, {"every_bars": 0}):
        with pytest.raises(ContractError, match="event rule"):
            EventRule(**wrong)


def test_a_rule_survives_json_and_its_fingerprint_tells_every_number():
    """Read back equal; any other number is another rule; unknown fields are refused."""
    rule = EventRule(mode="meta", every_bars=5)
    assert EventRule.from_values(json.loads(rule.to_json())) == rule
    others = [replace(rule, every_bars=6), replace(rule, primary=PrimaryRule(threshold=0.5)), EventRule(every_bars=5)]
    assert len({one.fingerprint for one in (rule, *others)}) == 4
    for broken in ({**asdict(rule), "more": 1}, {"mode": "meta"}, {**asdict(rule), "primary": {"threshold": 0.5}}):
        with pytest.raises(ContractError, match="cannot be read"):
            EventRule.from_values(broken)


def test_cusum_events_follow_the_filter():
    """A jump is an event in its direction, a flat market has none, and noise has one in a few bars."""
    made = contract()
    bars = random_bars(2400, seed=5)
    block = compute_features(inputs_of(bars, first_index=ANCHOR - 1152), made)
    events = block.values[block.reason == 0, made.index_of("cusum_event")]
    share = np.mean(events != 0)
    assert set(events.tolist()) == {-1.0, 0.0, 1.0}
    assert 0.05 < share < 0.5
    returns = block.values[block.reason == 0, made.index_of("log_returns")]
    assert returns[events > 0].mean() > 0.001
    assert returns[events < 0].mean() < -0.001
    flat = np.array(bars)
    flat[1200:, 0:4] = 100.0
    block = compute_features(inputs_of(flat, first_index=ANCHOR - 1152), made)
    assert not block.values[-1000:, made.index_of("cusum_event")].any()
