"""How is each kind of model fitted on one training window?

``TRAINERS`` is the table of kinds; a new kind is one more entry. Every trainer returns bytes in its library's native
format, on the CPU the same bytes for the same input. Trees stop early on a later, purged slice of the window and keep
only the rounds that helped; the linear model has no rounds and uses the whole window. One thread each: sums depend on
the number of threads, bytes must not. Nothing here calibrates, and nothing here sees rows it will be judged on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learning.binned import MAX_BIN, BinnedPanel, FitData, Sample, row_blocks
from learning.config import Device, TrainingConfig
from learning.logistic import fit_logistic
from market.candles import Floats, Ints
from registry.predictors import ModelKind, ModelPart, logistic_payload
from registry.scaler import Scaler

__all__ = [
    "TRAINERS",
    "Fitted",
    "Trainer",
    "fit_model",
    "fit_scaler",
    "train_lightgbm",
    "train_logistic",
    "train_xgboost",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """An uncalibrated model, the boosting rounds it kept (0 for the linear one) and its gain per feature.

    ``gain (F,) float64`` sums to 1 (total split gain, or absolute coefficients of scaled features).
    """

    part: ModelPart
    rounds: int
    gain: Floats


class Trainer(Protocol):
    """One kind of model.

    ``input_window_bars`` is how many bars, the decision's last, one prediction reads (1: the row alone); it is sealed
    with the model. ``stops_early`` says whether ``stop`` is read; a kind that does not is given every row as ``fit``.
    """

    @property
    def kind(self) -> ModelKind:
        """The name it has in settings and bundles."""

    @property
    def input_window_bars(self) -> int:
        """Bars one prediction reads."""

    @property
    def stops_early(self) -> bool:
        """Whether rows are kept aside to stop on."""

    @property
    def devices(self) -> tuple[Device, ...]:
        """Where it can be fitted; where the device asked for is not among them, on the CPU."""

    def fit(self, binned: BinnedPanel, fit: Sample, stop: Sample, *, scaler: Scaler, config: TrainingConfig) -> Fitted:
        """Fit on ``fit``, stop on ``stop``; equal arguments give equal bytes on the CPU."""


def fit_model(
    binned: BinnedPanel, kind: ModelKind, fit: Sample, stop: Sample, *, scaler: Scaler, config: TrainingConfig
) -> Fitted:
    """One uncalibrated model of ``kind``, fitted on ``fit`` and stopped on ``stop``, from which ``fit`` must be purged.

    Call it inside ``one_blas_thread``. Rows of both must be among ``binned.data.rows``, ascending. What the model says
    is undistorted: it carries the weight its classes had.
    """
    trainer = TRAINERS[kind]
    fitted = trainer.fit(binned, fit, stop, scaler=scaler, config=config)
    class_weight = tuple(float(one) for one in fit.class_weight)
    part = replace(fitted.part, input_window_bars=trainer.input_window_bars, class_weight=class_weight)
    return replace(fitted, part=part)


def fit_scaler(X: NDArray[np.float32], rows: Ints, columns: Ints) -> Scaler:
    """Mean and standard deviation of ``columns`` over training ``rows`` of ``X``; a constant column keeps scale 1."""
    n = rows.size
    mean = sum((X_[:, columns].sum(axis=0, dtype=np.float64) for X_ in row_blocks(X, rows)), np.zeros(columns.size)) / n
    squares = (np.square(X_[:, columns] - mean).sum(axis=0) for X_ in row_blocks(X, rows))
    spread = np.sqrt(sum(squares, np.zeros(columns.size)) / n)
    return Scaler(columns=columns, mean=mean, scale=np.where(spread > 0.0, spread, 1.0))


def train_lightgbm(binned: BinnedPanel, fit: Sample, stop: Sample, *, config: TrainingConfig) -> Fitted:
    """Multiclass gradient boosting (Ke et al. 2017), as LightGBM text."""
    import lightgbm as lgb

    data, later = binned.lightgbm(fit), binned.lightgbm(stop)
    params = {
        **data.params,
        "objective": "multiclass",
        "num_class": 3,
        "metric": "multi_logloss",
        "learning_rate": config.learning_rate,
        "num_leaves": config.lightgbm_leaves,
        "min_data_in_leaf": config.min_leaf_rows,
        "feature_fraction": config.lightgbm_feature_fraction,
        "lambda_l2": config.lightgbm_l2,
        "seed": config.seed,
        "deterministic": True,
    }
    booster = lgb.train(
        params,
        data,
        num_boost_round=config.lightgbm_trees,
        valid_sets=[later],
        callbacks=[lgb.early_stopping(config.early_stopping_rounds, verbose=False)],
    )
    rounds = int(booster.best_iteration)
    text = booster.model_to_string(num_iteration=rounds)
    gain = np.asarray(booster.feature_importance("gain", iteration=rounds), dtype=np.float64)
    part = ModelPart(name="lightgbm", kind="lightgbm", payload=text.encode())
    return Fitted(part=part, rounds=rounds, gain=_shares(gain))


def train_xgboost(binned: BinnedPanel, fit: Sample, stop: Sample, *, config: TrainingConfig) -> Fitted:
    """Multiclass gradient boosting (Chen and Guestrin 2016), histogram method, as UBJ."""
    import xgboost as xgb

    params = {
        "objective": "multi:softprob",
        "num_class": 3,
        "eval_metric": "mlogloss",
        "tree_method": "hist",
        "device": config.device,
        "max_bin": MAX_BIN,
        "max_depth": config.xgboost_depth,
        "eta": config.learning_rate,
        "min_child_weight": config.xgboost_min_child_weight,
        "colsample_bynode": config.xgboost_feature_fraction,
        "subsample": config.xgboost_subsample,
        "lambda": config.xgboost_l2,
        "seed": config.seed,
        "nthread": 1,
        "verbosity": 0,
    }
    data, later = binned.xgboost(fit, stop)
    booster = xgb.train(
        params,
        data,
        num_boost_round=config.xgboost_trees,
        evals=[(later, "later")],
        early_stopping_rounds=config.early_stopping_rounds,
        verbose_eval=False,
    )
    rounds = int(booster.best_iteration) + 1
    kept = booster[:rounds]
    found = kept.get_score(importance_type="total_gain")
    gain = np.array([found.get(f"f{i}", 0.0) for i in range(len(binned.data.names))], dtype=np.float64)
    part = ModelPart(name="xgboost", kind="xgboost", payload=bytes(kept.save_raw("ubj")))
    return Fitted(part=part, rounds=rounds, gain=_shares(gain))


def train_logistic(data: FitData, sample: Sample, *, scaler: Scaler, config: TrainingConfig) -> Fitted:
    """Multinomial logistic regression on scaled columns that are never missing, as its numbers."""
    coef, intercept = fit_logistic(data, sample, scaler=scaler, c=config.logistic_c)
    gain = np.zeros(len(data.names))
    gain[scaler.columns] = np.abs(coef).sum(axis=0)
    part = ModelPart(name="logistic", kind="logistic", payload=logistic_payload(coef=coef, intercept=intercept))
    return Fitted(part=part, rounds=0, gain=_shares(gain))


@dataclass(frozen=True, slots=True)
class _LightGBM:
    kind: ModelKind = "lightgbm"
    input_window_bars: int = 1
    stops_early: bool = True
    devices: tuple[Device, ...] = ("cpu",)

    def fit(self, binned: BinnedPanel, fit: Sample, stop: Sample, *, scaler: Scaler, config: TrainingConfig) -> Fitted:
        del scaler
        return train_lightgbm(binned, fit, stop, config=config)


@dataclass(frozen=True, slots=True)
class _XGBoost:
    kind: ModelKind = "xgboost"
    input_window_bars: int = 1
    stops_early: bool = True
    devices: tuple[Device, ...] = ("cpu", "cuda")

    def fit(self, binned: BinnedPanel, fit: Sample, stop: Sample, *, scaler: Scaler, config: TrainingConfig) -> Fitted:
        del scaler
        return train_xgboost(binned, fit, stop, config=config)


@dataclass(frozen=True, slots=True)
class _Logistic:
    kind: ModelKind = "logistic"
    input_window_bars: int = 1
    stops_early: bool = False
    devices: tuple[Device, ...] = ("cpu",)

    def fit(self, binned: BinnedPanel, fit: Sample, stop: Sample, *, scaler: Scaler, config: TrainingConfig) -> Fitted:
        del stop
        return train_logistic(binned.data, fit, scaler=scaler, config=config)


TRAINERS: Mapping[ModelKind, Trainer] = {one.kind: one for one in (_LightGBM(), _XGBoost(), _Logistic())}


def _shares(gain: Floats) -> Floats:
    total = float(gain.sum())
    return gain / total if total > 0.0 else gain
