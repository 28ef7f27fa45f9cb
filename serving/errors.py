"""How does serving say no?

    LockstepError
    └── ServingError           something about serving was refused
        ├── ApiRefusalError    a request that the HTTP interface refuses, with its status
        ├── DecisionError      arrays of the wrong shape were offered to the decision
        ├── MarketViewError    a bar that cannot be viewed: before the history, skipped or repeated
        ├── ReplayError        a replay that would mix runs, symbols or bundles
        ├── SinkError          a sink for signals that cannot be used as it is configured
        └── UnforeseenError    errors nobody foresaw stopped a bar, which is FLAT and recorded

Trouble while serving a bar is no exception for the caller: it becomes a state with a reason (``serving.states``).
"""

from market.errors import LockstepError

__all__ = [
    "ApiRefusalError",
    "DecisionError",
    "MarketViewError",
    "ReplayError",
    "ServingError",
    "SinkError",
    "UnforeseenError",
]


class ServingError(LockstepError):
    """Something about serving was refused."""


class ApiRefusalError(ServingError):
    """A request that the HTTP interface refuses; ``status`` is the HTTP status it answers with."""

    def __init__(self, status: int, what: str, *, why: str, remedy: str) -> None:
        """Keep the status beside the message."""
        self.status = status
        super().__init__(what, why=why, remedy=remedy)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling with its status."""
        return (_rebuild, (self.status, self.what, self.why, self.remedy))


def _rebuild(status: int, what: str, why: str, remedy: str) -> ApiRefusalError:
    return ApiRefusalError(status, what, why=why, remedy=remedy)


class DecisionError(ServingError):
    """Arrays of the wrong shape or type were offered to the decision."""


class MarketViewError(ServingError):
    """A bar that cannot be viewed."""


class ReplayError(ServingError):
    """A replay that would mix runs, symbols or bundles."""


class SinkError(ServingError):
    """A sink for signals that cannot be used as it is configured."""


class UnforeseenError(ServingError):
    """Errors nobody foresaw stopped a bar; told to whoever watches the worker."""
