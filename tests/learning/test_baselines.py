"""Baselines against the arithmetic they stand for."""

from dataclasses import replace

import numpy as np
import pytest

from features.primary_rule import PRIMARY_FEATURES, PrimaryRule
from learning.baselines import buy_and_hold, primary_rule
from market.costs import CostModel
from tests.learning.planted import FIRST, planted_panel

COSTS = CostModel(taker_fee_bps=5.0, slippage_bps=1.0)
RULE = {"rule": PrimaryRule(), "names": PRIMARY_FEATURES, "size": 0.02, "horizon_bars": 12}


def signalling_panel(sides, symbols=1):
    """Symbols whose features make the primary rule name these sides."""
    panel = planted_panel(bars=len(sides), symbols=symbols)
    side = np.repeat(np.asarray(sides, dtype=np.float32), symbols)
    return replace(panel, X=np.stack((side, np.full(side.size, 50.0, np.float32), side), axis=1))


def test_the_primary_rule_takes_every_signal_once_the_last_trade_is_over():
    """Up is a long, down a short, no side is no trade; a signal during a position is not traded."""
    sides = np.zeros(100)
    sides[20:23] = -1.0
    sides[60:] = 1.0
    panel = signalling_panel(sides)
    trades = primary_rule(panel, np.arange(100), **RULE)
    expected, free_from = [], -1
    for i in np.flatnonzero(sides).tolist():
        if FIRST + i >= free_from:
            expected.append(i)
            ended = int(panel.exit_index[i, 0 if sides[i] > 0 else 1])
            free_from = ended if ended >= 0 else FIRST + i + 12
    assert len(expected) > 2
    assert (trades.bar_index - FIRST).tolist() == expected
    assert trades.side.tolist() == [int(sides[i]) for i in expected]
    assert set(trades.size.tolist()) == {0.02}


def test_the_primary_rule_trades_only_where_something_is_decided():
    """Rows that are not handed over are no events, and symbols do not wait for each other."""
    panel = signalling_panel(np.ones(30), symbols=2)
    rows = np.flatnonzero(panel.bar_index % 5 == 0)
    trades = primary_rule(panel, rows, **RULE)
    assert set((trades.bar_index % 5).tolist()) == {0}
    assert np.bincount(trades.symbol_id, minlength=2).min() >= 2


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
