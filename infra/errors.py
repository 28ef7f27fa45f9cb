"""How does the outside world say no?

Every refusal names what happened, why it matters and what to do, on one line, and never carries a password.

    LockstepError
    └── InfraError            something outside the process is not as it must be
        ├── DatabaseError     PostgreSQL: unreachable, refused, full, newer than this code, embedded server not starting
        ├── LakeError         the lake: damaged file, mixed origins, full disk, held lock
        ├── SettingsError     a setting: unknown name, bad value, unreadable file
        ├── SourceError       a source of market data: unreachable, unreadable, out of range
        │                     (DelistedError, VenueClosedError in infra/sources/exchange_errors.py)
        └── VersionError      an installed library outside the range that works
"""

from market.errors import LockstepError

__all__ = [
    "DatabaseError",
    "InfraError",
    "LakeError",
    "SettingsError",
    "SourceError",
    "VersionError",
]


class InfraError(LockstepError):
    """Something outside the process is not as it must be."""


class DatabaseError(InfraError):
    """PostgreSQL cannot be reached, refuses, is full, or holds tables this code does not know."""


class LakeError(InfraError):
    """The lake cannot be read or written as asked; nothing half-written was left behind."""


class SettingsError(InfraError):
    """A setting has an unknown name, a value out of bounds, or sits in an unreadable file."""


class SourceError(InfraError):
    """A source of market data cannot be reached or read."""


class VersionError(InfraError):
    """An installed library is outside the range that is known to work."""
