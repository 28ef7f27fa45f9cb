"""Which bars have been served already?

Read from the rows themselves, never from a note about them. A bar is served when every symbol has a signal and every
valid feature row on which a bundle decides has its prediction. The first bar that lacks something is where a run goes
on.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Connection, func, select

from infra.tables import feature_rows, predictions, signals
from registry.load import LoadedBundle
from serving.lineup import ServePlan, coverage_cause
from serving.states import OK

__all__ = ["first_unserved"]

_ROWS_AT_ONCE = 20_000


def first_unserved(
    connection: Connection, plan: ServePlan, bundles: Iterable[LoadedBundle], *, start_index: int, end_index: int
) -> int:
    """The first bar of ``[start_index, end_index)`` that is not wholly served; ``end_index`` when all are."""
    step = plan.contract.timeframe_ms
    lo, hi = start_index * step, end_index * step
    bars = connection.scalars(
        select(signals.c.bar_ms)
        .where(
            signals.c.model_name == plan.model_name,
            signals.c.bar_ms >= lo,
            signals.c.bar_ms < hi,
            signals.c.symbol.in_(plan.symbols),
        )
        .group_by(signals.c.bar_ms)
        .having(func.count() == len(plan.symbols))
        .order_by(signals.c.bar_ms)
    ).all()
    first = next((start_index + k for k, bar_ms in enumerate(bars) if bar_ms != lo + k * step), start_index + len(bars))
    for bundle in bundles:
        missing = _first_unpredicted(connection, plan, bundle, lo=lo, hi=first * step)
        first = first if missing is None else min(first, missing // step)
    return first


def _first_unpredicted(
    connection: Connection, plan: ServePlan, bundle: LoadedBundle, *, lo: int, hi: int
) -> int | None:
    """Open time of the first valid feature row this bundle decides on and has no prediction for."""
    symbols: Sequence[str] = [symbol for symbol in plan.symbols if coverage_cause(bundle, symbol) == OK]
    done = (
        select(predictions.c.id)
        .where(
            predictions.c.bundle_hash == bundle.hash,
            predictions.c.symbol == feature_rows.c.symbol,
            predictions.c.bar_ms == feature_rows.c.bar_ms,
        )
        .exists()
    )
    query = (
        select(feature_rows.c.bar_ms, feature_rows.c.features)
        .where(
            feature_rows.c.contract == plan.contract_id,
            feature_rows.c.symbol.in_(symbols),
            feature_rows.c.bar_ms >= lo,
            feature_rows.c.bar_ms < hi,
            feature_rows.c.reason == 0,
            ~done,
        )
        .order_by(feature_rows.c.bar_ms)
    )
    for rows in connection.execute(query).partitions(_ROWS_AT_ONCE):
        X = np.frombuffer(b"".join(row.features for row in rows), dtype="<f4").reshape(len(rows), -1)
        bar_ms = np.array([row.bar_ms for row in rows], dtype=np.int64)
        events = bundle.sides(X.astype(np.float32, copy=False), bar_ms // plan.contract.timeframe_ms).any(axis=1)
        if events.any():
            return int(bar_ms[np.argmax(events)])
    return None
