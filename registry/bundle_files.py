"""Which file holds which part of a bundle?

``encode`` and ``decode`` are the only two functions that know. JSON for numbers with names, ``.npy`` for arrays,
LightGBM text and XGBoost UBJ as the libraries write them. Nothing is pickled; an array of objects is refused. Equal
parts give equal bytes.
"""

import io
import re
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from features.events import CUSUM_FEATURE, EventRule
from features.inputs import BarInputs
from features.primary_rule import PRIMARY_FEATURES
from market.barriers import BarrierSpec
from market.costs import CostModel
from market.errors import LockstepError
from market.timeframe import Timeframe
from registry.bundle_parts import REQUIRED_FACTS, BundleParts, GoldenBars
from registry.calibration import VectorScaling
from registry.canonical import canonical_json, parse_json
from registry.errors import BundleError
from registry.policy import DECISION_FEATURES, Action, DecisionPolicy
from registry.predictors import KINDS, ModelPart
from registry.reference import ReferenceDistributions
from registry.scaler import Scaler

__all__ = ["check_parts", "decode", "encode"]

_CLASSES = {action.name: int(action) for action in Action}
_SUFFIX = {"lightgbm": "txt", "xgboost": "ubj", "logistic": "json"}
_SCALER = ("columns", "mean", "scale")
_REFERENCE = tuple(one.name for one in fields(ReferenceDistributions) if one.name != "rows")
_JSON = ("contract", "label_spec", "classes", "models", "policy", "reference", "golden", "facts", "events")


def encode(parts: BundleParts) -> dict[str, bytes]:
    """File names and bytes, without the manifest."""
    golden = parts.golden
    arrays: dict[str, NDArray[Any]] = {f"scaler_{name}": getattr(parts.scaler, name) for name in _SCALER}
    arrays |= {f"reference_{name}": getattr(parts.reference, name) for name in _REFERENCE}
    arrays |= {
        "golden_inputs": golden.inputs.values,
        "golden_features": golden.features,
        "golden_probabilities": golden.probabilities,
    }
    values: dict[str, object] = {
        "label_spec": asdict(parts.label_spec),
        "classes": _CLASSES,
        "models": [_describe(part, weight) for part, weight in zip(parts.models, parts.weights.tolist(), strict=True)],
        "policy": parse_json(parts.policy.to_json()),
        "reference": {"rows": parts.reference.rows},
        "golden": {
            "symbol": golden.inputs.symbol,
            "timeframe_ms": golden.inputs.timeframe.ms,
            "first_index": golden.inputs.first_index,
        },
        "facts": parts.facts,
        "events": parse_json(parts.events.to_json()),
        "contract": parse_json(parts.contract.to_json()),
    }
    files = {f"{name}.json": canonical_json(value) for name, value in values.items()}
    files |= {f"{name}.npy": _array_bytes(array) for name, array in arrays.items()}
    files |= {_model_file(part.name, part.kind): part.payload for part in parts.models}
    return files


def decode(files: dict[str, bytes]) -> BundleParts:
    """The parts from files; raises ``BundleError`` naming the file that is missing, unknown or unreadable."""
    read = {name: _json(files, name) for name in _JSON}
    if read["classes"] != _CLASSES:
        raise _bad("classes.json", f"the class map is {read['classes']}, this code uses {_CLASSES}")
    models = read["models"]
    names = [f"{name}.json" for name in _JSON]
    names += [f"scaler_{name}.npy" for name in _SCALER] + [f"reference_{name}.npy" for name in _REFERENCE]
    names += [f"golden_{name}.npy" for name in ("inputs", "features", "probabilities")]
    try:
        names += [_model_file(model["name"], model["kind"]) for model in models]
        for name in sorted(set(files).symmetric_difference(names)):
            raise _bad(name, "it is no part of a bundle" if name in files else "it is missing")
        parts = BundleParts(
            contract=FeatureContract.from_json(files["contract.json"].decode()),
            label_spec=_label_spec(read["label_spec"]),
            scaler=Scaler(
                columns=_array(files, "scaler_columns", np.int64, 1),
                mean=_array(files, "scaler_mean", np.float64, 1),
                scale=_array(files, "scaler_scale", np.float64, 1),
            ),
            models=tuple(_model(model, files) for model in models),
            weights=np.array([model["weight"] for model in models], dtype=np.float64),
            policy=DecisionPolicy.from_json(files["policy.json"].decode()),
            reference=ReferenceDistributions(
                rows=int(read["reference"]["rows"]),
                **{name: _array(files, f"reference_{name}", np.float64, None) for name in _REFERENCE},
            ),
            golden=_golden(read["golden"], files),
            facts=read["facts"],
            events=EventRule.from_values(read["events"]),
        )
    except BundleError:
        raise
    except LockstepError as bad:
        raise _bad("a part", str(bad)) from bad
    except (AttributeError, KeyError, TypeError, ValueError) as bad:
        raise _bad("a part", f"{type(bad).__name__}: {bad}") from bad
    check_parts(parts)
    return parts


