"""How is each kind of model fitted on one training window?

Every trainer returns bytes in the library's native format, for the same bytes in. Trees stop early on a later,
purged slice of the window and keep only the rounds that helped; the linear model has no rounds and uses the whole
window. One thread each: sums depend on the number of threads, bytes must not. Nothing here calibrates, and nothing
here sees rows it will be judged on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.config import TrainingConfig
from market.candles import Floats, Ints
from registry.predictors import ModelPart, logistic_payload
from registry.scaler import Scaler

__all__ = ["Fitted", "Sample", "fit_scaler", "train_lightgbm", "train_logistic", "train_xgboost"]

_MAX_BIN = 127


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Rows to fit on: ``X (n, F) float32``, ``y (n,)`` in 0..2, ``weight (n,) float64`` with mean about 1."""

    X: NDArray[np.float32]
    y: NDArray[np.int8]
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """An uncalibrated model, the boosting rounds it kept (0 for the linear one) and its gain per feature.

    ``gain (F,) float64`` sums to 1 (total split gain, or absolute coefficients of scaled features).
    """

    part: ModelPart
    rounds: int
    gain: Floats


def fit_scaler(X: NDArray[np.float32], columns: Ints) -> Scaler:
    """Mean and standard deviation of ``columns`` over training rows; a constant column keeps scale 1."""
    used = X[:, columns].astype(np.float64)
    spread = used.std(axis=0)
    return Scaler(columns=columns, mean=used.mean(axis=0), scale=np.where(spread > 0.0, spread, 1.0))


def train_lightgbm(fit: Sample, stop: Sample, *, names: Sequence[str], config: TrainingConfig) -> Fitted:
    """Multiclass gradient boosting (Ke et al. 2017), as LightGBM text."""
    import lightgbm as lgb

    params = {
        "objective": "multiclass",
        "num_class": 3,
        "metric": "multi_logloss",
        "learning_rate": config.learning_rate,
        "num_leaves": config.lightgbm_leaves,
        "min_data_in_leaf": config.min_leaf_rows,
        "feature_fraction": 0.7,
        "lambda_l2": 1.0,
        "max_bin": _MAX_BIN,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lgb.Dataset(fit.X, label=fit.y, weight=fit.weight, feature_name=list(names), params=params)
    later = lgb.Dataset(stop.X, label=stop.y, weight=stop.weight, reference=data, params=params)
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


def train_xgboost(fit: Sample, stop: Sample, *, config: TrainingConfig) -> Fitted:
    """Multiclass gradient boosting (Chen and Guestrin 2016), histogram method, as UBJ."""
    import xgboost as xgb

    params = {
        "objective": "multi:softprob",
        "num_class": 3,
        "eval_metric": "mlogloss",
        "tree_method": "hist",
        "max_bin": _MAX_BIN,
        "max_depth": config.xgboost_depth,
        "eta": config.learning_rate,
        "min_child_weight": config.min_leaf_rows / 5.0,
        "colsample_bynode": 0.7,
        "seed": config.seed,
        "nthread": 1,
        "verbosity": 0,
    }
    data = xgb.QuantileDMatrix(fit.X, label=fit.y, weight=fit.weight, max_bin=_MAX_BIN, nthread=1)
    later = xgb.QuantileDMatrix(stop.X, label=stop.y, weight=stop.weight, ref=data, max_bin=_MAX_BIN, nthread=1)
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
    gain = np.array([found.get(f"f{i}", 0.0) for i in range(fit.X.shape[1])], dtype=np.float64)
    part = ModelPart(name="xgboost", kind="xgboost", payload=bytes(kept.save_raw("ubj")))
    return Fitted(part=part, rounds=rounds, gain=_shares(gain))


def train_logistic(sample: Sample, *, scaler: Scaler, config: TrainingConfig) -> Fitted:
    """Multinomial logistic regression on scaled columns that are never missing, as its numbers."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=config.logistic_c, solver="newton-cholesky", max_iter=100, tol=1e-4)
    model.fit(scaler.transform(sample.X), sample.y, sample_weight=sample.weight)
    gain = np.zeros(sample.X.shape[1])
    gain[scaler.columns] = np.abs(model.coef_).sum(axis=0)
    payload = logistic_payload(coef=model.coef_, intercept=model.intercept_)
    part = ModelPart(name="logistic", kind="logistic", payload=payload)
    return Fitted(part=part, rounds=0, gain=_shares(gain))


def _shares(gain: Floats) -> Floats:
    total = float(gain.sum())
    return gain / total if total > 0.0 else gain
