"""Are the features that were served the features that batch computes?

Every stored row is recomputed by the batch kernel from the lake's public reads and compared byte for byte. A stretch of
rows is first compared as of its newest decision; rows that differ there are looked at again in halves, down to the very
moment each was decided, so a later revision is no mismatch and a real one is not excused. The target is 100 %.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from sqlalchemy import Connection, Engine, Row, insert, select

from features.batch import compute_features
from features.contract import FeatureContract
from infra.lake import Lake
from infra.tables import feature_rows, parity_runs
from serving.lake_inputs import batch_inputs

__all__ = ["Mismatch", "ParityResult", "parity_audit", "record_parity"]

_MOST_LOOKS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """The first value that differs; ``feature`` is ``(reason)`` when only the reason does, None stands for NaN."""

    symbol: str
    bar_ms: int
    feature: str
    stored: float | None
    recomputed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityResult:
    """How many served rows were recomputed, how many came out the same, and the first that did not."""

    contract: str
    first_ms: int
    last_ms: int
    rows: int
    identical: int
    first_mismatch: Mismatch | None


@dataclass(slots=True)
class _Looks:
    left: int = _MOST_LOOKS


def parity_audit(
    engine: Engine,
    lake: Lake,
    *,
    contract: FeatureContract,
    first_index: int,
    last_index: int,
    as_of_ms: int | None = None,
) -> ParityResult:
    """Recompute the served rows of the bars ``first_index`` to ``last_index``, both included.

    Each is recomputed as of its own decision, or as of ``as_of_ms`` when given.
    """
    step = contract.timeframe_ms
    rows = identical = 0
    first: Mismatch | None = None
    with engine.connect() as connection:
        for symbol in _symbols(connection, contract, first_index * step, last_index * step):
            stored = _stored(connection, contract, symbol, first_index * step, last_index * step)
            looks = _Looks()
            wrong: list[Mismatch] = []
            for part in _blocks(stored, contract):
                wrong += _differing(lake, contract, symbol, part, looks, as_of_ms=as_of_ms)
            rows += len(stored)
            identical += len(stored) - len(wrong)
            if wrong and (first is None or wrong[0].bar_ms < first.bar_ms):
                first = wrong[0]
    return ParityResult(
        contract=contract.fingerprint,
        first_ms=first_index * step,
        last_ms=last_index * step,
        rows=rows,
        identical=identical,
        first_mismatch=first,
    )


def record_parity(engine: Engine, result: ParityResult, *, model_name: str) -> None:
    """Keep an audit in ``parity_runs``."""
    values = asdict(result)
    with engine.begin() as connection:
        connection.execute(insert(parity_runs).values(model_name=model_name, **values))


def _symbols(connection: Connection, contract: FeatureContract, lo: int, hi: int) -> Sequence[str]:
    return connection.scalars(
        select(feature_rows.c.symbol)
        .where(feature_rows.c.contract == contract.fingerprint, feature_rows.c.bar_ms.between(lo, hi))
        .distinct()
        .order_by(feature_rows.c.symbol)
    ).all()


def _stored(
    connection: Connection, contract: FeatureContract, symbol: str, lo: int, hi: int
) -> Sequence[Row[tuple[int, bytes, int, int]]]:
    return connection.execute(
        select(feature_rows.c.bar_ms, feature_rows.c.features, feature_rows.c.reason, feature_rows.c.known_at_ms)
        .where(
            feature_rows.c.contract == contract.fingerprint,
            feature_rows.c.symbol == symbol,
            feature_rows.c.bar_ms.between(lo, hi),
        )
        .order_by(feature_rows.c.bar_ms)
    ).all()


def _blocks(
    stored: Sequence[Row[tuple[int, bytes, int, int]]], contract: FeatureContract
) -> list[Sequence[Row[tuple[int, bytes, int, int]]]]:
    """The rows cut at block boundaries: a block is recomputed from its own warm-up."""
    number = [row.bar_ms // contract.timeframe_ms // contract.block_bars for row in stored]
    edges = [0, *(i for i in range(1, len(number)) if number[i] != number[i - 1]), len(number)]
    return [stored[lo:hi] for lo, hi in pairwise(edges) if hi > lo]


def _differing(
    lake: Lake,
    contract: FeatureContract,
    symbol: str,
    rows: Sequence[Row[tuple[int, bytes, int, int]]],
    looks: _Looks,
    *,
    as_of_ms: int | None,
) -> list[Mismatch]:
    """The rows that differ when each is recomputed as of its own decision, oldest first."""
    looks.left -= 1
    moment = max(row.known_at_ms for row in rows) if as_of_ms is None else as_of_ms
    wrong = _compare(lake, contract, symbol, rows, moment)
    if not wrong or len(rows) == 1 or as_of_ms is not None or looks.left <= 0:
        return [mismatch for _, mismatch in wrong]
    suspects = [rows[k] for k, _ in wrong]
    if len(suspects) == 1:
        return _differing(lake, contract, symbol, suspects, looks, as_of_ms=None)
    half = len(suspects) // 2
    return [
        *_differing(lake, contract, symbol, suspects[:half], looks, as_of_ms=None),
        *_differing(lake, contract, symbol, suspects[half:], looks, as_of_ms=None),
    ]


def _compare(
    lake: Lake,
    contract: FeatureContract,
    symbol: str,
    rows: Sequence[Row[tuple[int, bytes, int, int]]],
    as_of_ms: int,
) -> list[tuple[int, Mismatch]]:
    step = contract.timeframe_ms
    first, end = rows[0].bar_ms // step, rows[-1].bar_ms // step + 1
    inputs = batch_inputs(lake, symbol, contract, first_index=first, end_index=end, as_of_ms=as_of_ms)
    width = len(contract.names)
    values = np.full((end - first, width), np.nan, dtype="<f4")
    reason = np.full(end - first, -1, dtype=np.int64)
    if inputs is not None:
        block = compute_features(
            inputs, contract, start_index=max(first, inputs.first_index), end_index=inputs.end_index
        )
        at = block.first_index - first
        values[at : at + block.values.shape[0]] = block.values
        reason[at : at + block.values.shape[0]] = block.reason
    wrong = []
    for k, row in enumerate(rows):
        at = row.bar_ms // step - first
        if row.features != values[at].tobytes() or row.reason != reason[at]:
            wrong.append((k, _mismatch(contract, symbol, row, values[at], int(reason[at]))))
    return wrong


def _mismatch(
    contract: FeatureContract, symbol: str, row: Row[tuple[int, bytes, int, int]], again: np.ndarray, reason: int
) -> Mismatch:
    stored = np.frombuffer(row.features, dtype="<f4")
    if stored.size != again.size:
        return Mismatch(symbol=symbol, bar_ms=row.bar_ms, feature="(width)", stored=stored.size, recomputed=again.size)
    differs = np.flatnonzero(stored.view("<u4") != again.view("<u4"))
    if differs.size == 0:
        return Mismatch(symbol=symbol, bar_ms=row.bar_ms, feature="(reason)", stored=row.reason, recomputed=reason)
    f = int(differs[0])
    return Mismatch(
        symbol=symbol,
        bar_ms=row.bar_ms,
        feature=contract.names[f],
        stored=_number(float(stored[f])),
        recomputed=_number(float(again[f])),
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
