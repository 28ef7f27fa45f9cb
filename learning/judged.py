"""Which decisions were judged, and what is known about each of them?

Every event of the judged test windows, resolved or not, with its fold and its regimes; trades find theirs by symbol and
decision bar. What is stored of a training, and every breakdown of its scores, is made from these values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.backtest import TradeTable
from learning.panel import Panel
from learning.regimes import Regimes, regime_edges, regimes_at
from learning.walk_forward import Fold
from market.candles import Ints

__all__ = ["JudgedRows", "JudgedTrades", "judged_rows"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedTrades:
    """Trades ``table`` of one strategy, and for each ``(k,)`` its fold and the regimes at its decision."""

    table: TradeTable
    fold: Ints
    regimes: Regimes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedRows:
    """Panel ``rows (n,)`` that were decided on, ascending, with ``fold (n,)`` (from 0) and regimes."""

    rows: Ints
    fold: Ints
    regimes: Regimes
    keys: Ints
    symbols: int

    def regimes_where(self, chosen: NDArray[np.bool_]) -> Regimes:
        """The regimes of some of the rows."""
        return Regimes(volatility=self.regimes.volatility[chosen], trend=self.regimes.trend[chosen])

    def trades(self, table: TradeTable) -> JudgedTrades:
        """The same trades with what is known about their decisions."""
        at = np.searchsorted(self.keys, _keys(table.symbol_id, table.bar_index, self.symbols))
        return JudgedTrades(
            table=table,
            fold=self.fold[at],
            regimes=Regimes(volatility=self.regimes.volatility[at], trend=self.regimes.trend[at]),
        )


def judged_rows(panel: Panel, folds: Sequence[Fold], names: Sequence[str]) -> JudgedRows:
    """The test rows of consecutive folds; regime edges of each fold come from its own training rows."""
    parts = [regimes_at(panel, fold.test_rows, regime_edges(panel, fold.train_rows, names), names) for fold in folds]
    rows = np.concatenate([fold.test_rows for fold in folds])
    return JudgedRows(
        rows=rows,
        fold=np.repeat([fold.number for fold in folds], [fold.test_rows.size for fold in folds]),
        regimes=Regimes(
            volatility=np.concatenate([part.volatility for part in parts]),
            trend=np.concatenate([part.trend for part in parts]),
        ),
        keys=_keys(panel.symbol_id[rows], panel.bar_index[rows], len(panel.symbols)),
        symbols=len(panel.symbols),
    )


def _keys(symbol_id: NDArray[np.int32], bar_index: Ints, symbols: int) -> Ints:
    return bar_index * symbols + symbol_id
