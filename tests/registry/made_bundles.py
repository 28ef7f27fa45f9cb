"""Builders of real, small bundles: bars, boosters on a planted signal, and all other parts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.contract import FeatureContract, FeatureSpec
from features.inputs import BarInputs, Column
from market.barriers import BarrierSpec
from market.timeframe import Timeframe
from registry.bundle import BundleParts, make_golden, reference_distributions
from registry.calibration import VectorScaling
from registry.policy import DecisionPolicy
from registry.predictors import ModelPart, ensemble_mean, load_predictor, logistic_payload, predict_all
from registry.scaler import Scaler

SPEC = FeatureSpec(timeframe=Timeframe.parse("5m"), reference_symbol="BTCUSDT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed bundle on disk and the features it was made from."""

    directory: Path
    hash: str
    parts: BundleParts
    X: np.ndarray


def made_up_bars(contract: FeatureContract, *, seed: int) -> BarInputs:
    """One block of a made-up market and the warm-up before it."""
    rng = np.random.default_rng(seed)
    n = contract.warmup_bars + contract.block_bars
    first = 2870 * contract.block_bars - contract.warmup_bars
    values = np.full((n, len(Column)), np.nan)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.002, n)))
    values[:, Column.CLOSE] = close
    values[:, Column.OPEN] = np.concatenate((close[:1], close[:-1]))
    top = np.maximum(values[:, Column.OPEN], close)
    bottom = np.minimum(values[:, Column.OPEN], close)
    values[:, Column.HIGH] = top * (1.0 + rng.uniform(0.0, 0.002, n))
    values[:, Column.LOW] = bottom * (1.0 - rng.uniform(0.0, 0.002, n))
    values[:, Column.VOLUME] = rng.lognormal(3.0, 0.5, n)
    values[:, Column.REAL] = 1.0
    values[:, Column.REF_CLOSE] = 50_000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, n)))
    index = first + np.arange(n)
    values[:, Column.FUNDING_RATE] = 1e-4 * np.sin(index // 96)
    values[:, Column.FUNDING_INTERVAL_H] = 8.0
    values[:, Column.HOURS_TO_FUNDING] = 8.0 - (index % 96) / 12.0
    values[:, Column.OPEN_INTEREST] = 1e6 * np.exp(np.cumsum(rng.normal(0.0, 0.001, n)))
    return BarInputs(symbol="MADEUSDT", timeframe=SPEC.timeframe, first_index=first, values=values)


def train_models(X: np.ndarray, contract: FeatureContract, *, seed: int) -> tuple[tuple[ModelPart, ...], Scaler]:
    """LightGBM, XGBoost and logistic parts on a planted signal."""
    import lightgbm as lgb
    import xgboost as xgb

    rng = np.random.default_rng(seed)
    columns = np.flatnonzero(np.isfinite(X).all(axis=0) & (X.std(axis=0) > 0))
    scaler = Scaler(
        columns=columns.astype(np.int64),
        mean=X[:, columns].mean(axis=0, dtype=np.float64),
        scale=X[:, columns].std(axis=0, dtype=np.float64),
    )
    z = scaler.transform(X)
    signal = z[:, :5] @ rng.normal(size=(5, 3)) + rng.gumbel(size=(X.shape[0], 3))
    y = signal.argmax(axis=1)
    tree = lgb.train(
        {"objective": "multiclass", "num_class": 3, "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": seed},
        lgb.Dataset(X, y),
        12,
    )
    boosted = xgb.train(
        {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1, "verbosity": 0, "seed": seed},
        xgb.DMatrix(X, y),
        12,
    )
    slope = VectorScaling(matrix=np.eye(3) * 0.9 + 0.02, bias=np.array([0.1, -0.05, -0.05]))
    payload = logistic_payload(coef=rng.normal(0.0, 0.1, size=(3, columns.size)), intercept=np.array([0.3, 0.0, 0.0]))
    return (
        ModelPart(name="lightgbm", kind="lightgbm", payload=tree.model_to_string().encode(), calibration=slope),
        ModelPart(name="xgboost", kind="xgboost", payload=bytes(boosted.save_raw("ubj")), calibration=slope),
        ModelPart(name="logistic", kind="logistic", payload=payload),
    ), scaler


def assemble(
    contract: FeatureContract,
    bars: BarInputs,
    X: np.ndarray,
    models: tuple[ModelPart, ...],
    scaler: Scaler,
    *,
    seed: int,
) -> BundleParts:
    """Parts of a whole bundle."""
    predictors = [load_predictor(part, scaler, len(contract.names)) for part in models]
    weights = np.array([0.4, 0.35, 0.25])
    return BundleParts(
        contract=contract,
        label_spec=BarrierSpec(horizon_bars=12),
        scaler=scaler,
        models=models,
        weights=weights,
        policy=DecisionPolicy(thresholds=(0.4, 0.4), horizon_bars=12),
        reference=reference_distributions(X, ensemble_mean(predict_all(predictors, X), weights)),
        golden=make_golden([bars], contract=contract, predictors=predictors),
        facts={
            "model_name": "lockstep",
            "snapshot_id": "s" * 40,
            "symbols": ["MADEUSDT"],
            "timeframe": "5m",
            "train_start_ms": bars.first_index * SPEC.timeframe.ms,
            "train_end_ms": bars.end_index * SPEC.timeframe.ms,
            "seed": seed,
            "synthetic": True,
            "trial_count": 3,
            "class_shares": [0.4, 0.3, 0.3],
            "metrics": {"log_loss": 0.98, "lightgbm": {"log_loss": 1.01}},
        },
    )
