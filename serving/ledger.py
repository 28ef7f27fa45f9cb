"""Which paper positions are open, and how did the others end?

Every bundle has a ledger of its own, champion and challengers alike. A trade decided at bar t enters at the open of bar
t+1 and ends by ``market.barriers`` on the bars known so far; nothing else ends it. A trade that cannot be resolved when
its horizon is over (the entry bar is missing, or funding is unknown) is written off as unresolved, without a return.
A ledger is rebuilt from PostgreSQL at any bar, so a restart forgets nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, select

from infra.tables import paper_trades, predictions
from market.barriers import Barrier, BarrierSpec, PricePath, Side, simulate_trades
from market.timeframe import Timeframe
from registry.policy import DecisionPolicy
from serving.decision import DecisionState, close_position, new_state
from serving.records import PaperExit, PaperTrade

__all__ = ["Ledger", "PathAt", "close_ended", "open_symbols", "recall_state"]

PathAt = Callable[[str, int], PricePath | None]
"""(symbol, first bar) -> the bars from there to the current one, or None."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The open paper trades of one bundle, by symbol and bar of decision."""

    bundle_hash: str
    spec: BarrierSpec
    timeframe: Timeframe
    open_trades: dict[tuple[str, int], PaperTrade] = field(default_factory=dict)

    def open(self, symbol: str, index: int, *, side: Side, size: float, atr: float, vol_ratio: float) -> PaperTrade:
        """A position decided at bar ``index``."""
        trade = PaperTrade(
            bundle_hash=self.bundle_hash,
            symbol=symbol,
            bar_ms=self.timeframe.open_time(index),
            label_spec=self.spec.fingerprint,
            side=int(side),
            size=size,
            atr_fraction=atr,
            vol_ratio=vol_ratio,
            entry_ms=self.timeframe.open_time(index + 1),
        )
        self.open_trades[symbol, trade.bar_ms] = trade
        return trade

    def settle(self, index: int, path_at: PathAt) -> list[PaperExit]:
        """The trades that ended at or before the close of bar ``index``; they leave the ledger."""
        ended = []
        for key, trade in list(self.open_trades.items()):
            decided = trade.bar_ms // self.timeframe.ms
            if decided >= index:
                continue
            found = self._exit(trade, decided, path_at(trade.symbol, decided))
            if found is None and index >= decided + self.spec.horizon_bars:
                found = self._record(trade, decided + self.spec.horizon_bars, None, Barrier.UNRESOLVED)
            if found is not None:
                ended.append(found)
                del self.open_trades[key]
        return ended

    def _exit(self, trade: PaperTrade, decided: int, path: PricePath | None) -> PaperExit | None:
        if path is None:
            return None
        outcome = simulate_trades(
            path,
            np.array([decided], dtype=np.int64),
            atr_fraction=np.array([trade.atr_fraction]),
            vol_ratio=np.array([trade.vol_ratio]),
            spec=self.spec,
        )
        column = 0 if trade.side == Side.LONG else 1
        barrier = Barrier(int(outcome.barrier[0, column]))
        if barrier is Barrier.UNRESOLVED:
            return None
        returns = tuple(float(values[0, column]) for values in (outcome.net, outcome.gross, outcome.funding))
        return self._record(trade, int(outcome.exit_index[0, column]), returns, barrier)

    def _record(
        self, trade: PaperTrade, exit_index: int, returns: tuple[float, ...] | None, barrier: Barrier
    ) -> PaperExit:
        net, gross, funding = returns if returns is not None else (None, None, None)
        return PaperExit(
            bundle_hash=trade.bundle_hash,
            symbol=trade.symbol,
            bar_ms=trade.bar_ms,
            exit_ms=self.timeframe.open_time(exit_index),
            net=net,
            gross=gross,
            funding=funding,
            barrier=int(barrier),
        )


def open_symbols(engine: Engine, bundle_hash: str) -> tuple[str, ...]:
    """The markets in which this bundle holds a paper position, sorted."""
    held = select(paper_trades.c.symbol).where(
        paper_trades.c.bundle_hash == bundle_hash, paper_trades.c.exit_ms.is_(None)
    )
    with engine.connect() as connection:
        return tuple(connection.scalars(held.distinct().order_by(paper_trades.c.symbol)))


def recall_state(
    connection: Connection, ledger: Ledger, policy: DecisionPolicy, symbols: Sequence[str], *, before_index: int
) -> DecisionState:
    """Fill ``ledger`` and a decision state with what this bundle had done before bar ``before_index``.

    Later rows are ignored, so a replay started again inside its range decides as it did the first time.
    """
    state = new_state(len(symbols), policy)
    row_of = {symbol: s for s, symbol in enumerate(symbols)}
    before_ms = ledger.timeframe.open_time(before_index)
    ledger.open_trades.clear()
    for row in connection.execute(
        select(paper_trades)
        .where(
            paper_trades.c.bundle_hash == ledger.bundle_hash,
            paper_trades.c.bar_ms < before_ms,
            (paper_trades.c.exit_ms.is_(None)) | (paper_trades.c.exit_ms >= before_ms),
        )
        .order_by(paper_trades.c.bar_ms)
    ):
        trade = _trade(row)
        ledger.open_trades[trade.symbol, trade.bar_ms] = trade
        if trade.symbol in row_of:
            until = trade.bar_ms // ledger.timeframe.ms + policy.horizon_bars
            state.open_position(row_of[trade.symbol], side=trade.side, size=trade.size, until_index=until)
    state.remember(_recent_actions(connection, ledger.bundle_hash, policy, row_of, before_ms))
    return state


def _recent_actions(
    connection: Connection, bundle_hash: str, policy: DecisionPolicy, row_of: dict[str, int], before_ms: int
) -> Any:
    """The last actions in the order they were considered: by bar, then confidence, then symbol."""
    rows = connection.execute(
        select(predictions.c.bar_ms, predictions.c.confidence, predictions.c.symbol, predictions.c.action)
        .where(predictions.c.bundle_hash == bundle_hash, predictions.c.bar_ms < before_ms, predictions.c.action != 0)
        .order_by(predictions.c.bar_ms.desc())
        .limit(policy.supervisor_window + policy.max_positions)
    ).all()
    ordered = sorted(rows, key=lambda row: (row.bar_ms, -row.confidence, row_of.get(row.symbol, len(row_of))))
    return np.array([row.action for row in ordered], dtype=np.int8)


def close_ended(state: DecisionState, ended: Sequence[PaperExit], row_of: dict[str, int]) -> None:
    """Tell the decision which positions are over."""
    for one in ended:
        if one.symbol in row_of:
            close_position(state, row_of[one.symbol])


def _trade(row: Row[Any]) -> PaperTrade:
    return PaperTrade(
        bundle_hash=row.bundle_hash,
        symbol=row.symbol,
        bar_ms=row.bar_ms,
        label_spec=row.label_spec,
        side=row.side,
        size=row.size,
        atr_fraction=row.atr_fraction,
        vol_ratio=row.vol_ratio,
        entry_ms=row.entry_ms,
    )
