"""A market whose truth is known: what the best forecast would score, and what a trade made in each state would net.

Two hidden switches, ``lean`` and ``tilt``, are each +1 or -1 and are thrown anew, once in four bars on average.
While tilt is +1, the next bar's mean return is ``edge`` deviations towards lean; else returns are noise. Both are
features, read without error, and returns have no other memory: given the two, the future depends on nothing that a
feature could know. So the skill of the best forecast over class shares is the mutual information of class and state,
and the mean net of a trade follows from the state alone. Both are measured on one long history of the same market.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.signal import lfilter

from features.batch import FeatureBlock
from learning.config import TrainingConfig
from learning.panel import Panel, SymbolHistory, build_panel
from market.barriers import BarrierSpec, PricePath
from market.costs import CostModel
from tests.learning.planted import CONTRACT as PLANTED
from tests.learning.planted import FIRST, STILL, tiny_config

HORIZON = 6
SIGMA = 0.002
THROW = 0.25
NAMES = (
    *("lean", "tilt", "last_return", "slow_noise", "atr_pct", "atr_ratio", "realized_vol_288", "ema_9_21_diff"),
    *STILL,
)
CONTRACT = replace(PLANTED, names=NAMES, nan_allowed=())
SPEC = BarrierSpec(horizon_bars=HORIZON, profit=3.0, stop=3.0, costs=CostModel())


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Given a market's ``edge``: what happens in each of the four states (rows).

    ``classes (4, 3)`` probabilities of HOLD, BUY, SELL; ``net (4, 2)`` mean net of a long and a short; ``skill`` nats
    that the best forecast gains on class shares.
    """

    classes: np.ndarray
    net: np.ndarray
    skill: float


def market_panel(*, edge: float, seed: int, bars: int, symbols: int, costs: CostModel = SPEC.costs) -> Panel:
    """Rows of a few such markets, independent of one another."""
    rng = np.random.default_rng((seed, 77))
    histories = [_history(f"SYN{chr(65 + i)}USDT", rng, bars, edge) for i in range(symbols)]
    return build_panel(histories, contract=CONTRACT, spec=replace(SPEC, costs=costs))


@cache
def truth(edge: float) -> Truth:
    """What 400,000 bars of one such market say."""
    panel = market_panel(edge=edge, seed=0, bars=400_000, symbols=1)
    known = panel.y >= 0
    at = state_of(panel)[known]
    joint = np.zeros((4, 3))
    np.add.at(joint, (at, panel.y[known]), 1.0)
    joint /= joint.sum()
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    return Truth(
        classes=joint / joint.sum(axis=1, keepdims=True),
        net=np.stack([panel.net[known][at == state].mean(axis=0) for state in range(4)]),
        skill=float((joint * np.log(joint / alone)).sum()),
    )


def small_config(**changes: object) -> TrainingConfig:
    """Tiny trees and four folds: half a second for three markets of ten days."""
    config = tiny_config(folds=4, min_train_bars=800, **changes)
    return replace(config, threads=1, policy=replace(config.policy, horizon_bars=HORIZON))


def state_of(panel: Panel) -> np.ndarray:
    """``(N,)`` 0 to 3: the two switches of each row as one number."""
    return (2 * (panel.X[:, 0] > 0) + (panel.X[:, 1] > 0)).astype(np.int64)


def _switch(rng: np.random.Generator, bars: int) -> np.ndarray:
    """+1 or -1 at each bar, thrown anew with probability ``THROW``."""
    thrown = np.where(rng.random(bars) < THROW, np.arange(bars), 0)
    return rng.choice([-1.0, 1.0], bars)[np.maximum.accumulate(thrown)]


def _history(symbol: str, rng: np.random.Generator, bars: int, edge: float) -> SymbolHistory:
    lean, tilt = _switch(rng, bars), _switch(rng, bars)
    drift = np.concatenate(([0.0], edge * (lean * (tilt > 0))[:-1]))
    steps = SIGMA * (rng.standard_normal(bars) + drift)
    log_close = np.cumsum(steps)
    close = 100.0 * np.exp(log_close)
    open_ = np.concatenate(([100.0], close[:-1]))
    wick = np.abs(rng.normal(0.0, SIGMA / 4.0, (2, bars)))
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
    values = np.empty((bars, len(NAMES)), dtype=np.float32)
    values[:, 0], values[:, 1] = lean, tilt
    values[:, 2] = steps / SIGMA
    values[:, 3] = lfilter([0.3], [1.0, -0.95], rng.standard_normal(bars))
    values[:, 4], values[:, 5], values[:, 6] = 0.0025, 1.0, SIGMA
    values[:, 7] = lfilter([0.2], [1.0, -0.8], steps) - lfilter([0.09], [1.0, -0.91], steps)
    values[:, -len(STILL) :] = 0.0
    block = FeatureBlock(symbol=symbol, first_index=FIRST, values=values, reason=np.zeros(bars, dtype=np.uint16))
    return SymbolHistory(symbol=symbol, features=block, path=path)
