"""What would the serving decision have earned on predictions it could have had?

The decision is ``serving.decision.decide_history``, the very code that serves; trades are the outcomes simulated by
``market.barriers`` for the rows it acted on. A trade's result is booked at its exit bar. Every call starts flat.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from learning.panel import Panel
from market.candles import Floats, Ints
from registry.policy import DecisionPolicy
from serving.decision import HistoryDecisions, decide_history
from serving.market_facts import MarketFacts

__all__ = [
    "DenseMarket",
    "TradeTable",
    "booked_returns",
    "decide",
    "dense_market",
    "dense_probabilities",
    "equity_curve",
    "join_trades",
    "trades_at",
    "trades_of",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseMarket:
    """Panel rows laid out as ``T`` consecutive bars by ``S`` symbols.

    ``row (T, S) int64`` is the panel row of a cell, -1 where there is none; ``eligible (T, S)``; ``facts`` NaN or
    unknown where not eligible; ``exit_index`` and ``net`` ``(T, S, 2)``.
    """

    first_index: int
    row: Ints
    eligible: NDArray[np.bool_]
    facts: MarketFacts
    exit_index: Ints
    net: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradeTable:
    """Trades ``(k,)`` in order of decision: what was done, when, and what it netted.

    ``bar_index`` is the decision bar, entry is at the open of ``entry_index``, exit in ``exit_index`` (-1 while
    unresolved). ``side`` +1 or -1; ``size`` a fraction of equity; ``net``, ``gross`` and ``funding`` fractions of the
    entry notional (NaN while unresolved); ``barrier`` a ``market.barriers.Barrier``; ``confidence`` 0..1, NaN for
    rules without one.
    """

    symbol_id: NDArray[np.int32]
    bar_index: Ints
    side: NDArray[np.int8]
    size: Floats
    entry_index: Ints
    exit_index: Ints
    net: Floats
    gross: Floats
    funding: Floats
    barrier: NDArray[np.int8]
    confidence: Floats

    def __len__(self) -> int:
        """Number of trades, unresolved ones included."""
        return int(self.bar_index.size)

    @property
    def resolved(self) -> NDArray[np.bool_]:
        """``(k,)`` which trades have ended."""
        return self.exit_index >= 0

    @property
    def results(self) -> Floats:
        """Size times net of the resolved trades: fractions of equity."""
        done = self.resolved
        return self.size[done] * self.net[done]


def dense_market(panel: Panel, rows: Ints, *, first_index: int, end_index: int) -> DenseMarket:
    """Lay ``rows`` of the panel out over bars ``first_index`` to ``end_index`` (exclusive)."""
    shape = (end_index - first_index, len(panel.symbols))
    at = (panel.bar_index[rows] - first_index, panel.symbol_id[rows])
    row = np.full(shape, -1, dtype=np.int64)
    row[at] = rows
    exit_index = np.full((*shape, 2), -1, dtype=np.int64)
    exit_index[at] = panel.exit_index[rows]
    net = np.full((*shape, 2), np.nan)
    net[at] = panel.net[rows]
    facts = MarketFacts(
        volatility=np.full(shape, np.nan), regime=np.zeros(shape, np.int8), correlation=np.full(shape, np.nan)
    )
    facts.volatility[at] = panel.volatility[rows]
    facts.regime[at] = panel.regime[rows]
    facts.correlation[at] = panel.correlation[rows]
    return DenseMarket(first_index=first_index, row=row, eligible=row >= 0, facts=facts, exit_index=exit_index, net=net)


def dense_probabilities(market: DenseMarket, rows: Ints, probabilities: Floats) -> Floats:
    """``(M, n, 3)`` probabilities of ascending panel ``rows`` as ``(T, S, M, 3)``, NaN where a cell has no row."""
    out = np.full((*market.row.shape, probabilities.shape[0], 3), np.nan)
    cells = market.row >= 0
    out[cells] = probabilities.transpose(1, 0, 2)[np.searchsorted(rows, market.row[cells])]
    return out


def decide(policy: DecisionPolicy, weights: Floats, market: DenseMarket, probabilities: Floats) -> HistoryDecisions:
    """The serving decision over the whole layout; ``probabilities (T, S, M, 3)``, ``weights (M,)``."""
    return decide_history(
        policy,
        weights,
        first_index=market.first_index,
        probabilities=probabilities,
        eligible=market.eligible,
        facts=market.facts,
        exit_index=market.exit_index,
        net=market.net,
    )


def trades_of(decisions: HistoryDecisions, market: DenseMarket, panel: Panel) -> TradeTable:
    """The trades that were said; what the guard or a loss limit kept back is in the book alone."""
    acted = decisions.size > 0.0
    return trades_at(
        panel,
        market.row[acted],
        column=decisions.action[acted].astype(np.int64) - 1,
        size=decisions.size[acted],
        confidence=decisions.confidence[acted],
    )


def trades_at(panel: Panel, rows: Ints, *, column: Ints, size: Floats, confidence: Floats) -> TradeTable:
    """Trades on these panel rows, all ``(k,)``; ``column`` 0 long, 1 short."""
    return TradeTable(
        symbol_id=panel.symbol_id[rows],
        bar_index=panel.bar_index[rows],
        side=np.where(column == 0, 1, -1).astype(np.int8),
        size=size,
        entry_index=panel.bar_index[rows] + 1,
        exit_index=panel.exit_index[rows, column],
        net=panel.net[rows, column],
        gross=panel.gross[rows, column],
        funding=panel.funding[rows, column],
        barrier=panel.barrier[rows, column],
        confidence=confidence,
    )


def join_trades(tables: Sequence[TradeTable]) -> TradeTable:
    """Trades of consecutive windows as one table."""
    columns = {
        field.name: np.concatenate([getattr(table, field.name) for table in tables]) for field in fields(TradeTable)
    }
    return TradeTable(**columns)


def booked_returns(trades: TradeTable, *, first_index: int, end_index: int) -> Floats:
    """``(T,)`` size times net, booked at exit bars ``first_index`` to ``end_index`` (exclusive)."""
    out = np.zeros(end_index - first_index)
    np.add.at(out, trades.exit_index[trades.resolved] - first_index, trades.results)
    return out


def equity_curve(bar_returns: Floats) -> Floats:
    """``(T,)`` equity after each bar: 1 plus the sum of bar returns; sizes are of the starting equity."""
    curve: Floats = 1.0 + np.cumsum(bar_returns)
    return curve
