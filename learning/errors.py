"""How does the learning room say no?

LockstepError
└── LearningError        something that was to be learnt cannot be
    ├── PanelError       histories that do not fit together, or nothing to learn from
    ├── HistoryError     too little history for the folds that were asked for
    ├── LabelError       a window without enough rows of a class
    ├── LeakError        a training label that reaches into rows it would be judged on
    ├── EnsembleError    weights that are no shares of one vote
    ├── DeviceError      a device to train on that is not there
    ├── EvidenceError    numbers that cannot support the statistic asked of them
    └── DriftError       reference and current rows that cannot be compared
"""

from market.errors import LockstepError

__all__ = [
    "DeviceError",
    "DriftError",
    "EnsembleError",
    "EvidenceError",
    "HistoryError",
    "LabelError",
    "LeakError",
    "LearningError",
    "PanelError",
]


class LearningError(LockstepError):
    """Something that was to be learnt cannot be."""


class PanelError(LearningError):
    """Histories that do not fit together, or nothing to learn from."""


class HistoryError(LearningError):
    """Too little history for the folds that were asked for."""


class LabelError(LearningError):
    """A window without enough rows of a class."""


class LeakError(LearningError):
    """A training label that reaches into rows it would be judged on."""


class EnsembleError(LearningError):
    """Weights that are no shares of one vote."""


class DeviceError(LearningError):
    """A device to train on that is not there."""


class EvidenceError(LearningError):
    """Numbers that cannot support the statistic asked of them."""


class DriftError(LearningError):
    """Reference and current rows that cannot be compared."""
