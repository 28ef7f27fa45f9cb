"""How did each venue last answer, and may it be asked now?

One row per venue: how far its clock was from ours, when it last answered, and until when it asked to be left alone (a
ban, a Retry-After, a breaker that opened). Whoever is about to send a request calls ``require_open`` first: a venue
that bans is not asked again before its time, by no process of this home. The database's clock decides what is past.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, case, func, select
from sqlalchemy.dialects.postgresql import insert

from infra.sources.exchange_errors import VenueClosedError
from infra.tables import venues

__all__ = ["VenueState", "close_venue", "read_venue", "record_answer", "record_check", "require_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueState:
    """What is known of one venue; ``clock_skew_ms`` is its clock less ours, ``closed`` whether it may not be asked."""

    venue: str
    clock_skew_ms: int | None
    checked_at: datetime | None
    answered_at: datetime | None
    closed_until: datetime | None
    why: str | None
    closed: bool


def read_venue(engine: Engine, venue: str) -> VenueState | None:
    """The state of this venue, or None if nobody ever asked it."""
    closed = func.coalesce(venues.c.closed_until > func.clock_timestamp(), False)
    with engine.connect() as connection:
        found = connection.execute(select(venues, closed.label("closed")).where(venues.c.venue == venue))
        row = found.mappings().one_or_none()
    return None if row is None else VenueState(**row)


def require_open(engine: Engine, venue: str) -> None:
    """Raise ``VenueClosedError`` with the time and the reason while the venue is to be left alone."""
    state = read_venue(engine, venue)
    if state is not None and state.closed and state.closed_until is not None:
        until_ms = int(state.closed_until.timestamp() * 1000)
        raise VenueClosedError(venue, because=state.why or "it asked for a pause", until_ms=until_ms)


def record_check(engine: Engine, venue: str, *, clock_skew_ms: int) -> None:
    """Keep how far the venue's clock was from ours just now."""
    _write(engine, venue, {"clock_skew_ms": clock_skew_ms, "checked_at": func.clock_timestamp()})


def record_answer(engine: Engine, venue: str) -> None:
    """Say that the venue answered now; a closing whose time is over is forgotten, one still to come is kept."""
    over = func.coalesce(venues.c.closed_until <= func.clock_timestamp(), True)
    _write(
        engine,
        venue,
        {"answered_at": func.clock_timestamp()},
        changes={
            "closed_until": case((over, None), else_=venues.c.closed_until),
            "why": case((over, None), else_=venues.c.why),
        },
    )


def close_venue(engine: Engine, venue: str, *, until: datetime, why: str) -> None:
    """Let nobody ask the venue before ``until``; of two closings the later one holds."""
    later = func.coalesce(venues.c.closed_until < until, True)
    _write(
        engine,
        venue,
        {"closed_until": until, "why": why},
        changes={
            "closed_until": func.greatest(venues.c.closed_until, until),
            "why": case((later, why), else_=venues.c.why),
        },
    )


def _write(engine: Engine, venue: str, values: dict[str, Any], *, changes: dict[str, Any] | None = None) -> None:
    row = insert(venues).values(venue=venue, **values)
    kept = {name: row.excluded[name] for name in values} | (changes or {})
    with engine.begin() as connection:
        connection.execute(row.on_conflict_do_update(index_elements=["venue"], set_=kept))
