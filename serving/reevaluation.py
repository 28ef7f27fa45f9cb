"""What do the models say now of the positions that are open?

Looked at each bar, at the probabilities of that bar; recorded, never acted upon: a position ends by the barriers it was
opened with, the same in labels, backtest and ledger. What an exit by opinion would have earned can be read from these
rows.
"""

from collections.abc import Mapping

import numpy as np

from market.candles import Floats
from market.timeframe import Timeframe
from registry.policy import Action, DecisionPolicy
from serving.ledger import Ledger, PathAt
from serving.records import PaperTrade, PositionCheck

__all__ = ["AGREES", "HOLDS", "OPPOSES", "UNKNOWN", "check_positions", "verdict_of"]

AGREES, HOLDS, OPPOSES, UNKNOWN = "agrees", "holds", "opposes", "unknown"


def verdict_of(policy: DecisionPolicy, side: int, probabilities: Floats | None) -> str:
    """What the ensemble's ``(3,)`` probabilities say of a position of this side (+1 long, -1 short)."""
    if probabilities is None or not np.isfinite(probabilities).all():
        return UNKNOWN
    buy, sell = probabilities[Action.BUY], probabilities[Action.SELL]
    votes_buy = buy > sell and buy >= policy.thresholds[0]
    votes_sell = sell > buy and sell >= policy.thresholds[1]
    if not votes_buy and not votes_sell:
        return HOLDS
    return AGREES if votes_buy == (side > 0) else OPPOSES


def check_positions(
    policy: DecisionPolicy, ledger: Ledger, index: int, probabilities: Mapping[str, Floats], path_at: PathAt
) -> list[PositionCheck]:
    """One row for each position opened before bar ``index``; ``probabilities`` by symbol, where there are any."""
    checks = []
    for trade in ledger.open_trades.values():
        decided = trade.bar_ms // ledger.timeframe.ms
        if decided >= index:
            continue
        now = probabilities.get(trade.symbol)
        checks.append(
            PositionCheck(
                bundle_hash=trade.bundle_hash,
                symbol=trade.symbol,
                bar_ms=trade.bar_ms,
                at_ms=ledger.timeframe.open_time(index),
                verdict=verdict_of(policy, trade.side, now),
                probabilities=None if now is None else (float(now[0]), float(now[1]), float(now[2])),
                gross=_unrealised(trade, ledger.timeframe, index, path_at),
            )
        )
    return checks


def _unrealised(trade: PaperTrade, timeframe: Timeframe, index: int, path_at: PathAt) -> float | None:
    """The price's change since the entry, by side; None where a price is missing."""
    path = path_at(trade.symbol, trade.bar_ms // timeframe.ms)
    entry = trade.entry_ms // timeframe.ms
    if path is None or index < entry or not path.real[entry - path.first_index]:
        return None
    price, now = path.open[entry - path.first_index], path.close[index - path.first_index]
    return float(trade.side * (now / price - 1.0))
