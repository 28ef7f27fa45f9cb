"""Which signals have been said since, in the order they were said?

The one way in which signals leave the database: the HTTP interface, its stream and the sinks all read here, in order
of ids, and an id is visible only when every smaller one is (``serving.store``). So a reader that remembers the last
id it was given misses nothing and is given nothing twice. Reads only.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, Select, func, select

from infra.tables import predictions, signals
from market.timeframe import as_utc
from registry.policy import Action
from serving.states import CAUSES

__all__ = ["LIVE_RUN", "Signal", "newest_signal_id", "read_signals"]

LIVE_RUN = "live"
"""The run under which the worker serves bars as they close; every other one is a replay of the past."""


class Signal(BaseModel):
    """What was said of one market at one bar, or why nothing was, and what it goes back to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(description="Row of the signal; larger is later, and a signal keeps its id for ever")
    model_name: str
    symbol: str = Field(description="As the venue spells it")
    bar_ms: int = Field(description="Open time of the bar, ms UTC")
    bar: str = Field(description="The same, readable, UTC")
    state: Literal["FULL", "LAST_GOOD", "FLAT", "HALT"] = Field(description="Only FULL and LAST_GOOD open positions")
    reason: str = Field(description="ok, or the reason code of docs/fail-closed.md")
    meaning: str = Field(description="The reason in words")
    action: Literal["HOLD", "BUY", "SELL"]
    confidence: float | None = Field(description="0..1; null where nothing was decided")
    size: float | None = Field(description="Fraction of equity; null where nothing was decided")
    bundle_hash: str | None = Field(description="The sealed bundle that decided; null where none served")
    version: int | None = Field(description="Its registered version")
    contract: str | None = Field(description="Fingerprint of the features predicted on; null without a prediction")
    probabilities: tuple[float, ...] | None = Field(description="Of the ensemble: HOLD, BUY, SELL")
    model_probabilities: tuple[tuple[float, ...], ...] | None = Field(description="The same of each model")
    votes: tuple[int, ...] | None = Field(description="Of each model: 0 HOLD, 1 BUY, 2 SELL, -1 left out")
    output_hash: str | None = Field(description="Hash over what was predicted")
    run: str = Field(description="live, or the name of a replay of the past")
    decided_at: datetime = Field(description="When it was written, by the database's clock")
    latency_ms: int | None = Field(description="From the bar's close until then; null in a replay")
    steps: dict[str, Any] = Field(description="What each step of the decision did")


def read_signals(
    connection: Connection,
    *,
    model_name: str,
    timeframe_ms: int,
    after_id: int,
    limit: int,
    since_ms: int | None = None,
    symbol: str | None = None,
    run: str | None = None,
    up_to_id: int | None = None,
) -> tuple[Signal, ...]:
    """The first ``limit`` signals with ``id > after_id``, by id; only bars from ``since_ms``, one symbol or run."""
    query = _query(model_name).where(signals.c.id > after_id)
    if since_ms is not None:
        query = query.where(signals.c.bar_ms >= since_ms)
    if symbol is not None:
        query = query.where(signals.c.symbol == symbol)
    if run is not None:
        query = query.where(signals.c.run == run)
    if up_to_id is not None:
        query = query.where(signals.c.id <= up_to_id)
    rows = connection.execute(query.order_by(signals.c.id).limit(limit))
    return tuple(_signal(row, timeframe_ms) for row in rows)


def newest_signal_id(connection: Connection) -> int:
    """The largest id that can be read now, whatever its model; 0 before the first signal."""
    return int(connection.scalar(select(func.max(signals.c.id))) or 0)


def _query(model_name: str) -> Select[Any]:
    same = (
        (predictions.c.bundle_hash == signals.c.bundle_hash)
        & (predictions.c.symbol == signals.c.symbol)
        & (predictions.c.bar_ms == signals.c.bar_ms)
    )
    names = ("contract", "probabilities", "model_probabilities", "votes", "output_hash")
    return (
        select(signals, *(predictions.c[name] for name in names))
        .join_from(signals, predictions, same, isouter=True)
        .where(signals.c.model_name == model_name)
    )


def _signal(row: Row[Any], timeframe_ms: int) -> Signal:
    cause = CAUSES.get(row.reason)
    late_ms = int(row.decided_at.timestamp() * 1000) - row.bar_ms - timeframe_ms
    return Signal.model_validate(
        {
            "id": row.id,
            "model_name": row.model_name,
            "symbol": row.symbol,
            "bar_ms": row.bar_ms,
            "bar": as_utc(row.bar_ms),
            "state": row.state,
            "reason": row.reason,
            "meaning": "unknown" if cause is None else cause.meaning,
            "action": Action(row.action).name,
            "confidence": _finite(row.confidence),
            "size": _finite(row.size),
            "bundle_hash": row.bundle_hash,
            "version": row.version,
            "contract": row.contract,
            "probabilities": _numbers(row.probabilities),
            "model_probabilities": _by_model(row.model_probabilities),
            "votes": None if row.votes is None else tuple(row.votes),
            "output_hash": row.output_hash,
            "run": row.run,
            "decided_at": row.decided_at,
            "latency_ms": late_ms if row.run == LIVE_RUN else None,
            "steps": row.steps,
        }
    )


def _by_model(values: Sequence[float] | None) -> tuple[tuple[float, ...], ...] | None:
    return None if values is None else tuple(tuple(values[k : k + 3]) for k in range(0, len(values), 3))


def _numbers(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


def _finite(value: float | None) -> float | None:
    """Neither NaN nor infinity is a number in JSON: both mean that nothing is known."""
    return value if value is not None and math.isfinite(value) else None
