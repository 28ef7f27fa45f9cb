"""What would doing something simpler have earned, on the same bars and at the same costs?

No trade, the class shares of the training rows (climatology), the primary rule (a side on every EMA 9/21 cross) and
buy and hold. A model that does not beat them has learnt nothing worth its costs.
"""

import numpy as np
from numpy.typing import NDArray

from learning.backtest import TradeTable, trades_at
from learning.labels import UNRESOLVED
from learning.panel import Panel
from market.candles import Floats, Ints
from market.costs import CostModel

__all__ = ["HeldReturns", "buy_and_hold", "class_shares", "primary_rule"]

HeldReturns = tuple[Floats, Floats]


def class_shares(y: NDArray[np.integer]) -> Floats:
    """``(3,)`` shares of HOLD, BUY, SELL among labelled rows: the climatology forecast."""
    counts = np.bincount(y[y != UNRESOLVED], minlength=3).astype(np.float64)
    return counts / max(float(counts.sum()), 1.0)


def primary_rule(panel: Panel, rows: Ints, *, column: int, size: float, horizon_bars: int) -> TradeTable:
    """A trade on every change of sign of feature ``column`` (fast minus slow average), one position a symbol.

    ``rows`` ascending panel rows. Sign up is a long, down a short, of ``size`` of equity. A cross counts only
    between neighbouring bars. Resolved and unresolved trades alike hold their symbol until exit or horizon.
    """
    taken: list[int] = []
    for symbol in range(len(panel.symbols)):
        mine = rows[panel.symbol_id[rows] == symbol]
        sign = np.sign(panel.X[mine, column])
        cross = np.zeros(mine.size, dtype=bool)
        cross[1:] = (sign[1:] * sign[:-1] < 0) & (np.diff(panel.bar_index[mine]) == 1)
        free_from = -1
        for at in np.flatnonzero(cross):
            row = int(mine[at])
            bar = int(panel.bar_index[row])
            if bar < free_from:
                continue
            ended = int(panel.exit_index[row, 0 if sign[at] > 0 else 1])
            free_from = ended if ended >= 0 else bar + horizon_bars
            taken.append(row)
    chosen = np.array(sorted(taken), dtype=np.int64)
    side = (panel.X[chosen, column] <= 0).astype(np.int64)
    return trades_at(
        panel, chosen, column=side, size=np.full(chosen.size, size), confidence=np.full(chosen.size, np.nan)
    )


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
