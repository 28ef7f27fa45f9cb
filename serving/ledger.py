"""Which paper positions are open, and how did the others end?

Every bundle has a ledger of its own, champion and challengers alike. A trade decided at bar t enters at the open of bar
t+1 and ends by ``market.barriers`` on the bars known so far; nothing else ends it. A trade that cannot be resolved when
its horizon is over (the entry bar is missing, or funding is unknown) is written off as unresolved, without a return.
A ledger is rebuilt from PostgreSQL at any bar (``serving.recall``), so a restart forgets nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple

import numpy as np
from sqlalchemy import Engine, select

from infra.tables import paper_trades
from market.barriers import Barrier, BarrierSpec, PricePath, Side, simulate_trades
from market.timeframe import Timeframe
from registry.policy import DecisionPolicy
from serving.decision_state import DecisionState, close_position
from serving.records import PaperExit, PaperTrade

__all__ = ["Ledger", "PathAt", "Sizes", "close_ended", "open_symbols"]

PathAt = Callable[[str, int], PricePath | None]
"""(symbol, first bar) -> the bars from there to the current one, or None."""


class _Exit(NamedTuple):
    at: int
    barrier: Barrier
    net: float | None
    gross: float | None
    funding: float | None


class Sizes(NamedTuple):
    """How much the book takes of a position, how much is said, and the market's correlation with the reference."""

    book: float
    said: float
    correlation: float


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The open paper trades of one bundle, by symbol and bar of decision."""

    bundle_hash: str
    contract: str
    spec: BarrierSpec
    timeframe: Timeframe
    open_trades: dict[tuple[str, int], PaperTrade] = field(default_factory=dict)

    def open(self, symbol: str, index: int, *, side: Side, sizes: Sizes, atr: float, vol_ratio: float) -> PaperTrade:
        """A position decided at bar ``index``."""
        trade = PaperTrade(
            bundle_hash=self.bundle_hash,
            symbol=symbol,
            bar_ms=self.timeframe.open_time(index),
            contract=self.contract,
            label_spec=self.spec.fingerprint,
            side=int(side),
            size=sizes.said,
            book_size=sizes.book,
            correlation=sizes.correlation,
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
                found = _Exit(decided + self.spec.horizon_bars, Barrier.UNRESOLVED, None, None, None)
            if found is not None:
                ended.append(self._record(trade, found, index))
                del self.open_trades[key]
        return ended

    def _exit(self, trade: PaperTrade, decided: int, path: PricePath | None) -> _Exit | None:
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
        net, gross, funding = (float(values[0, column]) for values in (outcome.net, outcome.gross, outcome.funding))
        return _Exit(int(outcome.exit_index[0, column]), barrier, net, gross, funding)

    def _record(self, trade: PaperTrade, found: _Exit, index: int) -> PaperExit:
        return PaperExit(
            bundle_hash=trade.bundle_hash,
            symbol=trade.symbol,
            bar_ms=trade.bar_ms,
            exit_ms=self.timeframe.open_time(found.at),
            settled_ms=self.timeframe.open_time(index),
            net=found.net,
            gross=found.gross,
            funding=found.funding,
            barrier=int(found.barrier),
        )


def open_symbols(engine: Engine, bundle_hash: str) -> tuple[str, ...]:
    """The markets in which this bundle holds a paper position, sorted."""
    held = select(paper_trades.c.symbol).where(
        paper_trades.c.bundle_hash == bundle_hash, paper_trades.c.exit_ms.is_(None)
    )
    with engine.connect() as connection:
        return tuple(connection.scalars(held.distinct().order_by(paper_trades.c.symbol)))


def close_ended(
    policy: DecisionPolicy, state: DecisionState, ended: Sequence[PaperExit], row_of: Mapping[str, int], *, index: int
) -> None:
    """Tell the decision which positions are over, in the order of the symbols, as a history does."""
    mine = [one for one in ended if one.symbol in row_of]
    for one in sorted(mine, key=lambda one: row_of[one.symbol]):
        close_position(policy, state, row_of[one.symbol], bar_index=index, net=nan if one.net is None else one.net)
