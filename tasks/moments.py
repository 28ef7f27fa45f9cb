"""How does a moment that people name become one that arrays hold, and back?

UTC throughout: a moment without a zone is meant as UTC.

    >>> moment_of(1_738_281_600_000).isoformat(), milliseconds(datetime(2025, 1, 31))
    ('2025-01-31T00:00:00+00:00', 1738281600000)
"""

from datetime import UTC, datetime

__all__ = ["milliseconds", "moment_of"]


def milliseconds(moment: datetime) -> int:
    """UTC milliseconds of this moment."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(aware.timestamp() * 1000)


def moment_of(time_ms: int) -> datetime:
    """The moment of these UTC milliseconds."""
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC)
