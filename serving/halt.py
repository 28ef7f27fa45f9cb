"""Has somebody stopped the trading?

One row in ``switches`` that every process reads before each bar. Halted means: signals are HALT with reason
``halted``; predictions and paper trades go on.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from infra.switches import set_switch
from infra.tables import switches

__all__ = ["HALT_SWITCH", "HaltRecord", "halt_record", "is_halted", "set_halt"]

HALT_SWITCH = "halt"


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRecord:
    """How the switch stands, and who last set it, when and why."""

    halted: bool
    why: str
    who: str
    at: datetime


def halt_record(connection: Connection) -> HaltRecord | None:
    """How the switch stands; None where nobody ever threw it, so that it is off."""
    row = connection.execute(select(switches).where(switches.c.name == HALT_SWITCH)).one_or_none()
    return None if row is None else HaltRecord(halted=row.value == "on", why=row.why, who=row.who, at=row.at)


def is_halted(connection: Connection) -> bool:
    """Whether the halt switch is on; absent means it never was."""
    found = halt_record(connection)
    return found is not None and found.halted


def set_halt(engine: Engine, *, on: bool, why: str, who: str) -> None:
    """Throw or release the halt switch."""
    set_switch(engine, HALT_SWITCH, "on" if on else "off", why=why, who=who)
