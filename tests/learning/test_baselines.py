"""Baselines against the arithmetic they stand for."""

from dataclasses import replace

import numpy as np
import pytest

from learning.baselines import buy_and_hold, class_shares, primary_rule
from market.costs import CostModel
from tests.learning.planted import FIRST, NAMES, planted_panel

COLUMN = NAMES.index("ema_9_21_diff")
COSTS = CostModel(taker_fee_bps=5.0, slippage_bps=1.0)


def test_class_shares_leave_unresolved_rows_out():
    """Shares of HOLD, BUY, SELL among rows that have a class."""
    assert class_shares(np.array([0, 1, 1, 2, -1], dtype=np.int8)).tolist() == [0.25, 0.5, 0.25]


def crossing_panel(signs):
    """One symbol whose EMA difference has these signs."""
    panel = planted_panel(bars=len(signs), symbols=1)
    X = panel.X.copy()
    X[:, COLUMN] = signs
    return replace(panel, X=X)


def test_the_primary_rule_trades_each_cross_once_the_last_trade_is_over():
    """Up is a long, down a short; a cross during a position is not traded."""
    signs = np.ones(100)
    signs[20:24] = -1.0
    signs[60:] = -1.0
    panel = crossing_panel(signs)
    trades = primary_rule(panel, np.arange(100), column=COLUMN, size=0.02, horizon_bars=12)
    first_exit = panel.exit_index[20, 1]
    expected = [20] + ([24] if first_exit <= FIRST + 24 else []) + [60]
    assert (trades.bar_index - FIRST).tolist() == expected
    assert trades.side[[0, -1]].tolist() == [-1, -1]
    assert set(trades.size.tolist()) == {0.02}


def test_a_cross_over_a_gap_is_not_a_cross():
    """Signs on both sides of missing rows say nothing about when they changed."""
    signs = np.ones(40)
    signs[20:] = -1.0
    panel = crossing_panel(signs)
    rows = np.delete(np.arange(40), [19])
    assert len(primary_rule(panel, rows, column=COLUMN, size=0.02, horizon_bars=12)) == 0


def test_buy_and_hold_by_hand():
    """Last over first close, less fees and slippage on both notionals, less the funding in between."""
    panel = planted_panel(bars=200, symbols=1)
    found = buy_and_hold(panel, np.arange(50, 150), first_index=FIRST, end_index=FIRST + 200, costs=COSTS)
    assert found is not None
    bars, nets = found
    ratio = panel.close[149] / panel.close[50]
    funding = (panel.carry[149] - panel.carry[50]) / panel.close[50]
    expected = ratio - 1.0 - funding - 6e-4 * (1.0 + ratio)
    assert nets[0] == pytest.approx(expected)
    assert bars.sum() == pytest.approx(expected)
    assert not bars[:50].any()
    assert not bars[150:].any()


def test_buy_and_hold_splits_equity_evenly():
    """Three symbols: the bar returns sum to the mean of their nets."""
    panel = planted_panel(bars=100)
    found = buy_and_hold(panel, np.arange(len(panel)), first_index=FIRST, end_index=FIRST + 100, costs=COSTS)
    assert found is not None
    assert found[0].sum() == pytest.approx(found[1].mean())
    assert found[1].size == 3


def test_buy_and_hold_without_known_funding_does_not_exist():
    """An unknown payment is not a payment of zero."""
    panel = planted_panel(bars=100, symbols=1)
    unknown = replace(panel, carry=np.where(np.arange(100) > 60, np.nan, panel.carry))
    assert buy_and_hold(unknown, np.arange(100), first_index=FIRST, end_index=FIRST + 100, costs=COSTS) is None
