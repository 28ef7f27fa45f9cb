"""Where is the page of a training, and what goes into it?

One self-contained HTML page per bundle in ``<home>/reports``, made from the facts that were sealed, the evidence beside
them and the out-of-fold returns. Written atomically; equal trainings give the same page but for its date and times.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from learning.backtest import equity_curve
from learning.report_inputs import EquityCurve, ScoreRow, Timing
from learning.training import TrainingResult
from learning.training_report_inputs import (
    Difference,
    Fact,
    FeatureShare,
    FoldLine,
    Group,
    GroupTable,
    Range,
    StrategyLine,
    TrainingReport,
    TrialLine,
)
from market.timeframe import Timeframe
from registry.model_card import day
from tasks.report import BASELINES, calibration_curves

__all__ = ["report_path", "training_report"]

Facts = Mapping[str, Any]
_POINTS, _FEATURES = 600, 20
_CURVES = {"ensemble": "ensemble", "buy_and_hold": "buy and hold", "primary_rule": "primary rule"}
_KINDS = {
    "symbol": ("By symbol", "A trade belongs to the group of its decision; costs are fees, slippage and funding."),
    "month": ("By month", "Months in UTC, by the bar of the decision."),
    "volatility": ("By volatility", "Daily volatility at the decision against terciles of the fold's training rows."),
    "trend": ("By trend", "EMA 9 over EMA 21 at the decision; sideways below its median size in the training rows."),
}


def report_path(home: Path, *, model_name: str, bundle_hash: str) -> Path:
    """Where the page of the training of this bundle is, made or not."""
    return home / "reports" / f"{model_name}-{bundle_hash[:12]}.html"


def training_report(
    facts: Facts,
    evidence: Facts,
    result: TrainingResult,
    *,
    bundle_hash: str,
    features: Sequence[str],
    made_ms: int,
    timings: Mapping[str, float],
    trials: Sequence[Facts] = (),
) -> TrainingReport:
    """The page's values; ``features`` name the columns, ``trials`` are those of the tuning, if there was one."""
    evaluation = facts["evaluation"]
    sure, strategies = evaluation["uncertainty"], evaluation["strategies"]
    importance, stability = _importance(result, features)
    return TrainingReport(
        model_name=facts["model_name"],
        bundle_hash=bundle_hash,
        timeframe=facts["timeframe"],
        period=f"{day(facts['train_start_ms'])} to {day(facts['train_end_ms'])} UTC",
        made_ms=made_ms,
        synthetic=facts["synthetic"],
        skill=_range(sure["strategies"]["ensemble"]["skill"]),
        confidence=sure["confidence"],
        block_bars=sure["block_bars"],
        blocks=sure["blocks"],
        detectable_skill=sure["minimum_detectable"]["skill"],
        detectable_sharpe=sure["minimum_detectable"]["sharpe"],
        power=sure["minimum_detectable"]["power"],
        trials=evidence["trials"],
        deflated_sharpe=evidence["deflated_sharpe"]["probability"],
        overfitting=evidence["pbo"]["pbo"],
        facts=_facts(facts),
        strategies=tuple(_strategy(name, scores, sure) for name, scores in strategies.items()),
        differences=tuple(
            Difference(name=_plain(name), skill=_range(found["skill"]), net_return=_range(found["net_return"]))
            for name, found in sure["differences"].items()
        ),
        equity=_curves(result, Timeframe.parse(facts["timeframe"])),
        calibration=calibration_curves(evidence["reliability"]),
        calibration_slope=evaluation["calibration_slope"],
        importance=importance,
        stability=stability,
        shares=(
            ("in the final training rows", tuple(evaluation["class_shares"])),
            ("seen out of fold", tuple(evaluation["observed_shares"])),
            ("most likely, ensemble", tuple(evaluation["predicted_shares"])),
            ("expected, ensemble", tuple(evaluation["mean_probabilities"])),
        ),
        folds=tuple(_fold(fold) for fold in evaluation["folds"]),
        breakdown=tuple(_group_table(kind, groups) for kind, groups in evaluation["breakdown"].items()),
        steps=tuple(sorted(evaluation["decision_steps"].items(), key=lambda step: -step[1])),
        trial_lines=_trials(trials, facts),
        timings=tuple(Timing(step=stage, seconds=seconds) for stage, seconds in timings.items()),
    )


