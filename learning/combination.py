"""How are the models of one moment combined, knowing only what had resolved by then?

Prequential: calibrations, ensemble weights and thresholds used from a bar on are fitted on out-of-fold predictions
whose labels ended before that bar. The same function serves every scored fold and the final bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.events import Sides
from learning.backtest import DenseMarket, dense_market, dense_probabilities
from learning.calibration import Calibrated, kept_vector_scaling
from learning.config import TrainingConfig
from learning.ensemble import best_weights, fixed_weights
from learning.labels import UNRESOLVED
from learning.panel import Panel
from learning.thresholds import ThresholdChoice, choose_thresholds, threshold_candidates
from learning.weights import uniqueness_weights
from market.candles import Floats, Ints
from registry.policy import DecisionPolicy
from registry.predictors import ensemble_mean
from registry.sides import restrict_to_sides

__all__ = ["Combination", "OutOfFold", "fit_combination"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutOfFold:
    """Predictions on test windows: ascending panel ``rows (n,)`` and uncalibrated ``raw (M, n, 3)``.

    ``first_index`` is the first bar of the first test window.
    """

    rows: Ints
    raw: Floats
    first_index: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Combination:
    """What turns raw probabilities into decisions: of the ensemble, and of each model on its own."""

    calibrations: tuple[Calibrated, ...]
    weights: Floats
    ensemble: ThresholdChoice
    alone: tuple[ThresholdChoice, ...]

    def calibrated(self, raw: Floats, sides: Sides) -> Floats:
        """``(M, n, 3)`` raw to calibrated, where the sides ``(n, 2)`` are open."""
        return _applied(self.calibrations, raw, sides)

    def policy(self, base: DecisionPolicy) -> DecisionPolicy:
        """The ensemble's policy: ``base`` with its thresholds."""
        return replace(base, thresholds=self.ensemble.thresholds)

    def policy_alone(self, base: DecisionPolicy, model: int) -> DecisionPolicy:
        """The policy of one model deciding alone: its thresholds, and itself as quorum."""
        return replace(base, thresholds=self.alone[model].thresholds, min_healthy=1)


def fit_combination(panel: Panel, oof: OutOfFold, *, before_index: int, config: TrainingConfig) -> Combination:
    """Fit on the out-of-fold rows whose label ended before ``before_index`` minus the gap."""
    known = panel.label_end[oof.rows] < before_index - config.gap_bars
    rows, raw = oof.rows[known], oof.raw[:, known]
    fit = panel.y[rows] != UNRESOLVED
    calibrations = _calibrations(panel, rows[fit], raw[:, fit], config)
    calibrated = _applied(calibrations, raw, panel.sides[rows])
    weights = _weights(calibrated[:, fit], panel.y[rows[fit]], config)
    market = dense_market(panel, rows, first_index=oof.first_index, end_index=before_index)
    chooser = _Chooser(panel=panel, market=market, rows=rows, config=config)
    base = config.policy
    return Combination(
        calibrations=calibrations,
        weights=weights,
        ensemble=chooser.choose(base, weights, calibrated),
        alone=tuple(chooser.choose(replace(base, min_healthy=1), np.ones(1), p[None]) for p in calibrated),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chooser:
    panel: Panel
    market: DenseMarket
    rows: Ints
    config: TrainingConfig

    def choose(self, policy: DecisionPolicy, weights: Floats, calibrated: Floats) -> ThresholdChoice:
        mean: NDArray[np.float64] = ensemble_mean(calibrated, weights)
        return choose_thresholds(
            policy,
            weights,
            market=self.market,
            probabilities=dense_probabilities(self.market, self.rows, calibrated),
            panel=self.panel,
            candidates=threshold_candidates(mean, self.config.threshold_quantiles),
            min_trades=self.config.min_trades,
        )


def _applied(calibrations: Sequence[Calibrated], raw: Floats, sides: Sides) -> Floats:
    scaled = np.stack([one.scaling.apply(p) for one, p in zip(calibrations, raw, strict=True)])
    return restrict_to_sides(scaled, sides)


def _weights(calibrated: Floats, y: NDArray[np.int8], config: TrainingConfig) -> Floats:
    rule = config.ensemble
    if rule.rule == "fixed":
        return fixed_weights(rule, config.models)
    return best_weights(calibrated, y, low=rule.weight_min, high=rule.weight_max)


def _calibrations(panel: Panel, rows: Ints, raw: Floats, config: TrainingConfig) -> tuple[Calibrated, ...]:
    bar_index, label_end, y = panel.bar_index[rows], panel.label_end[rows], panel.y[rows]
    weight = uniqueness_weights(panel.symbol_id[rows], bar_index, label_end)
    return tuple(
        kept_vector_scaling(p, y, weight, bar_index=bar_index, label_end=label_end, gap_bars=config.gap_bars)
        for p in raw
    )