def check_parts(parts: BundleParts) -> None:
    """Raise ``BundleError`` when parts do not fit each other, whoever made them."""
    width = len(parts.contract.names)
    names = [part.name for part in parts.models]
    weights = parts.weights
    if not names or len(set(names)) != len(names) or weights.shape != (len(names),):
        raise _bad("models.json", f"models {names} with {weights.size} weights")
    if not np.isfinite(weights).all() or (weights < 0).any() or abs(float(weights.sum()) - 1.0) > 1e-3:
        raise _bad("models.json", f"the weights {weights.tolist()} must be positive and sum to 1")
    golden = parts.golden
    n = golden.features.shape[0]
    if n < 2 or golden.features.shape != (n, width) or golden.probabilities.shape != (len(names), n, 3):
        shapes = f"{golden.features.shape} and {golden.probabilities.shape}"
        raise _bad("golden.json", f"golden features and probabilities of shape {shapes} for {width} features")
    if parts.reference.feature_edges.shape[0] != width:
        raise _bad("reference.json", f"{parts.reference.feature_edges.shape[0]} features, the contract has {width}")
    if parts.scaler.columns.size and int(parts.scaler.columns[-1]) >= width:
        raise _bad("scaler_columns.npy", f"it reads column {int(parts.scaler.columns[-1])} of {width}")
    if parts.policy.horizon_bars != parts.label_spec.horizon_bars:
        theirs = f"{parts.policy.horizon_bars} and {parts.label_spec.horizon_bars} bars"
        raise _bad("policy.json", f"policy and labels have different horizons ({theirs})")
    _check_names(parts)
    lacking = [name for name in REQUIRED_FACTS if name not in parts.facts]
    if lacking:
        raise _bad("facts.json", f"it does not state {', '.join(lacking)}")
    if not isinstance(parts.facts["synthetic"], bool):
        raise _bad("facts.json", "synthetic must be true or false")


def _check_names(parts: BundleParts) -> None:
    """Whatever is read by name must be in the contract."""
    names = set(parts.contract.names)
    read = set(PRIMARY_FEATURES if parts.events.mode == "meta" else ())
    read |= {CUSUM_FEATURE} if parts.events.sampling == "cusum" else set()
    if not read <= names:
        raise _bad("events.json", f"its rule reads {', '.join(sorted(read))}, which the contract does not have")
    lacking = sorted({*DECISION_FEATURES, "atr_pct", "atr_ratio"} - names)
    if lacking:
        raise _bad("policy.json", f"the decision reads {', '.join(lacking)}, which the contract does not have")


def _describe(part: ModelPart, weight: float) -> dict[str, object]:
    return {
        "name": part.name,
        "kind": part.kind,
        "weight": weight,
        "input_window_bars": part.input_window_bars,
        "class_weight": list(part.class_weight),
        "calibration": {"matrix": part.calibration.matrix.tolist(), "bias": part.calibration.bias.tolist()},
    }


def _model(model: dict[str, Any], files: dict[str, bytes]) -> ModelPart:
    if set(model) != {"name", "kind", "weight", "input_window_bars", "class_weight", "calibration"}:
        raise _bad("models.json", f"a model has the fields {sorted(model)}")
    return ModelPart(
        name=model["name"],
        kind=model["kind"],
        payload=files[_model_file(model["name"], model["kind"])],
        calibration=VectorScaling(
            matrix=np.array(model["calibration"]["matrix"], dtype=np.float64),
            bias=np.array(model["calibration"]["bias"], dtype=np.float64),
        ),
        input_window_bars=int(model["input_window_bars"]),
        class_weight=tuple(float(one) for one in model["class_weight"]),
    )


def _model_file(name: str, kind: str) -> str:
    if kind not in KINDS or not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise _bad("models.json", f"a model named {name!r} of kind {kind!r}")
    return f"model_{name}.{_SUFFIX[kind]}"


def _label_spec(read: dict[str, Any]) -> BarrierSpec:
    costs = CostModel(**read["costs"])
    return BarrierSpec(**(read | {"costs": costs}))


def _golden(read: dict[str, Any], files: dict[str, bytes]) -> GoldenBars:
    inputs = BarInputs(
        symbol=str(read["symbol"]),
        timeframe=Timeframe(int(read["timeframe_ms"])),
        first_index=int(read["first_index"]),
        values=_array(files, "golden_inputs", np.float64, 2),
    )
    return GoldenBars(
        inputs=inputs,
        features=_array(files, "golden_features", np.float32, 2),
        probabilities=_array(files, "golden_probabilities", np.float64, 3),
    )


def _json(files: dict[str, bytes], name: str) -> Any:
    data = files.get(f"{name}.json")
    if data is None:
        raise _bad(f"{name}.json", "it is missing")
    try:
        return parse_json(data)
    except ValueError as bad:
        raise _bad(f"{name}.json", f"it is not JSON ({bad})") from bad


def _array_bytes(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def _array(files: dict[str, bytes], name: str, dtype: type[np.generic], ndim: int | None) -> NDArray[Any]:
    try:
        array = np.load(io.BytesIO(files[f"{name}.npy"]), allow_pickle=False)
    except (EOFError, OSError, ValueError) as bad:
        raise _bad(f"{name}.npy", f"it is no plain array ({bad})") from bad
    if not isinstance(array, np.ndarray) or array.dtype != dtype or (ndim is not None and array.ndim != ndim):
        raise _bad(f"{name}.npy", "it has another type or shape than a bundle's")
    return array


def _bad(file: str, why: str) -> BundleError:
    return BundleError(
        f"bundle file {file}",
        why=why,
        remedy="keep the last good bundle; use another version or train and seal again",
    )
