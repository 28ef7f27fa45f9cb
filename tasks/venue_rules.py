"""Which venue stands behind the markets of a home, and what must be true of it for a signal to go out?"""

from infra.settings import Settings
from serving.venue_rule import VenueRule

__all__ = ["venue_rule"]


def venue_rule(settings: Settings) -> VenueRule:
    """The rule of these settings: clocks agree in every mode, and in live mode the venue answered lately."""
    return VenueRule(
        venue=settings.data.exchange,
        max_clock_skew_ms=int(settings.data.max_clock_skew_s * 1000),
        answer_needed=settings.serving.mode == "live",
    )
