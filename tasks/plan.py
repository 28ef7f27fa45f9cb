"""Which stretch of history trains, which one judges, which one is served?

Three stretches that never overlap, counted back from the last bar: the model trains on the first, is shadow-tested
bar by bar on the second, which nothing was fitted on, and is served on the third. Settings become the plain values
that the rooms below work with here, and nowhere else.
"""

import os
from dataclasses import asdict, dataclass
from math import ceil

from features.contract import FeatureContract, FeatureSpec, running_contract
from features.events import EventRule
from features.primary_rule import PrimaryRule
from infra.settings import Settings
from learning.combinatorial import Combinatorial
from learning.config import TrainingConfig
from learning.ensemble import EnsembleRule, parse_weights
from learning.trainers import TRAINERS
from learning.tuning import TuningPlan
from learning.walk_forward import fewest_test_bars
from market.barriers import BarrierSpec
from market.costs import CostModel
from market.errors import LockstepError
from market.timeframe import HOUR_MS, Timeframe
from registry.policy import DecisionPolicy
from registry.policy_rules import GuardRule, RegimeRule
from serving.venue_rule import VenueRule

__all__ = [
    "NotEnoughHistoryError",
    "Stretches",
    "barrier_spec",
    "config_facts",
    "contract_of",
    "event_rule",
    "plan_stretches",
    "timeframe_of",
    "training_config",
    "tuning_plan",
    "venue_rule",
]


class NotEnoughHistoryError(LockstepError):
    """The lake holds too few bars for what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """Absolute bar indices, each end exclusive: train, then shadow, then serve."""

    first: int
    train_end: int
    shadow_end: int
    serve_end: int


def timeframe_of(settings: Settings) -> Timeframe:
    """The timeframe of the home."""
    return Timeframe.parse(settings.data.timeframe)


def contract_of(settings: Settings) -> FeatureContract:
    """The feature contract of the running kernel under these settings."""
    f = settings.features
    return running_contract(
        FeatureSpec(
            timeframe=timeframe_of(settings),
            reference_symbol=f.reference_symbol,
            block_bars=f.block_bars,
            warmup_bars=f.warmup_bars,
            max_filled=f.max_filled,
            fill_window_bars=f.fill_window_bars,
            funding_required=f.funding_required,
        )
    )


def barrier_spec(settings: Settings) -> BarrierSpec:
    """Exit rules and costs of labels, paper trades and outcomes."""
    s = settings.labels
    costs = CostModel(
        taker_fee_bps=s.taker_fee_bps,
        slippage_bps=s.slippage_bps,
        slippage_vol_floor=s.slippage_vol_floor,
        assumed_funding_bps_per_bar=s.assumed_funding_bps * timeframe_of(settings).ms / (8 * HOUR_MS),
    )
    return BarrierSpec(
        horizon_bars=s.horizon_bars,
        profit=s.profit,
        stop=s.stop,
        unit=s.barrier_unit,
        trail=s.trail,
        trail_after=s.trail_after,
        costs=costs,
    )


def event_rule(settings: Settings) -> EventRule:
    """At which bars the next bundle decides, and who names the side."""
    e = settings.events
    primary = PrimaryRule(
        ema_weight=e.ema_weight, rsi_weight=e.rsi_weight, macd_weight=e.macd_weight, threshold=e.primary_threshold
    )
    return EventRule(mode=e.mode, sampling=e.sampling, every_bars=e.every_bars, primary=primary)


def training_config(settings: Settings) -> TrainingConfig:
    """How models are fitted, with the decision policy they will be judged through."""
    t = settings.training
    # Thresholds are learnt on out-of-fold rows; 1.0 means that no model can vote before they are.
    policy = DecisionPolicy(
        thresholds=(1.0, 1.0),
        horizon_bars=settings.labels.horizon_bars,
        bars_per_day=timeframe_of(settings).bars_per_day,
        regime=RegimeRule(**settings.regime.model_dump()),
        guard=GuardRule(**settings.guard.model_dump()),
        **settings.decision.model_dump(),
    )
    _require_quorum(policy)
    return TrainingConfig(
        policy=policy,
        min_train_bars=t.min_train_days * timeframe_of(settings).bars_per_day,
        folds=t.folds,
        gap_bars=t.gap_bars,
        mode=t.mode,
        seed=t.seed,
        threads=t.threads or os.cpu_count() or 1,
        device=t.device,
        learning_rate=t.learning_rate,
        lightgbm_trees=t.lightgbm_trees,
        lightgbm_leaves=t.lightgbm_leaves,
        min_leaf_rows=t.min_leaf_rows,
        lightgbm_feature_fraction=t.lightgbm_feature_fraction,
        lightgbm_l2=t.lightgbm_l2,
        xgboost_trees=t.xgboost_trees,
        xgboost_depth=t.xgboost_depth,
        xgboost_min_child_weight=t.xgboost_min_child_weight,
        xgboost_feature_fraction=t.xgboost_feature_fraction,
        xgboost_subsample=t.xgboost_subsample,
        xgboost_l2=t.xgboost_l2,
        logistic_c=t.logistic_c,
        early_stopping_rounds=t.early_stopping_rounds,
        early_stopping_share=t.early_stopping_share,
        decay_half_life_bars=t.decay_half_life_days * timeframe_of(settings).bars_per_day,
        class_balance=t.class_balance,
        ensemble=_ensemble(settings),
    )


def _require_quorum(policy: DecisionPolicy) -> None:
    models = len(TRAINERS)
    if policy.min_healthy > models:
        raise LockstepError(
            f"decision.min_healthy is {policy.min_healthy}, but {models} models are trained",
            why="there would never be a quorum, so the bundle could never act",
            remedy=f"set decision.min_healthy to {models} or less",
        )


def _ensemble(settings: Settings) -> EnsembleRule:
    e = settings.ensemble
    return EnsembleRule(
        rule=e.rule, weight_min=e.weight_min, weight_max=e.weight_max, weights=parse_weights(e.fixed_weights)
    )


def tuning_plan(settings: Settings) -> TuningPlan | None:
    """How hyper-parameters are searched; None where they are not."""
    t = settings.tuning
    if not t.trials:
        return None
    splits = Combinatorial(
        groups=t.groups,
        test_groups=t.test_groups,
        gap_bars=settings.training.gap_bars,
        embargo_bars=settings.labels.horizon_bars,
    )
    return TuningPlan(trials=t.trials, seconds=t.minutes * 60.0, windows=t.windows, max_rows=t.max_rows, splits=splits)


def venue_rule(settings: Settings) -> VenueRule:
    """The rule of these settings: clocks agree in every mode, and in live mode the venue answered lately."""
    return VenueRule(
        venue=settings.data.exchange,
        max_clock_skew_ms=int(settings.data.max_clock_skew_s * 1000),
        answer_needed=settings.serving.mode == "live",
    )


def config_facts(settings: Settings) -> dict[str, object]:
    """Every number that shapes a training, as JSON: part of its identity and of the bundle's facts."""
    tuning = tuning_plan(settings)
    return {
        "labels": asdict(barrier_spec(settings)),
        "events": asdict(event_rule(settings)),
        "training": asdict(training_config(settings)),
        "tuning": None if tuning is None else asdict(tuning),
        "contract": contract_of(settings).fingerprint,
    }


