"""How do the features say no?

LockstepError
└── FeatureError         inputs or bars that no feature can be computed from
    └── ContractError    two sides that do not mean the same features
"""

from market.errors import LockstepError

__all__ = ["ContractError", "FeatureError"]


class FeatureError(LockstepError):
    """Inputs that cannot become features."""


class ContractError(FeatureError):
    """A feature contract that is impossible, or differs from the one expected."""
