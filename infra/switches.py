"""What have people decided that every process must obey at once?

A switch is a named row, read afresh by whoever obeys it, so it acts everywhere without a restart. It keeps who set it
and why. What an absent one and each value mean is for the one room that obeys it to say.
"""

from sqlalchemy import Engine, func
from sqlalchemy.dialects.postgresql import insert

from infra.errors import DatabaseError
from infra.tables import switches

__all__ = ["set_switch"]


def set_switch(engine: Engine, name: str, value: str, *, why: str, who: str) -> None:
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