def plan_stretches(*, first: int, end: int, settings: Settings) -> Stretches:
    """Divide the bars ``[first, end)``, of which at most ``training.max_days`` train.

    Raises when the training stretch cannot hold its folds.
    """
    per_day = timeframe_of(settings).bars_per_day
    serve = settings.shadow.serve_days * per_day
    shadow = settings.shadow.shadow_days * per_day
    train_end = end - serve - shadow
    t = settings.training
    warm = first + settings.features.warmup_bars
    if t.max_days:
        first = max(first, train_end - t.max_days * per_day)
    tested = t.folds * fewest_test_bars(settings.labels.horizon_bars)
    needed = max(warm - first, 0) + t.min_train_days * per_day + tested
    if train_end - first < needed:
        missing = ceil((needed - (train_end - first)) / per_day)
        raise NotEnoughHistoryError(
            f"{max(end - first, 0) / per_day:.1f} days of history",
            why=f"{(needed + shadow + serve) / per_day:.1f} are needed: {needed / per_day:.1f} to train on, then "
            f"{settings.shadow.shadow_days} of shadow test and {settings.shadow.serve_days} of serving that no model "
            "may see",
            remedy=f"backfill {missing} more days, or shorten training.min_train_days or shadow.shadow_days"
            + (", or allow more with training.max_days" if t.max_days else ""),
        )
    return Stretches(first=first, train_end=train_end, shadow_end=end - serve, serve_end=end)
