"""How does the registry say no?

LockstepError
└── RegistryError
    ├── PolicyError            a decision policy, scaler or calibration with an impossible number
    ├── BundleError            a bundle that must not be used: the message names the part and the reason
    │   └── BundleContractError    sound, but made for other features than the running kernel computes
    ├── PredictionError        a model was given, or gave, something that is no probability
    ├── CardError              a decision card that is incomplete, edited or absent
    ├── StoreError             the model registry (MLflow) holds something unexpected, or refused a request
    │   └── RegistryDownError      it gave no answer: unreachable, too slow, or broken; it says nothing about models
    └── PromotionError         a promotion, rollback or adoption that was refused; nothing has changed

Messages of ``BundleError`` are shown to operators as they are: what part, why it matters, what to do.
"""

from market.errors import LockstepError

__all__ = [
    "BundleContractError",
    "BundleError",
    "CardError",
    "PolicyError",
    "PredictionError",
    "PromotionError",
    "RegistryDownError",
    "RegistryError",
    "StoreError",
]


class RegistryError(LockstepError):
    """Something about models was refused."""


class PolicyError(RegistryError):
    """A policy, scaler or calibration number outside its range."""


class BundleError(RegistryError):
    """A bundle that must not be used."""


class BundleContractError(BundleError):
    """A sound bundle made for other features than the running kernel computes."""


class PredictionError(RegistryError):
    """Input that cannot be predicted on, or output that is no probability."""


class CardError(RegistryError):
    """A decision card that cannot be trusted or found."""


class StoreError(RegistryError):
    """The model registry failed or holds something unexpected."""


class RegistryDownError(StoreError):
    """The model registry gave no answer."""


class PromotionError(RegistryError):
    """A change of champion that was refused; nothing has changed."""
