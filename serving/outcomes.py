"""What would both sides have earned from each bar that was predicted on?

Once the horizon of a valid feature row is over, both sides are simulated by ``market.barriers`` with the ATR and
volatility that were known then (read from the stored feature bytes) and classed by ``market.label_rule``: the same rule
as the labels of training. A row whose bars or funding are still missing stays open and is tried again the next time.
Outcomes are written once and never changed.
"""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Engine, select

from features.contract import FeatureContract
from infra.lake import Lake
from infra.tables import feature_rows, outcomes
from market.barriers import BarrierSpec, TradeOutcomes, simulate_trades
from market.candles import Floats, Ints
from market.label_rule import UNRESOLVED, label_classes
from market.timeframe import Timeframe
from serving.lake_inputs import known_path

__all__ = ["OutcomeCount", "resolve_outcomes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCount:
    """Rows whose outcome is now known, and rows that still wait (horizon not over, bars or funding missing)."""

    resolved: int
    waiting: int


def resolve_outcomes(
    engine: Engine,
    lake: Lake,
    *,
    label_spec: BarrierSpec,
    contract: FeatureContract,
    symbols: tuple[str, ...],
    start_index: int,
    end_index: int,
) -> OutcomeCount:
    """Resolve what can be resolved of the bars ``[start_index, end_index)``; safe to run twice."""
    timeframe = Timeframe(contract.timeframe_ms)
    resolved = waiting = 0
    for symbol in symbols:
        with engine.begin() as connection:
            index, atr, vol_ratio = _open_rows(
                connection, label_spec, contract, symbol, start_index=start_index, end_index=end_index
            )
            if index.size == 0:
                continue
            path = known_path(
                lake,
                symbol,
                timeframe,
                first_index=int(index[0]),
                end_index=int(index[-1]) + label_spec.horizon_bars + 1,
            )
            if path is None:
                waiting += index.size
                continue
            found = simulate_trades(path, index, atr_fraction=atr, vol_ratio=vol_ratio, spec=label_spec)
            label = label_classes(found.net, found.barrier)
            known = np.flatnonzero(label != UNRESOLVED)
            _write(connection, label_spec, symbol, timeframe, (index, label, found), known)
            resolved += known.size
            waiting += index.size - known.size
    return OutcomeCount(resolved=int(resolved), waiting=int(waiting))


def _open_rows(
    connection: Connection,
    spec: BarrierSpec,
    contract: FeatureContract,
    symbol: str,
    *,
    start_index: int,
    end_index: int,
) -> tuple[Ints, Floats, Floats]:
    """Bar indices, ATR fractions and volatility ratios of valid rows without an outcome, oldest first."""
    done = (
        select(outcomes.c.bar_ms)
        .where(
            outcomes.c.label_spec == spec.fingerprint,
            outcomes.c.symbol == symbol,
            outcomes.c.bar_ms == feature_rows.c.bar_ms,
        )
        .exists()
    )
    rows = connection.execute(
        select(feature_rows.c.bar_ms, feature_rows.c.features)
        .where(
            feature_rows.c.contract == contract.fingerprint,
            feature_rows.c.symbol == symbol,
            feature_rows.c.bar_ms >= start_index * contract.timeframe_ms,
            feature_rows.c.bar_ms < end_index * contract.timeframe_ms,
            feature_rows.c.reason == 0,
            ~done,
        )
        .order_by(feature_rows.c.bar_ms)
    ).all()
    index = np.array([row.bar_ms // contract.timeframe_ms for row in rows], dtype=np.int64)
    values = np.frombuffer(b"".join(row.features for row in rows), dtype="<f4").reshape(len(rows), len(contract.names))
    atr, ratio = (values[:, contract.index_of(name)].astype(np.float64) for name in ("atr_pct", "atr_ratio"))
    return index, atr, ratio


def _write(
    connection: Connection,
    spec: BarrierSpec,
    symbol: str,
    timeframe: Timeframe,
    found: tuple[Ints, np.ndarray, TradeOutcomes],
    known: Ints,
) -> None:
    if known.size == 0:
        return
    index, label, trades = found
    connection.exec_driver_sql(
        "INSERT INTO outcomes (label_spec, symbol, bar_ms, label, net_long, net_short, exit_ms) "
        "SELECT %(spec)s, %(symbol)s, given.* FROM unnest(%(bar_ms)s::bigint[], %(label)s::smallint[], "
        "%(net_long)s::float8[], %(net_short)s::float8[], %(exit_ms)s::bigint[]) AS given ON CONFLICT DO NOTHING",
        {
            "spec": spec.fingerprint,
            "symbol": symbol,
            "bar_ms": (index[known] * timeframe.ms).tolist(),
            "label": label[known].tolist(),
            "net_long": trades.net[known, 0].tolist(),
            "net_short": trades.net[known, 1].tolist(),
            "exit_ms": (trades.exit_index[known].max(axis=1) * timeframe.ms).tolist(),
        },
    )
