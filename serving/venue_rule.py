"""Has the venue been asked lately, and do our clocks agree?

What a venue is in comes from asking it, never from assuming it: in live mode no signal is tradable unless the venue
answered within the age at which bars are stale. A clock that differs from the venue's judges closed bars and staleness
wrongly, in every mode.
"""

from dataclasses import dataclass

from sqlalchemy import Engine

from infra.freshness import is_fresh
from infra.venues import read_venue
from serving.states import OK

__all__ = ["VenueRule", "venue_cause"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRule:
    """``answer_needed``: a signal may go out only while the venue's last answer is recent (live mode)."""

    venue: str
    max_clock_skew_ms: int
    answer_needed: bool


def venue_cause(engine: Engine, rule: VenueRule | None, *, now_ms: int, max_age_ms: int) -> str:
    """What is wrong with the venue behind the markets served; ``ok`` when nothing is, or when there is no rule."""
    if rule is None:
        return OK
    state = read_venue(engine, rule.venue)
    skew_ms = None if state is None else state.clock_skew_ms
    if skew_ms is not None and abs(skew_ms) > rule.max_clock_skew_ms:
        return "clock_skew"
    answered = None if state is None or state.answered_at is None else int(state.answered_at.timestamp() * 1000)
    if rule.answer_needed and not is_fresh(answered, now_ms=now_ms, limit_ms=max_age_ms):
        return "venue_unchecked"
    return OK
