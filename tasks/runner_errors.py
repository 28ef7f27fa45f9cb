"""How does a task runner say no?

LockstepError
└── RunnerError          jobs cannot run where the settings say: not installed, not reachable, a worker died
"""

from market.errors import LockstepError

__all__ = ["RunnerError"]


class RunnerError(LockstepError):
    """Jobs cannot run where the settings say they should."""
