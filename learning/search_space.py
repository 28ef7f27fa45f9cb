"""Which hyper-parameters may be tuned, and within which bounds?

One table a kind of model: fields of ``TrainingConfig``, so that a trial is a configuration with some values replaced
and nothing else. Bounds reach from a stump to a memory of the rows, and are narrow enough that a trial ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from learning.config import TrainingConfig
from registry.predictors import ModelKind

__all__ = ["SEARCH_SPACE", "Dimension", "Params", "default_params", "distributions", "with_params"]

Params = Mapping[str, int | float]
"""Values of ``TrainingConfig`` fields, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """Closed bounds of one hyper-parameter; searched on a logarithmic scale where ``log``."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: float) -> bool:
        """Whether the value lies within the bounds."""
        return self.low <= value <= self.high


_SHRINKAGE = Dimension(low=0.01, high=0.3, log=True)
_SHARE = Dimension(low=0.3, high=1.0)
_PENALTY = Dimension(low=1e-3, high=100.0, log=True)

SEARCH_SPACE: Mapping[ModelKind, Mapping[str, Dimension]] = {
    "lightgbm": {
        "learning_rate": _SHRINKAGE,
        "lightgbm_leaves": Dimension(low=4, high=127, log=True, whole=True),
        "min_leaf_rows": Dimension(low=10, high=1000, log=True, whole=True),
        "lightgbm_feature_fraction": _SHARE,
        "lightgbm_l2": _PENALTY,
    },
    "xgboost": {
        "learning_rate": _SHRINKAGE,
        "xgboost_depth": Dimension(low=2, high=8, whole=True),
        "xgboost_min_child_weight": Dimension(low=1.0, high=500.0, log=True),
        "xgboost_feature_fraction": _SHARE,
        "xgboost_subsample": Dimension(low=0.5, high=1.0),
        "xgboost_l2": _PENALTY,
    },
    "logistic": {"logistic_c": Dimension(low=1e-4, high=10.0, log=True)},
}


def default_params(kind: ModelKind, config: TrainingConfig) -> dict[str, int | float]:
    """What the configuration says for this kind, brought within the bounds of the search."""
    found: dict[str, int | float] = {}
    for name, dimension in SEARCH_SPACE[kind].items():
        value = min(max(getattr(config, name), dimension.low), dimension.high)
        found[name] = int(value) if dimension.whole else float(value)
    return found


def with_params(config: TrainingConfig, params: Params) -> TrainingConfig:
    """The configuration with these values in place of its own."""
    values: dict[str, Any] = dict(params)
    return replace(config, **values)


def distributions(kind: ModelKind) -> dict[str, Any]:
    """The same bounds as Optuna's distributions."""
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        name: IntDistribution(int(one.low), int(one.high), log=one.log)
        if one.whole
        else FloatDistribution(one.low, one.high, log=one.log)
        for name, one in SEARCH_SPACE[kind].items()
    }
