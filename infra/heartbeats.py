"""Which components run, and when did each last show it?

One row per component, overwritten at each beat; the database's clock dates it. A component that never beat is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from infra.tables import heartbeats

__all__ = ["Heartbeat", "beat", "read_heartbeats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The last sign of life of one component; ``age_s`` counts on the database's clock."""

    component: str
    at: datetime
    age_s: float
    detail: Mapping[str, object]


def beat(engine: Engine, component: str, detail: Mapping[str, object]) -> None:
    """Say that ``component`` runs now; ``detail`` is anything JSON can hold."""
    values = {"component": component, "at": func.clock_timestamp(), "detail": dict(detail)}
    row = insert(heartbeats).values(values)
    with engine.begin() as connection:
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["component"], set_={"at": row.excluded["at"], "detail": row.excluded["detail"]}
            )
        )


def read_heartbeats(engine: Engine) -> dict[str, Heartbeat]:
    """Every component that ever beat, by name."""
    age = func.extract("epoch", func.clock_timestamp() - heartbeats.c.at)
    with engine.connect() as connection:
        rows = connection.execute(select(heartbeats, age.label("age_s")).order_by(heartbeats.c.component))
        return {
            row.component: Heartbeat(component=row.component, at=row.at, age_s=float(row.age_s), detail=row.detail)
            for row in rows
        }
