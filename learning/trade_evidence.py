"""What did the trades of a window earn, and how rough was the ride?

The numbers the trading gates ask for, from resolved trades: each books ``size * net`` at its exit bar. Works for the
walk-forward backtest and for the paper trades of a shadow alike.
"""

from dataclasses import dataclass

import numpy as np

from learning.backtest import equity_curve
from learning.errors import EvidenceError
from learning.metrics import hit_rate, max_drawdown, profit_factor, sharpe
from market.candles import Floats, Ints

__all__ = ["TradeEvidence", "trade_bar_returns", "trade_evidence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeEvidence:
    """Trades of one window; None where a number cannot be had. ``total_return`` and ``max_drawdown`` are fractions."""

    trades: int
    bars: int
    total_return: float
    sharpe: float | None
    profit_factor: float | None
    max_drawdown: float
    hit_rate: float | None


def trade_bar_returns(*, net: Floats, size: Floats, exit_index: Ints, first_index: int, end_index: int) -> Floats:
    """``(end - first,)`` returns per bar of the account: each trade books ``size * net`` at its exit bar.

    ``net`` ``(k,)`` is the net return on the notional, ``size`` ``(k,)`` the notional as a fraction of equity,
    ``exit_index`` ``(k,) int64`` absolute bars in ``first_index`` to ``end_index`` (exclusive). Raises
    ``EvidenceError`` on unresolved trades or exits outside the window.
    """
    if not (net.shape == size.shape == exit_index.shape) or not np.isfinite(net).all() or not np.isfinite(size).all():
        raise EvidenceError(
            f"{net.size} returns, {size.size} sizes, {exit_index.size} exits, some missing or not finite",
            why="an unresolved trade has no result yet",
            remedy="pass resolved trades only",
        )
    if net.size and (int(exit_index.min()) < first_index or int(exit_index.max()) >= end_index):
        raise EvidenceError(
            f"exits from bar {int(exit_index.min())} to {int(exit_index.max())}",
            why=f"the window covers bars {first_index} to {end_index - 1}",
            remedy="extend the window beyond the last exit",
        )
    booked = np.zeros(max(end_index - first_index, 0))
    np.add.at(booked, exit_index - first_index, size * net)
    return booked


def trade_evidence(
    *, net: Floats, size: Floats, exit_index: Ints, first_index: int, end_index: int, bars_per_year: int
) -> TradeEvidence:
    """The gates' numbers for the trades of one window; arguments as in ``trade_bar_returns``."""
    returns = trade_bar_returns(net=net, size=size, exit_index=exit_index, first_index=first_index, end_index=end_index)
    equity = equity_curve(returns)
    results = size * net
    return TradeEvidence(
        trades=int(net.size),
        bars=int(returns.size),
        total_return=float(equity[-1] - 1.0) if equity.size else 0.0,
        sharpe=sharpe(returns, bars_per_year=bars_per_year),
        profit_factor=profit_factor(results),
        max_drawdown=max_drawdown(equity),
        hit_rate=hit_rate(results),
    )
