"""How does this home talk to its venue, and may it?

One way in for whoever asks a venue: the options of the settings, a session that a venue which asked for a pause never
sees, and a clock that is compared before anything is believed. That a venue closed is remembered for every process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import Engine

from infra.bootstrap import App
from infra.errors import SourceError
from infra.settings import Settings
from infra.sources.exchange import ClockCheck, ExchangeOptions, ExchangeSource, VenueSession
from infra.sources.exchange_errors import VenueClosedError
from infra.venues import close_venue, record_check, require_open
from tasks.moments import moment_of

__all__ = ["check_clock", "exchange_options", "note_closed", "require_same_clock", "venue_session"]


def exchange_options(settings: Settings, *, exchange: str | None = None) -> ExchangeOptions:
    """How this home talks to its venue, or to another one."""
    d = settings.data
    return ExchangeOptions(
        exchange=exchange or d.exchange,
        url=d.exchange_url,
        timeout_s=d.request_timeout_s,
        max_retries=d.max_retries,
        max_failures=d.max_failures,
        rate_share=d.rate_share,
        settle_delay_ms=d.settle_delay_s * 1000,
    )


@contextmanager
def venue_session(engine: Engine, source: ExchangeSource) -> Iterator[VenueSession]:
    """A session with the venue, if it may be asked now; that it closed is remembered."""
    require_open(engine, source.name)
    try:
        with source.session() as session:
            yield session
    except VenueClosedError as error:
        note_closed(engine, error)
        raise


def note_closed(engine: Engine, error: VenueClosedError) -> None:
    """Remember until when the venue is not to be asked."""
    close_venue(engine, error.exchange, until=moment_of(error.until_ms), why=error.because)


def check_clock(engine: Engine, session: VenueSession, venue: str, *, now_ms: int | None = None) -> ClockCheck:
    """Both clocks, their difference stored; ``now_ms`` takes the place of this machine's."""
    check = session.clock()
    if now_ms is not None:
        check = replace(check, local_ms=now_ms)
    record_check(engine, venue, clock_skew_ms=check.skew_ms)
    return check


def require_same_clock(app: App, check: ClockCheck, venue: str, *, why: str) -> None:
    """Raise ``SourceError`` where the clocks differ by more than ``data.max_clock_skew_s``."""
    permitted_s = app.settings.data.max_clock_skew_s
    if abs(check.skew_ms) > 1000 * permitted_s:
        raise SourceError(
            f"the clock of {venue} is {check.skew_ms / 1000:+.1f} s from ours, and {permitted_s:g} s are permitted",
            why=f"{why}; nothing was asked for and nothing stored",
            remedy="correct the clock of this machine (NTP); if it is right, run this again when the venue's is",
        )
