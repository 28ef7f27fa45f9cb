"""Where did the score come from: which market, which month, which regime?

Groups of the stored out-of-fold rows and trades. A trade belongs to the group of its decision. Rows, trades, costs and
net returns of the groups of one kind add up to the whole; a number that a group cannot have is None.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learning.evaluation import ScoredRows
from learning.judged import JudgedTrades
from learning.metrics import hit_rate, log_loss, profit_factor
from learning.regimes import TREND, VOLATILITY
from market.candles import Floats, Ints

__all__ = ["Group", "breakdown", "cost_share"]

Group = dict[str, object]
_UNKNOWN = "unknown"


def breakdown(
    rows: ScoredRows, trades: JudgedTrades, *, symbols: Sequence[str], timeframe_ms: int
) -> dict[str, list[Group]]:
    """Groups by ``symbol``, ``month`` (UTC), ``volatility`` and ``trend``; JSON-ready.

    Each has ``name``, ``rows``, ``log_loss`` and ``climatology_log_loss`` (nats), ``trades`` and ``unresolved``,
    ``net_return``, ``costs`` (fractions of equity), ``cost_share``, ``hit_rate`` and ``profit_factor``.
    """
    table = trades.table
    months, row_month, trade_month = _months(rows.bar_index, table.bar_index, timeframe_ms)
    kinds: dict[str, tuple[Sequence[str], NDArray[np.integer], NDArray[np.integer]]] = {
        "symbol": (tuple(symbols), rows.symbol_id, table.symbol_id),
        "month": (months, row_month, trade_month),
        "volatility": (VOLATILITY, rows.regimes.volatility, trades.regimes.volatility),
        "trend": (TREND, rows.regimes.trend, trades.regimes.trend),
    }
    return {kind: _groups(rows, trades, *given) for kind, given in kinds.items()}


def cost_share(gross: Floats, net: Floats, size: Floats) -> float | None:
    """Fees, slippage and funding over the sum of what prices moved either way; None where they did not move."""
    moved = float(np.abs(size * gross).sum())
    return float((size * (gross - net)).sum()) / moved if moved > 0.0 else None


def _months(row_bar: Ints, trade_bar: Ints, timeframe_ms: int) -> tuple[tuple[str, ...], Ints, Ints]:
    in_rows, in_trades = (
        (bar * timeframe_ms).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        for bar in (row_bar, trade_bar)
    )
    seen, position = np.unique(np.concatenate((in_rows, in_trades)), return_inverse=True)
    names = tuple(np.datetime_as_string(seen.astype("datetime64[M]")).tolist())
    return names, position[: in_rows.size], position[in_rows.size :]


def _groups(
    rows: ScoredRows,
    trades: JudgedTrades,
    names: Sequence[str],
    of_row: NDArray[np.integer],
    of_trade: NDArray[np.integer],
) -> list[Group]:
    """One group a name that has rows or trades, in the order of the names, the unknown last."""
    found = []
    for code, name in (*enumerate(names), (-1, _UNKNOWN)):
        mine, traded = of_row == code, of_trade == code
        if mine.any() or traded.any():
            found.append(_group(name, rows, trades, mine, traded))
    return found


def _group(
    name: str, rows: ScoredRows, trades: JudgedTrades, mine: NDArray[np.bool_], traded: NDArray[np.bool_]
) -> Group:
    table, done = trades.table, traded & trades.table.resolved
    gross, net, size = table.gross[done], table.net[done], table.size[done]
    results, y = size * net, rows.y[mine]
    return {
        "name": name,
        "rows": int(y.size),
        "log_loss": log_loss(rows.ensemble[mine], y) if y.size else None,
        "climatology_log_loss": log_loss(rows.climatology[mine], y) if y.size else None,
        "trades": int(results.size),
        "unresolved": int((traded & ~table.resolved).sum()),
        "net_return": float(results.sum()),
        "costs": float((size * (gross - net)).sum()),
        "cost_share": cost_share(gross, net, size),
        "hit_rate": hit_rate(results),
        "profit_factor": profit_factor(results),
    }
