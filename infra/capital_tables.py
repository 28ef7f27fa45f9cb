"""Which stage of capital is a model at, and when did its worker stop on purpose?

Two tables beside those of ``infra/tables.py``, in the same ``METADATA``. Both are only ever added to: the last row of a
model is the truth, the rows before are how it came about.
"""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from infra.tables import METADATA

__all__ = ["capital_stages", "worker_stops"]


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(), primary_key=True)


capital_stages = Table(
    "capital_stages",
    METADATA,
    _id(),
    Column("model_name", Text, nullable=False),
    Column("bundle_hash", Text, nullable=False),
    Column("deployment_id", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("inputs", JSONB, nullable=False),
    Column("who", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "model_name", "id"),
    comment="Every change of a model's stage of capital, or of its clock; since is when the clock began",
)

worker_stops = Table(
    "worker_stops",
    METADATA,
    _id(),
    Column("model_name", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "model_name", "id"),
    comment="Each time a worker was asked to stop and did; a silence without one was not planned",
)
