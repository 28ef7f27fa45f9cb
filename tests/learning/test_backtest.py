"""The backtest trades through the serving decision and books what market.barriers simulated."""

import numpy as np
import pytest

from learning.backtest import (
    booked_returns,
    decide,
    dense_market,
    dense_probabilities,
    equity_curve,
    join_trades,
    trades_at,
    trades_of,
)
from registry.policy import DecisionPolicy
from serving.decision import decide_bar
from serving.decision_state import close_position, new_state
from serving.market_facts import MarketFacts
from tests.learning.planted import FIRST, planted_panel

POLICY = DecisionPolicy(thresholds=(0.5, 0.5), horizon_bars=12, volatility_limit=1.0)
WEIGHTS = np.array([0.4, 0.35, 0.25])


@pytest.fixture(scope="module")
def market_and_probabilities():
    """A panel of 3 symbols x 200 bars without every fifth row, and random probabilities of three models."""
    panel = planted_panel(bars=200)
    rows = np.flatnonzero(np.arange(len(panel)) % 5 != 0)
    raw = np.random.default_rng(3).dirichlet([1.0, 2.0, 2.0], size=(3, rows.size))
    market = dense_market(panel, rows, first_index=FIRST, end_index=FIRST + 200)
    return panel, rows, raw, market, dense_probabilities(market, rows, raw)


def test_the_layout_finds_every_row_again(market_and_probabilities):
    """A cell holds the probabilities of its panel row, and nothing where there is no row."""
    panel, rows, raw, market, dense = market_and_probabilities
    assert market.eligible.sum() == rows.size
    for i in range(0, rows.size, 11):
        cell = panel.bar_index[rows[i]] - FIRST, panel.symbol_id[rows[i]]
        assert market.row[cell] == rows[i]
        np.testing.assert_array_equal(dense[cell], raw[:, i])
    assert np.isnan(dense[~market.eligible]).all()


def test_backtest_and_serving_take_the_same_actions(market_and_probabilities):
    """Bar by bar through the worker's function, positions closed at their exits, the trades are the same."""
    panel, _, _, market, dense = market_and_probabilities
    trades = trades_of(decide(POLICY, WEIGHTS, market, dense), market, panel)
    state, slow, exits = new_state(3, POLICY), [], {}
    for t in range(200):
        for symbol in sorted(s for s, (until, _) in exits.items() if until <= FIRST + t):
            net = exits.pop(symbol)[1]
            close_position(POLICY, state, symbol, bar_index=FIRST + t, net=net)
        done = decide_bar(
            POLICY,
            WEIGHTS,
            state,
            bar_index=FIRST + t,
            probabilities=dense[t],
            healthy=np.ones(3, dtype=bool),
            eligible=market.eligible[t],
            facts=MarketFacts(
                volatility=market.facts.volatility[t],
                regime=market.facts.regime[t],
                correlation=market.facts.correlation[t],
            ),
        )
        for s in np.flatnonzero(done.action):
            column = done.action[s] - 1
            exit_index = market.exit_index[t, s, column]
            if exit_index >= 0:
                exits[int(s)] = exit_index, panel.net[market.row[t, s], column]
            if done.size[s] == 0.0:
                continue
            slow.append((FIRST + t, s, 1 - 2 * column, done.size[s], panel.net[market.row[t, s], column]))
    found = list(zip(trades.bar_index, trades.symbol_id, trades.side, trades.size, trades.net, strict=True))
    assert len(found) > 20
    np.testing.assert_array_equal(np.array(found), np.array(slow))


def test_a_trade_is_booked_at_its_exit_bar_and_unresolved_ones_are_not():
    """Two trades by hand: one resolved, one that the data ends on."""
    panel = planted_panel(bars=60, symbols=1)
    late = 59
    trades = trades_at(
        panel,
        np.array([10, late]),
        column=np.array([1, 0]),
        size=np.array([0.5, 0.5]),
        confidence=np.array([0.6, 0.6]),
    )
    assert trades.side.tolist() == [-1, 1]
    assert trades.entry_index.tolist() == [FIRST + 11, FIRST + 60]
    assert trades.resolved.tolist() == [True, False]
    booked = booked_returns(trades, first_index=FIRST, end_index=FIRST + 60)
    assert np.flatnonzero(booked).tolist() == [panel.exit_index[10, 1] - FIRST]
    assert booked.sum() == 0.5 * panel.net[10, 1]
    assert equity_curve(booked)[-1] == 1.0 + 0.5 * panel.net[10, 1]
    assert len(join_trades([trades, trades])) == 4


def test_net_is_gross_less_costs_and_funding(market_and_probabilities):
    """What a trade nets is its gross result less funding and less at least both taker fees."""
    panel, _, _, market, dense = market_and_probabilities
    trades = trades_of(decide(POLICY, WEIGHTS, market, dense), market, panel)
    done = trades.resolved
    costs = trades.gross[done] - trades.funding[done] - trades.net[done]
    assert (costs > 2 * 5e-4 * 0.98).all()
    assert (costs < 2 * 8e-4).all()
