"""Does a bundle still tell bars apart?

A model that answers the same to every market and every bar has stopped being one, however sure it sounds: its input is
stuck, or it never learnt anything. Bundles are probed for this when they load (``registry.load``); here the answers
that were served are watched. Each bundle has a short memory of them, filled from PostgreSQL at the start of a run.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Connection, select

from infra.tables import predictions
from market.candles import Floats
from serving.records import PredictionRow

__all__ = ["EPSILON", "OutputRing", "all_alike", "recall_outputs"]

EPSILON = 1e-9
"""Answers closer than this in every class are one answer."""


def all_alike(outputs: Floats, *, fewest: int) -> bool:
    """Whether ``(n, 3)`` probability vectors are one and the same; fewer than ``fewest`` are no evidence.

    >>> all_alike(np.full((20, 3), 1 / 3), fewest=20), all_alike(np.full((19, 3), 1 / 3), fewest=20)
    (True, False)
    """
    return outputs.shape[0] >= fewest and bool((np.ptp(outputs, axis=0) < EPSILON).all())


class OutputRing:
    """The last ``size`` probability vectors that one bundle served, over all symbols and bars."""

    def __init__(self, size: int, outputs: Iterable[Iterable[float]] = ()) -> None:
        self._kept = np.array([tuple(one) for one in outputs], dtype=np.float64).reshape(-1, 3)[-size:]
        self._size = size

    @property
    def outputs(self) -> Floats:
        """``(n, 3) float64``, oldest first."""
        return self._kept

    def add(self, rows: Iterable[PredictionRow]) -> None:
        """Remember what was served at one bar."""
        new = np.array([row.probabilities for row in rows], dtype=np.float64).reshape(-1, 3)
        self._kept = np.concatenate((self._kept, new))[-self._size :]

    def is_constant(self) -> bool:
        """Whether a full ring holds one and the same answer."""
        return all_alike(self._kept, fewest=self._size)


def recall_outputs(
    connection: Connection,
    *,
    model_name: str,
    bundle_hash: str,
    symbols: Sequence[str],
    before_ms: int,
    size: int,
) -> OutputRing:
    """The ring for these symbols as it was before the bar that opens at ``before_ms``."""
    rows = connection.scalars(
        select(predictions.c.probabilities)
        .where(
            predictions.c.model_name == model_name,
            predictions.c.bundle_hash == bundle_hash,
            predictions.c.symbol.in_(symbols),
            predictions.c.bar_ms < before_ms,
        )
        .order_by(predictions.c.bar_ms.desc(), predictions.c.symbol)
        .limit(size)
    ).all()
    return OutputRing(size, reversed(rows))
