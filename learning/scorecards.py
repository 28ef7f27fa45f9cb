"""What is each bundle's scorecard, from stored predictions, outcomes and paper trades?

Reads only. A prediction counts, traded or not, when its outcome was known by the end of the window. A model's side is
its stored vote; the ensemble's is the side its votes agreed on, also where a later rule kept it back. Weights are never
learnt or written here: they change with a new bundle alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, select

from infra.tables import bundles, outcomes, paper_trades, predictions
from learning.scorecard import Forecasts, TradeScores, forecast_scores, trade_scores, windows_apart
from market.barriers import Barrier
from market.candles import Ints
from market.label_rule import UNRESOLVED, label_classes

__all__ = ["Scorecard", "read_scorecard", "scored_bundles"]

ENSEMBLE = "ensemble"
Sides = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """One bundle over one window: the ensemble first, then each model, and the paper trades of its book."""

    bundle_hash: str
    version: int
    forecasts: tuple[Forecasts, ...]
    trades: TradeScores


def scored_bundles(connection: Connection, model_name: str) -> tuple[str, ...]:
    """Bundles of a model that ever predicted, newest version first."""
    ever = select(predictions.c.id).where(predictions.c.bundle_hash == bundles.c.bundle_hash).exists()
    query = select(bundles.c.bundle_hash).where(bundles.c.model_name == model_name, ever)
    return tuple(connection.scalars(query.order_by(bundles.c.version.desc())))


def read_scorecard(
    connection: Connection, bundle_hash: str, *, since_ms: int, until_ms: int, model_names: Sequence[str] | None = None
) -> Scorecard | None:
    """The card over bars ``[since_ms, until_ms)`` whose exit lies before ``until_ms``; None for an unknown bundle.

    ``model_names`` in the order of the bundle; without them models are numbered.
    """
    b = bundles.c
    held = connection.execute(select(b.version, b.label_spec).where(b.bundle_hash == bundle_hash)).one_or_none()
    if held is None:
        return None
    rows = _resolved(connection, bundle_hash, held.label_spec, since_ms=since_ms, until_ms=until_ms)
    return Scorecard(
        bundle_hash=bundle_hash,
        version=held.version,
        forecasts=_forecasts(rows, model_names),
        trades=_trades(connection, bundle_hash, since_ms=since_ms, until_ms=until_ms),
    )


def agreed_side(votes: Sequence[int], steps: Mapping[str, Any], confidence: float) -> int:
    """The side the votes agreed on (1 BUY, 2 SELL), 0 where there was no consensus: then no confidence was stored."""
    if not isfinite(confidence):
        return 0
    weights = steps["weights"]
    behind = [sum(w for w, vote in zip(weights, votes, strict=True) if vote == side) for side in (1, 2)]
    return 1 if behind[0] > behind[1] else 2


def _resolved(
    connection: Connection, bundle_hash: str, label_spec: str, *, since_ms: int, until_ms: int
) -> Sequence[Row[Any]]:
    p, o = predictions.c, outcomes.c
    same_bar = and_(o.label_spec == label_spec, o.symbol == p.symbol, o.bar_ms == p.bar_ms)
    columns = (p.bar_ms, p.model_probabilities, p.probabilities, p.votes, p.confidence, p.steps)
    query = (
        select(*columns, o.net_long, o.net_short, o.exit_ms)
        .join_from(predictions, outcomes, same_bar)
        .where(p.bundle_hash == bundle_hash, p.bar_ms >= since_ms, p.bar_ms < until_ms, o.exit_ms < until_ms)
        .where(o.label >= 0)
        .order_by(p.bar_ms, p.symbol)
    )
    return connection.execute(query).all()


def _forecasts(rows: Sequence[Row[Any]], model_names: Sequence[str] | None) -> tuple[Forecasts, ...]:
    mean = np.array([row.probabilities for row in rows], dtype=np.float64).reshape(-1, 3)
    net = np.array([(row.net_long, row.net_short) for row in rows], dtype=np.float64).reshape(-1, 2)
    # A side that the primary rule had closed has probability zero, an open one never has.
    y = label_classes(net, np.full(net.shape, Barrier.TIME, dtype=np.int8), mean[:, 1:] > 0.0)
    known = y != UNRESOLVED
    kept = [row for row, ok in zip(rows, known.tolist(), strict=True) if ok]
    first, last = (np.array([getattr(row, name) for row in kept], dtype=np.int64) for name in ("bar_ms", "exit_ms"))
    apart = windows_apart(first, last)
    agreed = np.array([agreed_side(row.votes, row.steps, row.confidence) for row in kept], dtype=np.int64)
    made = [forecast_scores(ENSEMBLE, mean[known], y[known], agreed, independent=apart)]
    count = len(kept[0].votes) if kept else len(model_names or ())
    each = np.array([row.model_probabilities for row in kept], dtype=np.float64).reshape(len(kept), count, 3)
    votes = np.array([row.votes for row in kept], dtype=np.int64).reshape(len(kept), count)
    for m, name in enumerate(model_names or [f"model {m + 1}" for m in range(count)]):
        healthy = votes[:, m] >= 0
        windows: tuple[Ints, Ints] = (first[healthy], last[healthy])
        made.append(
            forecast_scores(
                name,
                each[healthy, m],
                y[known][healthy],
                votes[healthy, m],
                independent=windows_apart(*windows),
            )
        )
    return tuple(made)


def _trades(connection: Connection, bundle_hash: str, *, since_ms: int, until_ms: int) -> TradeScores:
    t = paper_trades.c
    query = select(t.bar_ms, t.exit_ms, t.net, t.book_size).where(
        t.bundle_hash == bundle_hash, t.bar_ms >= since_ms, t.exit_ms < until_ms
    )
    rows = connection.execute(query.order_by(t.exit_ms, t.symbol, t.bar_ms)).all()
    closed = [row for row in rows if row.net is not None]
    first, last = (np.array([getattr(row, name) for row in closed], dtype=np.int64) for name in ("bar_ms", "exit_ms"))
    return trade_scores(
        np.array([row.net for row in closed], dtype=np.float64),
        np.array([row.book_size for row in closed], dtype=np.float64),
        independent=windows_apart(first, last),
        unresolved=len(rows) - len(closed),
    )
