"""What had one bundle done before a bar? Its decision state and ledger, put back from PostgreSQL.

Value for value what a process that never stopped would hold: open positions, the supervisor's recent actions,
cool-downs, and the record of closed trades in the order in which they were settled. Later rows are ignored, so a replay
that starts again inside its range decides as it did the first time.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, and_, select, true

from infra.tables import paper_trades, predictions
from registry.policy import DecisionPolicy
from serving.decision_state import DecisionState, new_state, recall_trades, resume
from serving.ledger import Ledger
from serving.records import PaperTrade

__all__ = ["recall_state"]


def recall_state(
    connection: Connection,
    ledger: Ledger,
    policy: DecisionPolicy,
    symbols: Sequence[str],
    *,
    before_index: int,
    resumed_ms: int | None = None,
    of: Sequence[str] | None = None,
) -> DecisionState:
    """Fill ``ledger`` and a decision state with what this bundle had done before bar ``before_index``.

    ``resumed_ms``: when a person last released the halt switch, from where its drawdown is counted; None in a replay.
    ``of``: the symbols whose rows count, where others are served elsewhere; None for all.
    """
    state = new_state(len(symbols), policy)
    row_of = {symbol: s for s, symbol in enumerate(symbols)}
    before_ms = ledger.timeframe.open_time(before_index)
    t = paper_trades.c
    ours = true() if of is None else t.symbol.in_(of)
    mine = (t.bundle_hash == ledger.bundle_hash, t.bar_ms < before_ms, ours)
    still_open = select(paper_trades).where(*mine, t.settled_ms.is_(None) | (t.settled_ms >= before_ms))
    ledger.open_trades.clear()
    for row in connection.execute(still_open.order_by(t.bar_ms)):
        trade = _trade(row)
        ledger.open_trades[trade.symbol, trade.bar_ms] = trade
        if trade.symbol in row_of:
            state.open_position(
                row_of[trade.symbol],
                side=trade.side,
                size=trade.book_size,
                said=trade.size,
                correlation=trade.correlation,
                until_index=trade.bar_ms // ledger.timeframe.ms + policy.horizon_bars,
            )
    ended = select(t.symbol, t.settled_ms, t.net, t.size, t.book_size).where(*mine, t.settled_ms < before_ms)
    _recall_record(connection.execute(ended).all(), ledger, policy, state, row_of, resumed_ms)
    state.remember(_recent_actions(connection, ledger.bundle_hash, policy, row_of, before_ms, of))
    return state


def _recall_record(
    rows: Sequence[Row[Any]],
    ledger: Ledger,
    policy: DecisionPolicy,
    state: DecisionState,
    row_of: Mapping[str, int],
    resumed_ms: int | None,
) -> None:
    """Closed trades as they were settled: by bar, then by symbol."""
    timeframe = ledger.timeframe
    ordered = sorted(rows, key=lambda row: (row.settled_ms, row_of.get(row.symbol, len(row_of)), row.symbol))
    bars = np.array([row.settled_ms // timeframe.ms for row in ordered], dtype=np.int64)
    net = np.array([np.nan if row.net is None else row.net for row in ordered], dtype=np.float64)
    book, said = (np.array([getattr(row, name) for row in ordered]) * net for name in ("book_size", "size"))
    before = bars.size
    if resumed_ms is not None:
        before = int(np.searchsorted(bars, timeframe.index_of(resumed_ms)))
    recall_trades(policy, state, bars=bars[:before], book=book[:before], said=said[:before])
    if resumed_ms is not None:
        resume(state)
    recall_trades(policy, state, bars=bars[before:], book=book[before:], said=said[before:])
    if policy.cooldown_bars:
        for row, bar in zip(ordered, bars.tolist(), strict=True):
            if row.symbol in row_of:
                state.free_from[row_of[row.symbol]] = bar + 1 + policy.cooldown_bars


def _recent_actions(
    connection: Connection,
    bundle_hash: str,
    policy: DecisionPolicy,
    row_of: Mapping[str, int],
    before_ms: int,
    of: Sequence[str] | None,
) -> Any:
    """The last actions in the order they were considered: by bar, then confidence, then symbol."""
    t, p = paper_trades.c, predictions.c
    rows = connection.execute(
        select(t.bar_ms, p.confidence, t.symbol, p.action)
        .join(predictions, and_(p.bundle_hash == t.bundle_hash, p.symbol == t.symbol, p.bar_ms == t.bar_ms))
        .where(t.bundle_hash == bundle_hash, t.bar_ms < before_ms, true() if of is None else t.symbol.in_(of))
        .order_by(t.bar_ms.desc())
        .limit(policy.supervisor_window + policy.max_positions)
    ).all()
    ordered = sorted(rows, key=lambda row: (row.bar_ms, -row.confidence, row_of.get(row.symbol, len(row_of))))
    return np.array([row.action for row in ordered], dtype=np.int8)


def _trade(row: Row[Any]) -> PaperTrade:
    return PaperTrade(
        bundle_hash=row.bundle_hash,
        symbol=row.symbol,
        bar_ms=row.bar_ms,
        contract=row.contract,
        label_spec=row.label_spec,
        side=row.side,
        size=row.size,
        book_size=row.book_size,
        correlation=row.correlation,
        atr_fraction=row.atr_fraction,
        vol_ratio=row.vol_ratio,
        entry_ms=row.entry_ms,
    )
