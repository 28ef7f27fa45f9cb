"""Which data was this trained on, exactly?

A snapshot id is a hash over the values that were read, symbol by symbol: candles, funding, open interest, and mark
prices and takers' shares where there are any. It does not depend on files, on when rows arrived or on who supplied
them: the same values anywhere give the same id, one changed bar gives another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from infra.lake_rows import Rows
from market.timeframe import Timeframe

__all__ = ["SYNTHETIC_SOURCE", "Snapshot", "is_synthetic_source", "snapshot_id"]

SYNTHETIC_SOURCE = "synthetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one read of the lake saw.

    ``rows`` counts candles; ``first_ms`` and ``last_ms`` are their first and last open times over all symbols (None
    where there are none); ``sources`` names who supplied any of the rows; ``synthetic`` whether any was made up.
    """

    id: str
    symbols: tuple[str, ...]
    timeframe: Timeframe
    rows: int
    first_ms: int | None
    last_ms: int | None
    synthetic: bool
    sources: tuple[str, ...]


def is_synthetic_source(source: str) -> bool:
    """Whether rows of this source are made up (``synthetic`` or ``synthetic:...``)."""
    return source.partition(":")[0] == SYNTHETIC_SOURCE


def snapshot_id(timeframe: Timeframe, parts: Iterable[tuple[str, str, Rows]]) -> str:
    """Hash of (kind, symbol, rows) in the order given; hex, 32 characters."""
    digest = sha256(f"lockstep snapshot 1 {timeframe.name}\n".encode())
    for kind, symbol, rows in parts:
        digest.update(f"{kind} {symbol} {len(rows)}\n".encode())
        for column in _columns(rows):
            digest.update(column)
    return digest.hexdigest()[:32]


def _columns(rows: Rows) -> list[bytes]:
    """Column bytes, little-endian whatever the machine."""
    floats = [np.ascontiguousarray(column, dtype="<f8").tobytes() for column in rows.values]
    return [np.ascontiguousarray(rows.time, dtype="<i8").tobytes(), *floats]
