"""How does a model's probability become a frequency?

Vector scaling: ``softmax(log(p) @ matrix + bias)`` (Guo et al., On Calibration of Modern Neural Networks, 2017,
sec. 4.2, on log probabilities instead of logits). The numbers are fitted by the learning room on out-of-fold rows.
Written without matrix products, whose rounding may depend on the number of rows: one row gives the same bits
as the same row in a batch.
"""

from dataclasses import dataclass

import numpy as np

from market.candles import Floats
from registry.errors import PolicyError

__all__ = ["SMALLEST_PROBABILITY", "VectorScaling", "log_probabilities", "softmax"]

SMALLEST_PROBABILITY = 1e-9


def log_probabilities(p: Floats) -> Floats:
    """``log(p)`` of ``(n, 3)``, with ``p`` held at or above ``SMALLEST_PROBABILITY``."""
    out: Floats = np.log(np.maximum(p, SMALLEST_PROBABILITY))
    return out


def softmax(scores: Floats) -> Floats:
    """Rows of ``(n, 3)`` scores as probabilities; each row sums to 1 within rounding."""
    top = np.maximum(np.maximum(scores[:, 0], scores[:, 1]), scores[:, 2])
    raised = np.exp(scores - top[:, None])
    total = raised[:, 0] + raised[:, 1] + raised[:, 2]
    out: Floats = raised / total[:, None]
    return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VectorScaling:
    """``matrix`` ``(3, 3)`` and ``bias`` ``(3,)``, float64, on log probabilities (HOLD, BUY, SELL)."""

    matrix: Floats
    bias: Floats

    def __post_init__(self) -> None:
        """Refuse other shapes and numbers that are not finite."""
        sound = self.matrix.shape == (3, 3) and self.bias.shape == (3,)
        if not sound or not (np.isfinite(self.matrix).all() and np.isfinite(self.bias).all()):
            raise PolicyError(
                f"calibration of shape {self.matrix.shape} and {self.bias.shape}",
                why="it must be a finite 3 x 3 matrix and 3 biases",
                remedy="train again",
            )

    @classmethod
    def identity(cls) -> "VectorScaling":
        """The calibration that changes nothing (but rounding)."""
        return cls(matrix=np.eye(3), bias=np.zeros(3))

    def apply(self, p: Floats) -> Floats:
        """Calibrate ``(n, 3)`` probabilities; rows sum to 1."""
        logs = log_probabilities(p)
        m = self.matrix
        scores = logs[:, :1] * m[0] + logs[:, 1:2] * m[1] + logs[:, 2:3] * m[2] + self.bias
        return softmax(scores)
