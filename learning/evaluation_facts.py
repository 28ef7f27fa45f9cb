"""Which facts about a training does its bundle carry?

One JSON-ready dict with stable snake_case keys, equal for equal inputs: no clock, no timings, None for what cannot
be had.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from learning.breakdown import breakdown
from learning.combination import Combination
from learning.config import TrainingConfig
from learning.device import devices_used
from learning.evaluation import ScoredFold, ScoredRows, Strategies
from learning.fold_models import WindowModels
from learning.labels import UNRESOLVED
from learning.metrics import calibration_slope, log_loss
from learning.panel import Panel
from learning.uncertainty import uncertainty
from learning.walk_forward import Fold
from learning.weights import average_uniqueness, effective_rows
from market.timeframe import Timeframe

__all__ = ["Facts", "evaluation_facts"]

Facts = dict[str, object]


def evaluation_facts(
    panel: Panel,
    folds: Sequence[Fold],
    models: Sequence[WindowModels],
    scored: Sequence[ScoredFold],
    combination: Combination,
    rows: ScoredRows,
    compared: Strategies,
    *,
    config: TrainingConfig,
) -> Facts:
    """Everything worth keeping about one training, final window last in ``models``."""
    timeframe = compared.timeframe
    unique = average_uniqueness(rows.symbol_id, rows.bar_index, rows.label_end)
    steps: dict[str, int] = {}
    for one in scored:
        for name, count in one.funnel.items():
            steps[name] = steps.get(name, 0) + count
    by_number = {one.fold.number: one for one in scored}
    return {
        "strategies": compared.scores,
        "uncertainty": uncertainty(
            rows,
            compared.bar_returns,
            horizon_bars=config.policy.horizon_bars,
            bars_per_year=timeframe.bars_per_year,
            seed=config.seed,
        ),
        "breakdown": breakdown(rows, compared.trades["ensemble"], symbols=panel.symbols, timeframe_ms=timeframe.ms),
        "folds": [
            _fold(panel, fold, models[fold.number], by_number.get(fold.number), config, timeframe) for fold in folds
        ],
        "final": {
            "train_rows": int(models[-1].window.rows.size),
            "rounds": _rounds(models[-1]),
            **_sample_size(models[-1]),
            **_combination(combination, config),
        },
        "scored": {
            "folds": [one.fold.number + 1 for one in scored],
            "first_index": compared.first_index,
            "end_index": compared.end_index,
            "decisions": int(sum(one.rows.size for one in scored)),
            "rows": int(rows.y.size),
            "effective_rows": float(unique.sum()),
        },
        "decision_steps": steps,
        "class_shares": models[-1].window.shares.tolist(),
        "observed_shares": _shares(rows.y),
        "predicted_shares": _shares(rows.ensemble.argmax(axis=1)),
        "mean_probabilities": rows.ensemble.mean(axis=0).tolist(),
        "calibration_slope": calibration_slope(rows.ensemble, rows.y),
        "climatology": {name: list(each) for name, each in asdict(models[-1].window.climatology).items()},
        "events": {
            "rule": json.loads(panel.events.to_json()),
            "rows": int(panel.event.sum()),
            "valid_rows": len(panel),
            "unresolved": int((panel.event & (panel.y == UNRESOLVED)).sum()),
        },
        "seed": config.seed,
        "devices": devices_used(config.models, config.device),
    }


def _fold(
    panel: Panel,
    fold: Fold,
    models: WindowModels,
    scored: ScoredFold | None,
    config: TrainingConfig,
    timeframe: Timeframe,
) -> Facts:
    train = panel.bar_index[fold.train_rows]
    facts: Facts = {
        "fold": fold.number + 1,
        "train_first_ms": timeframe.open_time(int(train[0])),
        "test_first_ms": timeframe.open_time(fold.test_first_index),
        "test_end_ms": timeframe.open_time(fold.test_end_index),
        "train_rows": int(models.window.rows.size),
        "purged_rows": _purged(panel, fold, config),
        "test_first_index": fold.test_first_index,
        "test_end_index": fold.test_end_index,
        "test_rows": int(fold.test_rows.size),
        "class_shares": models.window.shares.tolist(),
        "rounds": _rounds(models),
        **_sample_size(models),
        "scored": scored is not None,
    }
    if scored is not None:
        y = panel.y[scored.rows]
        known = y != UNRESOLVED
        results = scored.trades["ensemble"].results
        facts.update(_choice(scored.combination))
        facts.update(
            log_loss=log_loss(scored.ensemble[known], y[known]) if known.any() else None,
            climatology_log_loss=log_loss(scored.climatology[known], y[known]) if known.any() else None,
            trades=int(results.size),
            net_return=float(results.sum()),
            observed_shares=_shares(y[known]),
            predicted_shares=_shares(scored.ensemble[known].argmax(axis=1)),
        )
    return facts


def _purged(panel: Panel, fold: Fold, config: TrainingConfig) -> int:
    """Rows from the first training row to the test window that were left out because their label ends too late."""
    bar_index = panel.bar_index
    within = panel.event & (panel.y != UNRESOLVED) & (bar_index < fold.test_first_index)
    if config.mode == "rolling":
        within &= bar_index >= fold.test_first_index - config.gap_bars - config.min_train_bars
    return int(within.sum()) - int(fold.train_rows.size)


def _combination(combination: Combination, config: TrainingConfig) -> Facts:
    names = config.models
    return {
        **_choice(combination),
        "calibration_gain": {
            name: one.gain for name, one in zip(names, combination.calibrations, strict=True) if one.kept
        },
        "calibration_log_loss": {
            name: {"before": one.before, "after": one.after, "kept": one.kept}
            for name, one in zip(names, combination.calibrations, strict=True)
        },
        "thresholds_alone": {name: list(one.thresholds) for name, one in zip(names, combination.alone, strict=True)},
    }


def _choice(combination: Combination) -> Facts:
    choice = combination.ensemble
    return {
        "weights": combination.weights.tolist(),
        "thresholds": list(choice.thresholds),
        "threshold_trades": choice.trades,
        "threshold_net": choice.net,
        "no_profitable_threshold": not choice.profitable,
    }


def _sample_size(models: WindowModels) -> Facts:
    """How many independent rows the window is worth: by shared labels, and by the spread of its weights (Kish)."""
    weights = models.window.weights
    return {"unique_rows": weights.unique_rows, "kish_rows": effective_rows(weights.weight)}


def _rounds(models: WindowModels) -> Mapping[str, int]:
    return {one.part.name: one.rounds for one in models.fitted}


def _shares(classes: NDArray[np.integer]) -> list[float]:
    counts = np.bincount(classes, minlength=3)
    return [int(count) / max(classes.size, 1) for count in counts]
