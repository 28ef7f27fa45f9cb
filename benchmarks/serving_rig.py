"""A worker's whole surroundings for benchmarks of serving: markets, a lake that grows bar by bar, two sealed bundles.

Bundles are of the size that training makes by default: LightGBM of 100 rounds (300 trees of 31 leaves), XGBoost of 100
rounds and a linear model, on features of the running kernel; their classes are drawn from a planted function.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm as lgb
import numpy as np
import xgboost as xgb

from features.batch import compute_features
from features.contract import FeatureContract, FeatureSpec, running_contract
from features.inputs import BarInputs
from infra.lake import Lake
from infra.sources.files import FileSource
from infra.sources.joining import join_taker
from infra.sources.market_files import read_metrics
from infra.sources.protocol import MarketHistory
from infra.sources.synthetic import synthetic_market
from market.barriers import BarrierSpec
from market.basis import MarkStamps
from market.funding import FundingStamps
from market.taker_flow import TakerShares
from market.timeframe import Timeframe
from registry.bundle import BundleParts, make_golden, reference_distributions, seal
from registry.policy import DecisionPolicy
from registry.predictors import ModelPart, ensemble_mean, load_predictor, logistic_payload, predict_all
from registry.scaler import Scaler
from serving.lake_inputs import batch_inputs

__all__ = ["FIVE", "Markets", "cut", "real_markets", "sealed_bundle", "synthetic_markets"]

FIVE = Timeframe.parse("5m")
_ROWS = 12_000
_ROUNDS = 100


@dataclass(kw_only=True)
class Markets:
    """Histories that arrive in a lake bar by bar, and the contract of their features."""

    histories: Mapping[str, MarketHistory]
    contract: FeatureContract
    source: str
    symbols: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.symbols = tuple(self.histories)

    def store(self, lake: Lake, start_ms: int | None, end_ms: int) -> int:
        """What the bars that open in ``[start_ms, end_ms)`` bring, as a collector stores it; returns the rows."""
        return sum(_store(lake, one, self.source, start_ms, end_ms) for one in self.histories.values())


def real_markets(data: Path) -> Markets:
    """33 real perpetuals, funding and hourly mark prices of 11, open interest and takers' shares of nine."""
    metrics = FileSource(data / "vision_metrics_um")
    measured = {file.symbol for file in metrics.files}
    histories = {}
    for folder in ("marketlab_um", "genetic_um"):
        source = FileSource(data / folder)
        for symbol in source.symbols(FIVE):
            found = source.history(symbol, FIVE)
            interest = metrics.open_interest(symbol) if symbol in measured else None
            taker = join_taker(_shares(metrics, symbol)) if symbol in measured else None
            histories[symbol] = MarketHistory(
                candles=found.candles, funding=found.funding, open_interest=interest, mark=found.mark, taker=taker
            )
    names = sorted(histories, key=lambda symbol: (symbol != "BTCUSDT", symbol))
    spec = FeatureSpec(timeframe=FIVE, reference_symbol="BTCUSDT", funding_required=False)
    return Markets(histories={n: histories[n] for n in names}, contract=running_contract(spec), source="files:bench")


def _shares(metrics: FileSource, symbol: str) -> list[tuple[Path, TakerShares]]:
    """Takers' shares as the files of metrics tell them, which lie apart from their candles here."""
    files = [file for file in metrics.files if file.symbol == symbol]
    return [(file.path, shares) for file in files if (shares := read_metrics(file)[1]) is not None]


def synthetic_markets(count: int, *, start_ms: int, days: int) -> Markets:
    """That many synthetic markets with everything a venue tells."""
    names = [f"SYN{k:03d}USDT" for k in range(count)]
    histories = synthetic_market(names, timeframe=FIVE, start_ms=start_ms, days=days, seed=11)
    spec = FeatureSpec(timeframe=FIVE, reference_symbol=names[0])
    return Markets(histories=histories, contract=running_contract(spec), source="synthetic")


