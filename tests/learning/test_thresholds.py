"""Thresholds: the pair that pays most through the decision, and an honest answer where none does."""

from dataclasses import replace

import numpy as np

from learning.backtest import decide, dense_market, dense_probabilities, trades_of
from learning.thresholds import choose_thresholds, threshold_candidates
from registry.policy import DecisionPolicy
from tests.learning.planted import FIRST, planted_panel

POLICY = DecisionPolicy(thresholds=(0.5, 0.5), horizon_bars=12, volatility_limit=1.0, min_healthy=1)
ALONE = np.ones(1)


def setting(knowledge):
    """One model whose probabilities lean to the side that nets more, by ``knowledge``."""
    panel = planted_panel(bars=800)
    better = np.where(np.nan_to_num(panel.net[:, 0]) > np.nan_to_num(panel.net[:, 1]), 1, 2)
    noise = np.random.default_rng(8).normal(size=(len(panel), 3))
    scores = noise * 0.5
    scores[np.arange(len(panel)), better] += knowledge
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    rows = np.arange(len(panel))
    market = dense_market(panel, rows, first_index=FIRST, end_index=FIRST + 800)
    return panel, market, dense_probabilities(market, rows, p[None]), p


def choose(panel, market, dense, p, *, min_trades=20):
    return choose_thresholds(
        POLICY,
        ALONE,
        market=market,
        probabilities=dense,
        panel=panel,
        candidates=threshold_candidates(p, (0.5, 0.8, 0.95)),
        min_trades=min_trades,
    )


def test_the_chosen_pair_pays_at_least_as_much_as_any_of_its_neighbours():
    """No single-side change among the candidates would have netted more."""
    panel, market, dense, p = setting(1.0)
    found = choose(panel, market, dense, p)
    assert found.profitable
    buys, sells = threshold_candidates(p, (0.5, 0.8, 0.95))
    for sell in sells:
        policy = replace(POLICY, thresholds=(found.thresholds[0], float(sell)))
        results = trades_of(decide(policy, ALONE, market, dense), market, panel).results
        assert results.size < 20 or results.sum() <= found.net + 1e-15
    assert found.thresholds[0] in buys.tolist()


def test_without_a_profitable_pair_the_strictest_is_taken_and_said():
    """A model that is wrong on purpose gets the highest thresholds and the flag."""
    panel, market, dense, p = setting(-1.0)
    found = choose(panel, market, dense, p)
    buys, sells = threshold_candidates(p, (0.5, 0.8, 0.95))
    assert not found.profitable
    assert found.thresholds == (buys[-1], sells[-1])


def test_too_few_trades_prove_nothing():
    """A profit from fewer trades than asked for does not count."""
    panel, market, dense, p = setting(1.0)
    assert not choose(panel, market, dense, p, min_trades=100_000).profitable


def test_candidates_are_quantiles_per_side():
    """Ascending quantiles of P(BUY) and of P(SELL); without rows nothing can be reached."""
    p = np.column_stack((np.zeros(101), np.linspace(0, 1, 101), np.linspace(0, 0.5, 101)))
    buy, sell = threshold_candidates(p, (0.9, 0.5))
    np.testing.assert_allclose(buy, [0.5, 0.9])
    np.testing.assert_allclose(sell, [0.25, 0.45])
    assert threshold_candidates(np.zeros((0, 3)), (0.5, 0.9))[0].tolist() == [1.0, 1.0]
