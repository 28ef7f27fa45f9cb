"""What belongs to a bundle?

Everything that is needed to turn bars into a decision, and everything that is needed to prove that it still does:
``BundleParts`` is what the learning room hands over, ``GoldenBars`` the proof.
"""

from dataclasses import dataclass, field

from numpy import float32
from numpy.typing import NDArray

from features.contract import FeatureContract
from features.events import EventRule
from features.inputs import BarInputs
from market.barriers import BarrierSpec
from market.candles import Floats
from registry.policy import DecisionPolicy
from registry.predictors import ModelPart
from registry.reference import ReferenceDistributions
from registry.scaler import Scaler

__all__ = ["REQUIRED_FACTS", "BundleParts", "GoldenBars"]

REQUIRED_FACTS = (
    "model_name",
    "snapshot_id",
    "symbols",
    "timeframe",
    "train_start_ms",
    "train_end_ms",
    "seed",
    "synthetic",
    "trial_count",
    "class_shares",
    "metrics",
)
"""Facts every bundle must state; more (versions, commit, config, folds) are welcome."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoldenBars:
    """Bars with their known answer.

    ``inputs`` are a warm-up and then the golden bars, the last ``n`` of them; ``features (n, F) float32`` and the
    calibrated ``probabilities (M, n, 3) float64`` are what kernel and models gave for those when the bundle was made.
    """

    inputs: BarInputs
    features: NDArray[float32]
    probabilities: Floats

    @property
    def start_index(self) -> int:
        """Absolute index of the first golden bar."""
        return self.inputs.end_index - int(self.features.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BundleParts:
    """All parts of one bundle; ``weights (M,) float64`` belong to ``models`` in order and sum to 1.

    ``events`` says at which bars it decides, and on which side. ``facts`` is JSON and holds at least ``REQUIRED_FACTS``
    (times in ms UTC, class shares in class order).
    """

    contract: FeatureContract
    label_spec: BarrierSpec
    scaler: Scaler
    models: tuple[ModelPart, ...]
    weights: Floats
    policy: DecisionPolicy
    reference: ReferenceDistributions
    golden: GoldenBars
    facts: dict[str, object]
    events: EventRule = field(default_factory=EventRule)