def sealed_bundle(lake: Lake, markets: Markets, directory: Path, *, seed: int, end_index: int) -> str:
    """Train on the ten days before ``end_index``, seal into ``directory``; the bundle's hash."""
    inputs = [
        found
        for symbol in markets.symbols[:8]
        if (
            found := batch_inputs(
                lake, symbol, markets.contract, first_index=end_index - 2880, end_index=end_index, as_of_ms=None
            )
        )
        is not None
    ]
    X = _rows(inputs, markets.contract)
    models, scaler = _fitted(X, markets.contract, seed=seed)
    predictors = [load_predictor(part, scaler, len(markets.contract.names)) for part in models]
    weights = np.array([0.4, 0.35, 0.25])
    parts = BundleParts(
        contract=markets.contract,
        label_spec=BarrierSpec(),
        scaler=scaler,
        models=models,
        weights=weights,
        policy=DecisionPolicy(thresholds=(0.45, 0.45), horizon_bars=BarrierSpec().horizon_bars),
        reference=reference_distributions(X, ensemble_mean(predict_all(predictors, X), weights)),
        golden=make_golden(inputs, contract=markets.contract, predictors=predictors),
        facts={
            "model_name": "lockstep",
            "snapshot_id": "s" * 40,
            "symbols": list(markets.symbols),
            "timeframe": FIVE.name,
            "train_start_ms": FIVE.open_time(end_index - 2880),
            "train_end_ms": FIVE.open_time(end_index),
            "seed": seed,
            "synthetic": markets.source == "synthetic",
            "trial_count": 1,
            "class_shares": [0.4, 0.3, 0.3],
            "metrics": {"log_loss": 0.98},
        },
    )
    return seal(parts, directory)


def _rows(inputs: Sequence[BarInputs], contract: FeatureContract) -> np.ndarray:
    blocks = [compute_features(one, contract) for one in inputs]
    X = np.concatenate([block.values[block.reason == 0] for block in blocks])
    return np.ascontiguousarray(X[:: max(1, len(X) // _ROWS)])


def _fitted(X: np.ndarray, contract: FeatureContract, *, seed: int) -> tuple[tuple[ModelPart, ...], Scaler]:
    rng = np.random.default_rng(seed)
    never = np.array([name not in contract.nan_allowed for name in contract.names])
    columns = np.flatnonzero(never & np.isfinite(X).all(axis=0) & (X.std(axis=0) > 0)).astype(np.int64)
    scaler = Scaler(
        columns=columns,
        mean=X[:, columns].mean(axis=0, dtype=np.float64),
        scale=X[:, columns].std(axis=0, dtype=np.float64),
    )
    coef = np.zeros((3, columns.size))
    coef[:, rng.choice(columns.size, 5, replace=False)] = rng.normal(size=(3, 5))
    y = (scaler.transform(X) @ coef.T + rng.gumbel(size=(X.shape[0], 3))).argmax(axis=1)
    tree = lgb.train(
        {"objective": "multiclass", "num_class": 3, "num_leaves": 31, "verbosity": -1, "num_threads": 1, "seed": seed},
        lgb.Dataset(X, y),
        _ROUNDS,
    )
    boosted = xgb.train(
        {"objective": "multi:softprob", "num_class": 3, "max_depth": 5, "nthread": 1, "verbosity": 0, "seed": seed},
        xgb.DMatrix(X, y),
        _ROUNDS,
    )
    payload = logistic_payload(coef=coef * 0.5, intercept=np.zeros(3))
    return (
        ModelPart(name="lightgbm", kind="lightgbm", payload=tree.model_to_string().encode()),
        ModelPart(name="xgboost", kind="xgboost", payload=bytes(boosted.save_raw("ubj"))),
        ModelPart(name="logistic", kind="logistic", payload=payload),
    ), scaler


def _store(lake: Lake, one: MarketHistory, source: str, start_ms: int | None, end_ms: int) -> int:
    symbol = one.candles.symbol
    stored = lake.append_candles(one.candles.between(start_ms, end_ms), source=source)
    lo = None if start_ms is None else start_ms
    if one.funding is not None:
        time, (rate,) = cut(one.funding.time, (one.funding.rate,), lo, end_ms)
        stored += lake.append_funding(FundingStamps(symbol=symbol, time=time, rate=rate), source=source)
    after = None if start_ms is None else start_ms + 1
    if one.open_interest is not None:
        time, (value,) = cut(one.open_interest.time, (one.open_interest.value,), after, end_ms + 1)
        stored += lake.append_open_interest(symbol, time, value, source=source)
    if one.mark is not None:
        time, (price,) = cut(one.mark.time, (one.mark.price,), after, end_ms + 1)
        stored += lake.append_mark(MarkStamps(symbol=symbol, time=time, price=price), source=source)
    if one.taker is not None:
        time, (share,) = cut(one.taker.open_time, (one.taker.share,), lo, end_ms)
        shares = TakerShares(symbol=symbol, timeframe=one.candles.timeframe, open_time=time, share=share)
        stored += lake.append_taker(shares, source=source)
    return stored


def cut(time: np.ndarray, columns: Sequence[np.ndarray], start_ms: int | None, end_ms: int):
    """The part of sorted stamps in ``[start_ms, end_ms)``."""
    lo = 0 if start_ms is None else int(np.searchsorted(time, start_ms))
    hi = int(np.searchsorted(time, end_ms))
    return time[lo:hi], tuple(column[lo:hi] for column in columns)
