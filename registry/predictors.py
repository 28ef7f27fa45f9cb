"""What probability does one sealed model give?

A ``ModelPart`` is bytes in the library's native format (LightGBM text, XGBoost UBJ, logistic numbers as JSON)
and its calibration; ``load_predictor`` turns it into something that predicts, once, checked. Every predictor maps
``(n, F) float32`` features to ``(n, 3) float64`` probabilities (HOLD, BUY, SELL) that are finite and sum to 1, and
gives a row the same bits alone as in a batch. Trees read NaN as missing, the linear model refuses it. Native
boosters only: no data frame, no wrapper, one thread unless told otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats
from registry.calibration import VectorScaling, softmax
from registry.canonical import canonical_json, parse_json
from registry.errors import BundleError, PredictionError
from registry.native_formats import check_lightgbm_text, check_xgboost_ubj
from registry.scaler import Scaler

__all__ = [
    "KINDS",
    "ModelKind",
    "ModelPart",
    "Predictor",
    "ensemble_mean",
    "load_predictor",
    "logistic_payload",
    "predict_all",
]

ModelKind = Literal["lightgbm", "xgboost", "logistic"]
KINDS: tuple[ModelKind, ...] = ("lightgbm", "logistic", "xgboost")
_WINDOW_BARS: dict[str, int] = {"lightgbm": 1, "logistic": 1, "xgboost": 1}
"""Bars each kind's predictor is given at once; a sequence model's entry is its window."""
_CHUNK = 8_192
_Raw = Callable[[NDArray[np.float32]], NDArray[np.floating]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPart:
    """One model as bytes: LightGBM text, XGBoost UBJ or ``logistic_payload``, with its calibration.

    ``input_window_bars`` is how many bars, the decision's last, one prediction reads. ``class_weight`` is how much more
    a row of each class counted in the fit than its share: what the model says is divided by it before calibration.
    """

    name: str
    kind: ModelKind
    payload: bytes
    calibration: VectorScaling = field(default_factory=VectorScaling.identity)
    input_window_bars: int = 1
    class_weight: tuple[float, ...] = (1.0, 1.0, 1.0)


class Predictor(Protocol):
    """Calibrated probabilities of one model."""

    @property
    def name(self) -> str:
        """The model's name in its bundle."""

    @property
    def kind(self) -> ModelKind:
        """Which library it came from."""

    def predict(self, X: NDArray[np.float32]) -> Floats:
        """``(n, F) float32`` to ``(n, 3) float64``; raises ``PredictionError``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loaded:
    name: str
    kind: ModelKind
    n_features: int
    raw: _Raw
    calibration: VectorScaling
    class_weight: Floats

    def predict(self, X: NDArray[np.float32]) -> Floats:
        if X.ndim != 2 or X.shape[1] != self.n_features or X.dtype != np.float32:
            raise PredictionError(
                f"{self.name}: features of shape {X.shape} and type {X.dtype}",
                why=f"the bundle's contract asks for (n, {self.n_features}) float32",
                remedy="compute features with the kernel and contract of this bundle",
            )
        if X.shape[0] == 0:
            return np.zeros((0, 3))
        raw = np.asarray(self.raw(np.ascontiguousarray(X)), dtype=np.float64)
        return self.calibration.apply(_unweighted(_checked(self.name, raw, X.shape[0]), self.class_weight))


def load_predictor(part: ModelPart, scaler: Scaler, n_features: int, *, num_threads: int = 1) -> Predictor:
    """A predictor from sealed bytes; raises ``BundleError`` when they are no model of ``n_features`` and 3 classes.

    Also for a model that reads more bars than its kind's predictor is given, or states impossible class weights.
    """
    _require_supported(part)
    try:
        raw, found = _read(part, scaler, n_features, num_threads)
    except BundleError:
        raise
    except Exception as bad:
        raise _bad(part.name, f"cannot be read as {part.kind} ({str(bad)[:200] or type(bad).__name__})") from bad
    if found != n_features:
        raise _bad(part.name, f"reads {found} features, the contract has {n_features}")
    loaded = _Loaded(
        name=part.name,
        kind=part.kind,
        n_features=n_features,
        raw=raw,
        calibration=part.calibration,
        class_weight=np.array(part.class_weight, dtype=np.float64),
    )
    try:
        loaded.predict(np.zeros((1, n_features), dtype=np.float32))
    except PredictionError as bad:
        raise _bad(part.name, bad.what) from bad
    return loaded


def predict_all(predictors: Sequence[Predictor], X: NDArray[np.float32]) -> Floats:
    """``(M, n, 3)`` calibrated probabilities, one layer a model."""
    out = np.empty((len(predictors), X.shape[0], 3))
    for m, predictor in enumerate(predictors):
        out[m] = predictor.predict(X)
    return out


def ensemble_mean(probabilities: Floats, weights: Floats) -> Floats:
    """Weighted mean over models: ``(M, n, 3)`` and ``(M,)`` to ``(n, 3)``; rows sum to 1 within rounding."""
    out: Floats = np.zeros(probabilities.shape[1:])
    for layer, weight in zip(probabilities, weights, strict=True):
        out += layer * weight
    out /= (out[:, 0] + out[:, 1] + out[:, 2])[:, None]
    return out


def logistic_payload(*, coef: Floats, intercept: Floats) -> bytes:
    """Bytes of a linear model: ``coef (3, k)`` on the scaler's columns, ``intercept (3,)``."""
    return canonical_json({"coef": coef.tolist(), "intercept": intercept.tolist()})


