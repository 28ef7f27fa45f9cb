"""What would doing something simpler have earned, on the same bars and at the same costs?

No trade, the class shares of the training rows (``climatology``), the primary rule (every signal of
``features.primary_rule``) and buy and hold. A model that does not beat them has learnt nothing worth its costs.
"""

from collections.abc import Sequence

import numpy as np

from features.primary_rule import PrimaryRule
from learning.backtest import TradeTable, trades_at
from learning.panel import Panel
from market.candles import Floats, Ints
from market.costs import CostModel

__all__ = ["HeldReturns", "buy_and_hold", "primary_rule"]

HeldReturns = tuple[Floats, Floats]


def primary_rule(
    panel: Panel, rows: Ints, *, rule: PrimaryRule, names: Sequence[str], size: float, horizon_bars: int
) -> TradeTable:
    """A trade of ``size`` of equity wherever the rule names a side, one position a symbol.

    ``rows`` are the ascending panel rows on which something is decided, ``names`` the columns of ``panel.X``. Resolved
    and unresolved trades alike hold their symbol until exit or horizon.
    """
    side = rule.sides(panel.X[rows], names)
    signals = np.flatnonzero(side)
    column = (side[signals] < 0).astype(np.int64)
    bar = panel.bar_index[rows[signals]]
    exits = panel.exit_index[rows[signals], column]
    ends = np.where(exits >= 0, exits, bar + horizon_bars)
    free_from = np.full(len(panel.symbols), -1, dtype=np.int64)
    taken = np.zeros(signals.size, dtype=np.bool_)
    for k, symbol in enumerate(panel.symbol_id[rows[signals]].tolist()):
        if bar[k] >= free_from[symbol]:
            taken[k] = True
            free_from[symbol] = ends[k]
    chosen = rows[signals[taken]]
    nothing = np.full(chosen.size, np.nan)
    return trades_at(panel, chosen, column=column[taken], size=np.full(chosen.size, size), confidence=nothing)


def buy_and_hold(panel: Panel, rows: Ints, *, first_index: int, end_index: int, costs: CostModel) -> HeldReturns | None:
    """Equal parts of equity in every symbol from its first to its last of these rows, marked at every close.

    Returns bar returns ``(T,)`` and each symbol's net return ``(S,)``, after fees, slippage and funding; None where
    a funding payment is unknown. Symbols without rows are left out.
    """
    held = [rows[panel.symbol_id[rows] == symbol] for symbol in np.unique(panel.symbol_id[rows])]
    bars = np.zeros(end_index - first_index)
    nets = np.zeros(len(held))
    for i, mine in enumerate(held):
        price = panel.close[mine]
        value = price / price[0] - (panel.carry[mine] - panel.carry[mine[0]]) / price[0]
        if not np.isfinite(value).all():
            return None
        calm = np.maximum(panel.vol_ratio[mine[[0, -1]]], costs.slippage_vol_floor)
        paid = np.array([1.0, price[-1] / price[0]]) * 1e-4 * (costs.taker_fee_bps + costs.slippage_bps * calm)
        at = panel.bar_index[mine] - first_index
        bars[at[1:]] += np.diff(value) / len(held)
        bars[at[0]] -= paid[0] / len(held)
        bars[at[-1]] -= paid[1] / len(held)
        nets[i] = value[-1] - 1.0 - paid.sum()
    return bars, nets
