"""How does serving say no?

    LockstepError
    └── ServingError           something about serving was refused
        ├── DecisionError      arrays of the wrong shape were offered to the decision
        ├── MarketViewError    a bar that cannot be viewed: before the history, skipped or repeated
        ├── ReplayError        a replay that would mix runs, symbols or bundles
        └── UnforeseenError    errors nobody foresaw stopped a bar, which is FLAT and recorded

Trouble while serving a bar is no exception for the caller: it becomes a state with a reason (``serving.states``).
"""

from market.errors import LockstepError

__all__ = ["DecisionError", "MarketViewError", "ReplayError", "ServingError", "UnforeseenError"]


class ServingError(LockstepError):
    """Something about serving was refused."""


class DecisionError(ServingError):
    """Arrays of the wrong shape or type were offered to the decision."""


class MarketViewError(ServingError):
    """A bar that cannot be viewed."""


class ReplayError(ServingError):
    """A replay that would mix runs, symbols or bundles."""


class UnforeseenError(ServingError):
    """Errors nobody foresaw stopped a bar; told to whoever watches the worker."""
