"""Who allowed this very champion to trade for real, and until when?

Live needs two keys. One is the setting ``serving.mode = live``; the other is this record, given by a person for one
bundle and ending by itself. A new champion is not armed because the one before was. Without the record every signal of
live mode is FLAT ``not_armed``; predictions, paper trades and the shadow go on.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, select

from infra.switches import set_switch
from infra.tables import switches
from serving.errors import ServingError
from serving.states import OK

__all__ = ["Arming", "arm", "armed_cause", "disarm", "read_arming"]

_NOBODY = "disarmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arming:
    """Which bundle may trade for real before ``until_ms`` (UTC), by whose word and why."""

    bundle_hash: str
    until_ms: int
    who: str
    why: str


def arm(engine: Engine, *, model_name: str, bundle_hash: str, until_ms: int, why: str, who: str) -> None:
    """Let this bundle trade for real until then; replaces any record before."""
    set_switch(engine, _name(model_name), f"{bundle_hash} {until_ms}", why=why, who=who)


def disarm(engine: Engine, *, model_name: str, why: str, who: str) -> None:
    """Take it back; acts at the next bar of every worker."""
    set_switch(engine, _name(model_name), _NOBODY, why=why, who=who)


def read_arming(engine: Engine, model_name: str) -> Arming | None:
    """The record, also one that has ended; None where nobody armed. Raises ``ServingError`` for one nobody can read."""
    with engine.connect() as connection:
        row = connection.execute(select(switches).where(switches.c.name == _name(model_name))).one_or_none()
    if row is None or row.value == _NOBODY:
        return None
    bundle_hash, _, until = row.value.partition(" ")
    if not until.isdigit():
        raise ServingError(
            f"the arming record of {model_name} says {row.value!r}",
            why="nobody knows what it allows, so it allows nothing",
            remedy="run lockstep disarm, then lockstep arm",
        )
    return Arming(bundle_hash=bundle_hash, until_ms=int(until), who=row.who, why=row.why)


def armed_cause(engine: Engine, *, model_name: str, bundle_hash: str | None, now_ms: int) -> str:
    """``ok`` while this bundle is armed, else ``not_armed``; an unreadable record is none."""
    try:
        found = read_arming(engine, model_name)
    except ServingError:
        return "not_armed"
    if found is None or found.bundle_hash != bundle_hash or now_ms >= found.until_ms:
        return "not_armed"
    return OK


def _name(model_name: str) -> str:
    return f"armed {model_name}"