def _facts(facts: Facts) -> tuple[Fact, ...]:
    labels, events, training = facts["config"]["labels"], facts["config"]["events"], facts["config"]["training"]
    costs = labels["costs"]
    sampled = f"every {events['every_bars']} bars" if events["sampling"] != "cusum" else "CUSUM events"
    universe = facts.get("universe") or {}
    chosen = {
        "folds": f"{training['folds']}, {training['mode']} windows",
        "learning rate": training["learning_rate"],
        "LightGBM": f"up to {training['lightgbm_trees']} trees of {training['lightgbm_leaves']} leaves",
        "XGBoost": f"up to {training['xgboost_trees']} trees of depth {training['xgboost_depth']}",
        "class balance": training["class_balance"],
        "device": training["device"],
    }
    unit = "ATR" if labels["unit"] == "atr" else "of the price"
    return (
        Fact(name="Symbols", value=f"{len(facts['symbols'])}: {', '.join(facts['symbols'])}"),
        Fact(name="Universe", value=str(universe.get("mode", "\u2013"))),
        Fact(name="Data snapshot", value=facts["snapshot_id"], code=True),
        Fact(name="Commit", value=facts["commit"], code=True),
        Fact(name="Seed", value=str(facts["seed"])),
        Fact(name="Decided on", value=f"{events['mode']} mode, {sampled}"),
        Fact(
            name="Label",
            value=f"{labels['horizon_bars']} bars ahead, profit {labels['profit']:g} {unit}, stop "
            f"{labels['stop']:g} {unit}; fee {costs['taker_fee_bps']:g} and slippage {costs['slippage_bps']:g} bps a "
            "side, actual funding",
        ),
        Fact(name="Settings", value="; ".join(f"{name} {value}" for name, value in chosen.items())),
        Fact(name="Feature contract", value=facts["config"]["contract"], code=True),
    )


def _strategy(name: str, scores: Facts, sure: Facts) -> StrategyLine:
    found = sure["strategies"].get(name, {})
    return StrategyLine(
        scores=ScoreRow(
            name=_plain(name),
            role="ensemble" if name == "ensemble" else "baseline" if name in BASELINES else "model",
            log_loss=scores.get("log_loss"),
            brier=scores.get("brier"),
            trades=scores.get("trades"),
            hit_rate=scores.get("hit_rate"),
            profit_factor=scores.get("profit_factor"),
            sharpe=scores.get("sharpe"),
            max_drawdown=scores.get("max_drawdown"),
            total_return=scores.get("net_return"),
        ),
        net_return=_range(found.get("net_return"), value=scores.get("net_return")),
        sharpe=_range(found.get("sharpe"), value=scores.get("sharpe")),
    )


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _range(found: Facts | None, *, value: float | None = None) -> Range:
    """An interval as it was stored; ``value`` where there is none."""
    return Range(value=value) if found is None else Range(**found)


def _curves(result: TrainingResult, timeframe: Timeframe) -> tuple[EquityCurve, ...]:
    step = max(result.equity_index.size // _POINTS, 1)
    times = tuple(timeframe.open_time(int(index)) for index in result.equity_index[::step])
    return tuple(
        EquityCurve(name=title, time_ms=times, equity=tuple(equity_curve(result.bar_returns[name])[::step].tolist()))
        for name, title in _CURVES.items()
        if name in result.bar_returns
    )


def _importance(result: TrainingResult, features: Sequence[str]) -> tuple[tuple[FeatureShare, ...], float | None]:
    """The first features of the final fit with their shares per fold, and the mean rank correlation of the folds."""
    from scipy.stats import spearmanr

    folds, final = result.importance[:-1], result.importance[-1]
    order = np.argsort(-final, kind="stable")[:_FEATURES]
    first = [set(np.argsort(-fold, kind="stable")[:_FEATURES].tolist()) for fold in folds]
    told = tuple(
        FeatureShare(
            name=features[column],
            final=float(final[column]),
            folds=tuple(folds[:, column].tolist()),
            among_first=sum(column in names for names in first),
        )
        for column in order.tolist()
    )
    if np.ptp(final) == 0.0 or not all(np.ptp(fold) > 0.0 for fold in folds):
        return told, None
    return told, float(np.mean([spearmanr(fold, final).statistic for fold in folds]))


def _fold(fold: Facts) -> FoldLine:
    return FoldLine(
        number=fold["fold"],
        rounds=", ".join(f"{name} {count}" for name, count in fold["rounds"].items()),
        log_loss=fold.get("log_loss"),
        climatology_log_loss=fold.get("climatology_log_loss"),
        trades=fold.get("trades"),
        net_return=fold.get("net_return"),
        observed=tuple(fold.get("observed_shares", ())),
        predicted=tuple(fold.get("predicted_shares", ())),
        **{
            name: fold[name]
            for name in ("train_first_ms", "test_first_ms", "test_end_ms", "train_rows", "purged_rows", "test_rows")
        },
    )


def _group_table(kind: str, groups: Sequence[Facts]) -> GroupTable:
    title, note = _KINDS[kind]
    names = Group.__dataclass_fields__
    return GroupTable(
        title=title, note=note, groups=tuple(Group(**{name: group[name] for name in names}) for group in groups)
    )


def _trials(trials: Sequence[Facts], facts: Facts) -> tuple[TrialLine, ...]:
    """Trials of the tuning, judged on their inner splits, then what was looked at: the ensemble and each model."""
    scores = facts["evaluation"]["strategies"]
    own = [
        {"name": name, "state": "this training", "metrics": found}
        for name, found in scores.items()
        if name not in BASELINES
    ]
    return tuple(
        TrialLine(
            name=_plain(str(one["name"])),
            state=str(one["state"]).lower(),
            log_loss=one["metrics"].get("log_loss", one["metrics"].get("inner_log_loss")),
            sharpe=one["metrics"].get("sharpe"),
            net_return=one["metrics"].get("net_return"),
        )
        for one in (*trials, *own)
    )
