"""A venue that asked to be left alone is not asked, and what is known of it is what happened last."""

from datetime import UTC, datetime, timedelta

import pytest

from infra.sources.exchange_errors import VenueClosedError
from infra.venues import close_venue, read_venue, record_answer, record_check, require_open

pytestmark = pytest.mark.integration


def ahead(seconds):
    """A moment so many seconds from now."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_venue_nobody_asked_is_open(engine):
    """It has no row, and nothing keeps us from asking."""
    assert read_venue(engine, "never") is None
    require_open(engine, "never")


def test_its_clock_and_its_last_answer_are_kept_apart(engine):
    """A check dates the check alone, an answer the answer alone; the newest check holds."""
    record_check(engine, "clock", clock_skew_ms=40)
    record_check(engine, "clock", clock_skew_ms=-12_000)
    checked = read_venue(engine, "clock")
    assert (checked.clock_skew_ms, checked.answered_at, checked.closed) == (-12_000, None, False)
    record_answer(engine, "clock")
    answered = read_venue(engine, "clock")
    assert (answered.clock_skew_ms, answered.checked_at) == (-12_000, checked.checked_at)
    assert abs((answered.answered_at - datetime.now(UTC)).total_seconds()) < 60


def test_a_closed_venue_is_refused_with_the_time_and_the_reason(engine):
    """Until then; an answer that was under way meanwhile does not open it."""
    until = ahead(600)
    close_venue(engine, "closed", until=until, why="418 I'm a teapot")
    record_answer(engine, "closed")
    record_check(engine, "closed", clock_skew_ms=0)
    assert read_venue(engine, "closed").closed
    with pytest.raises(
        VenueClosedError, match=rf"left alone until {until:%Y-%m-%d %H:%M} UTC: 418 I'm a teapot"
    ) as told:
        require_open(engine, "closed")
    assert told.value.until_ms == int(until.timestamp() * 1000)


def test_of_two_closings_the_later_one_holds(engine):
    """Whichever is reported first, with its own reason."""
    for venue, order in (("early-late", (60, 600)), ("late-early", (600, 60))):
        for seconds in order:
            close_venue(engine, venue, until=ahead(seconds), why=f"{seconds} s")
        state = read_venue(engine, venue)
        assert state.why == "600 s"
        assert state.closed_until > ahead(500)


def test_a_closing_that_is_over_is_forgotten_at_the_next_answer(engine):
    """It may be asked at once, and after the answer the reason is gone."""
    close_venue(engine, "over", until=ahead(-1), why="429")
    require_open(engine, "over")
    record_answer(engine, "over")
    state = read_venue(engine, "over")
    assert (state.closed_until, state.why, state.closed) == (None, None, False)
