"""A small synthetic market in a real lake, and real sealed bundles trained on it within seconds.

Kernel, boosters, sealing and loading are the product's own; only sizes are small, and classes are drawn from a planted
function of the features, so that models disagree and act often.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.batch import compute_features
from features.contract import FeatureContract, FeatureSpec, running_contract
from features.events import EventRule
from features.inputs import BarInputs
from infra.lake import Lake
from infra.sources.synthetic import synthetic_market
from market.barriers import BarrierSpec
from market.timeframe import Timeframe
from registry.bundle import BundleParts, LoadedBundle, load_bundle, make_golden, reference_distributions, seal
from registry.policy import DecisionPolicy
from registry.policy_rules import GuardRule
from registry.predictors import ModelPart, ensemble_mean, load_predictor, logistic_payload, predict_all
from registry.scaler import Scaler
from serving.lake_inputs import batch_inputs

TIMEFRAME = Timeframe.parse("5m")
SYMBOLS = ("SYNBTCUSDT", "SYNETHUSDT", "SYNSOLUSDT")
BLOCK, WARMUP = 576, 640
NEVER_GUARDED = GuardRule(  # these models know nothing, so any guard would end what tests want to see
    reduced_hit_rate=0.0,
    paused_hit_rate=0.0,
    reduced_streak=1_000_000,
    paused_streak=1_000_000,
    reduced_drawdown=1.0,
    paused_drawdown=1.0,
)
FIRST_INDEX = 10_044 * BLOCK - 288
DAYS = 9
TRAIN_END = FIRST_INDEX + 6 * 288
END_INDEX = FIRST_INDEX + DAYS * 288


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallMarket:
    """A filled lake and the contract of its features."""

    lake: Lake
    contract: FeatureContract
    symbols: tuple[str, ...] = SYMBOLS


def small_contract() -> FeatureContract:
    """The running kernel with short blocks."""
    return running_contract(
        FeatureSpec(timeframe=TIMEFRAME, reference_symbol=SYMBOLS[0], block_bars=BLOCK, warmup_bars=WARMUP)
    )


def small_market(root: Path, *, days: int = DAYS, settle_delay_ms: int = 5000) -> SmallMarket:
    """Nine days of three synthetic markets, all known in time."""
    lake = Lake(root, settle_delay_ms=settle_delay_ms)
    histories = synthetic_market(
        SYMBOLS, timeframe=TIMEFRAME, start_ms=TIMEFRAME.open_time(FIRST_INDEX), days=days, seed=5
    )
    for symbol, history in histories.items():
        lake.append_candles(history.candles, source="synthetic")
        assert history.funding is not None
        assert history.open_interest is not None
        assert history.mark is not None
        assert history.taker is not None
        lake.append_funding(history.funding, source="synthetic")
        lake.append_open_interest(symbol, history.open_interest.time, history.open_interest.value, source="synthetic")
        lake.append_mark(history.mark, source="synthetic")
        lake.append_taker(history.taker, source="synthetic")
    return SmallMarket(lake=lake, contract=small_contract())


def copy_stamps(source: Lake, target: Lake, symbol: str, *, end_ms: int | None = None) -> None:
    """Everything but the candles of one symbol, as far as it is known when the bar before ``end_ms`` has closed."""
    closed = None if end_ms is None else end_ms + 1
    target.append_funding(source.funding(symbol, end_ms=end_ms), source="synthetic")
    target.append_open_interest(symbol, *source.open_interest(symbol, end_ms=end_ms), source="synthetic")
    target.append_mark(source.mark(symbol, end_ms=closed), source="synthetic")
    target.append_taker(source.taker(symbol, TIMEFRAME, end_ms=end_ms), source="synthetic")


def training_inputs(market: SmallMarket) -> list[BarInputs]:
    """Kernel inputs of the training days, one per symbol."""
    made = [
        batch_inputs(
            market.lake, symbol, market.contract, first_index=FIRST_INDEX + WARMUP, end_index=TRAIN_END, as_of_ms=None
        )
        for symbol in market.symbols
    ]
    return [one for one in made if one is not None]


def small_bundle(
    market: SmallMarket, directory: Path, *, seed: int, events: EventRule | None = None, **facts: object
) -> LoadedBundle:
    """Train, seal and load a bundle of one model of each kind; ``facts`` replace the usual ones."""
    inputs = training_inputs(market)
    blocks = [compute_features(one, market.contract) for one in inputs]
    X = np.ascontiguousarray(np.concatenate([block.values[block.reason == 0] for block in blocks]))
    models, scaler = _train(X, seed=seed)
    predictors = [load_predictor(part, scaler, len(market.contract.names)) for part in models]
    weights = np.array([0.4, 0.35, 0.25])
    parts = BundleParts(
        contract=market.contract,
        label_spec=BarrierSpec(horizon_bars=12, profit=2.0, stop=2.0),
        scaler=scaler,
        models=models,
        weights=weights,
        policy=DecisionPolicy(thresholds=(0.35, 0.35), horizon_bars=12, max_positions=2, guard=NEVER_GUARDED),
        reference=reference_distributions(X, ensemble_mean(predict_all(predictors, X), weights)),
        golden=make_golden(inputs, contract=market.contract, predictors=predictors),
        facts={
            "model_name": "lockstep",
            "snapshot_id": "s" * 40,
            "symbols": list(market.symbols),
            "timeframe": TIMEFRAME.name,
            "train_start_ms": TIMEFRAME.open_time(FIRST_INDEX),
            "train_end_ms": TIMEFRAME.open_time(TRAIN_END),
            "seed": seed,
            "synthetic": True,
            "trial_count": 1,
            "class_shares": [0.4, 0.3, 0.3],
            "metrics": {"log_loss": 0.98},
            **facts,
        },
        events=events or EventRule(),
    )
    bundle_hash = seal(parts, directory)
    return load_bundle(directory, expected_hash=bundle_hash, running=market.contract)


def _train(X: np.ndarray, *, seed: int) -> tuple[tuple[ModelPart, ...], Scaler]:
    import lightgbm as lgb
    import xgboost as xgb

    rng = np.random.default_rng(seed)
    columns = np.flatnonzero(np.isfinite(X).all(axis=0) & (X.std(axis=0) > 0)).astype(np.int64)
    scaler = Scaler(
        columns=columns,
        mean=X[:, columns].mean(axis=0, dtype=np.float64),
        scale=X[:, columns].std(axis=0, dtype=np.float64),
    )
    z = scaler.transform(X)
    coef = np.zeros((3, columns.size))
    coef[:, rng.choice(columns.size, 5, replace=False)] = rng.normal(size=(3, 5))
    y = (z @ coef.T + rng.gumbel(size=(X.shape[0], 3))).argmax(axis=1)
    tree = lgb.train(
        {"objective": "multiclass", "num_class": 3, "num_leaves": 7, "verbosity": -1, "num_threads": 1, "seed": seed},
        lgb.Dataset(X, y),
        15,
    )
    boosted = xgb.train(
        {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1, "verbosity": 0, "seed": seed},
        xgb.DMatrix(X, y),
        15,
    )
    payload = logistic_payload(coef=coef * 0.5, intercept=np.zeros(3))
    return (
        ModelPart(name="lightgbm", kind="lightgbm", payload=tree.model_to_string().encode()),
        ModelPart(name="xgboost", kind="xgboost", payload=bytes(boosted.save_raw("ubj"))),
        ModelPart(name="logistic", kind="logistic", payload=payload),
    ), scaler
