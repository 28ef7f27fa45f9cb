"""What have people decided that every process must obey at once?

A switch is a named row, read afresh by whoever obeys it, so it acts everywhere without a restart. It keeps who set it
and why. A switch that nobody set is None; what that and each value mean is for the one room that obeys it to say.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from infra.errors import DatabaseError
from infra.tables import switches

__all__ = ["Switch", "clear_switch", "read_switch", "set_switch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One decision: what, why, by whom, when (aware UTC)."""

    name: str
    value: str
    why: str
    who: str
    at: datetime


def set_switch(engine: Engine, name: str, value: str, *, why: str, who: str) -> Switch:
    """Set a switch for every process; a reason and a name are required."""
    if not (name.strip() and value.strip() and why.strip() and who.strip()):
        raise DatabaseError(
            f"switch {name!r} = {value!r} by {who!r}",
            why="a switch without a value, a reason and a name cannot be answered for",
            remedy="give all of them",
        )
    values = {"name": name, "value": value, "why": why, "who": who, "at": func.clock_timestamp()}
    row = insert(switches).values(values)
    change = {column: row.excluded[column] for column in ("value", "why", "who", "at")}
    with engine.begin() as connection:
        connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=change))
        return _switch(connection.execute(select(switches).where(switches.c.name == name)).one())


def clear_switch(engine: Engine, name: str) -> bool:
    """Take a switch back; False where it was not set."""
    with engine.begin() as connection:
        return connection.execute(delete(switches).where(switches.c.name == name)).rowcount > 0


def read_switch(engine: Engine, name: str) -> Switch | None:
    """The switch as it stands now, or None where nobody set it."""
    with engine.connect() as connection:
        row = connection.execute(select(switches).where(switches.c.name == name)).one_or_none()
    return None if row is None else _switch(row)


def _switch(row: Row[tuple[str, str, str, str, datetime]]) -> Switch:
    return Switch(name=row.name, value=row.value, why=row.why, who=row.who, at=row.at)