def _checked(name: str, p: Floats, n: int) -> Floats:
    """``(n, 3)`` probabilities brought to a sum of 1; raises when they are none."""
    if p.shape != (n, 3):
        raise _no_probability(name, f"output of shape {p.shape} for {n} rows", "three classes are expected")
    if not np.isfinite(p).all():
        raise _no_probability(name, "a probability that is not finite", "a decision cannot be made from it")
    total = p[:, 0] + p[:, 1] + p[:, 2]
    if (p < 0.0).any() or (np.abs(total - 1.0) > 1e-3).any():
        raise _no_probability(name, "outputs that are no probabilities", "they must be in 0..1 and sum to 1")
    scaled: Floats = p / total[:, None]
    return scaled


def _unweighted(p: Floats, class_weight: Floats) -> Floats:
    """``p(k)`` from ``q(k) = c(k) p(k) / sum``; weights of one change no bit."""
    if (class_weight == 1.0).all():
        return p
    out: Floats = p / class_weight
    out /= (out[:, 0] + out[:, 1] + out[:, 2])[:, None]
    return out


def _require_supported(part: ModelPart) -> None:
    if part.input_window_bars != _WINDOW_BARS.get(part.kind):
        raise _bad(
            part.name,
            f"reads {part.input_window_bars} bars at once, a {part.kind} predictor here is given"
            f" {_WINDOW_BARS.get(part.kind, 'none')}",
        )
    if len(part.class_weight) != 3 or not all(isfinite(one) and one > 0.0 for one in part.class_weight):
        raise _bad(part.name, f"states the class weights {part.class_weight}, which must be three positive numbers")


def _no_probability(name: str, what: str, why: str) -> PredictionError:
    return PredictionError(f"{name}: {what}", why=why, remedy="keep the last good bundle and train again")


def _read(part: ModelPart, scaler: Scaler, n_features: int, num_threads: int) -> tuple[_Raw, int]:
    if part.kind == "lightgbm":
        return _lightgbm(part.payload, num_threads)
    if part.kind == "xgboost":
        return _xgboost(part.payload, num_threads)
    return _logistic(part, scaler, n_features), n_features


def _lightgbm(payload: bytes, num_threads: int) -> tuple[_Raw, int]:
    import lightgbm as lgb

    check_lightgbm_text(payload)
    booster = lgb.Booster(model_str=payload.decode("utf-8"))
    classes = booster.num_model_per_iteration()
    if classes != 3:
        raise ValueError(f"{classes} class(es) instead of 3")

    def raw(X: NDArray[np.float32]) -> Floats:
        return np.asarray(booster.predict(X, num_threads=num_threads), dtype=np.float64)

    return raw, int(booster.num_feature())


def _xgboost(payload: bytes, num_threads: int) -> tuple[_Raw, int]:
    import xgboost as xgb

    check_xgboost_ubj(payload)
    booster = xgb.Booster(params={"nthread": num_threads, "verbosity": 0}, model_file=bytearray(payload))

    def raw(X: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = booster.inplace_predict(X, validate_features=False)
        return out

    return raw, int(booster.num_features())


def _logistic(part: ModelPart, scaler: Scaler, n_features: int) -> _Raw:
    found = parse_json(part.payload)
    if not isinstance(found, dict) or set(found) != {"coef", "intercept"}:
        raise _bad(part.name, "is no logistic model (fields coef and intercept)")
    coef = np.array(found["coef"], dtype=np.float64)
    intercept = np.array(found["intercept"], dtype=np.float64)
    k = scaler.columns.size
    if coef.shape != (3, k) or intercept.shape != (3,):
        raise _bad(part.name, f"has coefficients {coef.shape}, the scaler has {k} columns")
    if k and int(scaler.columns[-1]) >= n_features:
        raise _bad(part.name, f"reads column {int(scaler.columns[-1])}, the contract has {n_features}")
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise _bad(part.name, "has a coefficient that is not finite")

    def chunk(X: NDArray[np.float32]) -> Floats:
        z = scaler.transform(X)
        if not np.isfinite(z).all():
            raise PredictionError(
                f"{part.name}: a feature that is not finite",
                why="a linear model has no answer for a missing value, and none is made up",
                remedy="leave rows with a reason out, and train the linear model on columns that are never missing",
            )
        # One reduction per class along the row: the same additions whatever the number of rows.
        return softmax(np.stack([(z * row).sum(axis=1) + b for row, b in zip(coef, intercept, strict=True)], axis=1))

    def raw(X: NDArray[np.float32]) -> Floats:
        return np.concatenate([chunk(X[at : at + _CHUNK]) for at in range(0, X.shape[0], _CHUNK)])

    return raw


def _bad(name: str, why: str) -> BundleError:
    return BundleError(
        f"model {name} {why}",
        why="predicting with it would be guessing",
        remedy="use another version, or train and seal again",
    )
