"""How does a venue say no?

SourceError
├── DelistedError       the venue lists no such symbol, or none any more: asking again would not help
└── VenueClosedError    the venue is left alone until a moment, because it asked for that or keeps failing
"""

from infra.errors import SourceError
from market.timeframe import as_utc

__all__ = ["DelistedError", "VenueClosedError"]


class DelistedError(SourceError):
    """The venue lists no such symbol, or none any more; what was stored of it stays."""


class VenueClosedError(SourceError):
    """The venue is left alone until ``until_ms`` (our clock, ms UTC)."""

    def __init__(self, exchange: str, *, because: str, until_ms: int) -> None:
        """Say until when, and because of what."""
        self.exchange = exchange
        self.because = because
        self.until_ms = until_ms
        super().__init__(
            f"{exchange} is left alone until {as_utc(until_ms)} UTC: {because}",
            why="asking on would make it worse, and missing data is never made up",
            remedy="run this again after that time: it goes on where it stopped",
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling between processes."""
        return (_rebuild, (self.exchange, self.because, self.until_ms))


def _rebuild(exchange: str, because: str, until_ms: int) -> VenueClosedError:
    return VenueClosedError(exchange, because=because, until_ms=until_ms)
