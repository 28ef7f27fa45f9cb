"""Which numbers steer one training?

Plain values handed in by the caller, who read them from the settings; lengths are in bars. ``OnProgress`` is called
as ``(stage, done, total)``. Every number that may be tuned is a field here, so that a trial is the configuration with
some fields replaced.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from learning.ensemble import EnsembleRule
from learning.walk_forward import Mode
from registry.policy import DecisionPolicy
from registry.predictors import ModelKind

__all__ = ["ClassBalance", "Device", "OnProgress", "TrainingConfig", "silent"]

OnProgress = Callable[[str, int, int], None]
Device = Literal["cpu", "cuda"]
ClassBalance = Literal["none", "balanced"]


def silent(_stage: str, _done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Numbers of one training.

    ``policy`` is the decision policy without its thresholds, which training sets. The first ``warmup_folds`` test
    windows only feed calibration, weights and thresholds and are not scored. ``threads`` models are fitted at a time
    (0: one per core), which changes no byte; ``device`` cuda does change bytes, from run to run too. A sample's weight
    halves every ``decay_half_life_bars`` back in time (0: it does not).
    """

    policy: DecisionPolicy
    min_train_bars: int
    folds: int = 5
    gap_bars: int = 0
    mode: Mode = "expanding"
    seed: int = 7
    threads: int = 0
    device: Device = "cpu"
    models: tuple[ModelKind, ...] = ("lightgbm", "xgboost", "logistic")
    learning_rate: float = 0.05
    lightgbm_trees: int = 200
    lightgbm_leaves: int = 31
    min_leaf_rows: int = 100
    lightgbm_feature_fraction: float = 0.7
    lightgbm_l2: float = 1.0
    xgboost_trees: int = 200
    xgboost_depth: int = 5
    xgboost_min_child_weight: float = 20.0
    xgboost_feature_fraction: float = 0.7
    xgboost_subsample: float = 1.0
    xgboost_l2: float = 1.0
    logistic_c: float = 0.1
    early_stopping_rounds: int = 25
    early_stopping_share: float = 0.15
    decay_half_life_bars: float = 0.0
    class_balance: ClassBalance = "none"
    ensemble: EnsembleRule = field(default_factory=EnsembleRule)
    warmup_folds: int = 1
    min_class_rows: int = 10
    min_trades: int = 30
    threshold_quantiles: tuple[float, ...] = field(default=(0.5, 0.7, 0.85, 0.93, 0.97, 0.99))
