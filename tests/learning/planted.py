"""A small market whose answer is known: how strongly do features tell the future of a random walk?"""

from dataclasses import replace

import numpy as np

from features.batch import FeatureBlock
from features.contract import FeatureContract
from features.events import EventRule, Mode
from learning.config import TrainingConfig
from learning.panel import Panel, SymbolHistory, build_panel
from market.barriers import BarrierSpec, PricePath
from market.costs import CostModel
from registry.policy import DecisionPolicy

STILL = ("trend_regime", "wild_regime", "ref_corr_288")  # at 0: no trend, not wild, moving with nothing
NAMES = (
    *("hint", "noise", "atr_pct", "atr_ratio", "realized_vol_288", "ema_9_21_diff", "oi_change", "rsi", "macd_hist"),
    *STILL,
)
SPEC = BarrierSpec(horizon_bars=12, profit=3.0, stop=3.0, costs=CostModel())
FIRST = 6_000_000
CONTRACT = FeatureContract(
    names=NAMES,
    dtype="float32",
    timeframe_ms=300_000,
    block_bars=2016,
    warmup_bars=1152,
    max_filled=12,
    fill_window_bars=288,
    reference_symbol="SYNAUSDT",
    nan_allowed=("oi_change",),
    kernel_hash="0" * 32,
)


def planted_histories(*, bars: int = 3000, symbols: int = 3, edge: float = 1.0, seed: int = 1) -> list[SymbolHistory]:
    """Random walks of 0.2 % a bar; ``hint`` is noise plus ``edge`` times the next 12 bars' return in spreads."""
    rng = np.random.default_rng(seed)
    return [_history(f"SYN{chr(65 + i)}USDT", rng, bars, edge) for i in range(symbols)]


def planted_panel(*, every_bars: int = 2, mode: Mode = "direction", **arguments: float) -> Panel:
    """``planted_histories`` as a panel, decided at every ``every_bars``-th bar."""
    events = EventRule(mode=mode, every_bars=every_bars)
    return build_panel(planted_histories(**arguments), contract=CONTRACT, spec=SPEC, events=events)


def tiny_config(**changes: object) -> TrainingConfig:
    """Tiny trees and three folds: one training takes a second or two."""
    policy = DecisionPolicy(thresholds=(0.5, 0.5), horizon_bars=SPEC.horizon_bars, volatility_limit=1.0)
    config = TrainingConfig(
        policy=policy,
        min_train_bars=900,
        folds=3,
        lightgbm_trees=15,
        lightgbm_leaves=7,
        xgboost_trees=15,
        xgboost_depth=3,
        learning_rate=0.2,
        early_stopping_rounds=5,
        min_leaf_rows=20,
        xgboost_min_child_weight=4.0,
        min_trades=10,
        threshold_quantiles=(0.5, 0.8, 0.95),
    )
    return replace(config, **changes)


def _history(symbol: str, rng: np.random.Generator, bars: int, edge: float) -> SymbolHistory:
    steps = rng.normal(0.0, 0.002, bars)
    close = 100.0 * np.exp(np.cumsum(steps))
    open_ = np.concatenate(([100.0], close[:-1]))
    wick = np.abs(rng.normal(0.0, 0.0005, (2, bars)))
    path = PricePath(
        first_index=FIRST,
        open=open_,
        high=np.maximum(open_, close) * (1.0 + wick[0]),
        low=np.minimum(open_, close) * (1.0 - wick[1]),
        close=close,
        real=np.ones(bars, dtype=bool),
        funding_paid=np.where(np.arange(bars) % 96 == 0, 1e-4, 0.0),
        funding_known=np.ones(bars, dtype=bool),
    )
    ahead = np.concatenate((np.cumsum(steps), np.full(12, np.cumsum(steps)[-1])))
    future = (ahead[12:] - ahead[:-12]) / (0.002 * np.sqrt(12.0))
    values = rng.normal(size=(bars, len(NAMES))).astype(np.float32)
    values[:, 0] = edge * future + rng.normal(size=bars)
    values[:, 2] = 0.0025
    values[:, 3] = 1.0
    values[:, 4] = 0.002
    values[::7, 6] = np.nan
    values[:, -len(STILL) :] = 0.0
    block = FeatureBlock(symbol=symbol, first_index=FIRST, values=values, reason=np.zeros(bars, dtype=np.uint16))
    return SymbolHistory(symbol=symbol, features=block, path=path)
