"""What does MLflow show of one training?

Plain values for ``registry.mlflow_store`` from the facts that were sealed and the evidence beside them: a name that can
be told apart in a list, a description, tags, numbers in groups (``oof/``, ``model/``, ``baseline/``, ``fold/``), and a
child for each fold and each trial.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.model_card import day, flatten
from registry.run_record import ChildRun, RunRecord, RunState
from tasks.report import BASELINES

__all__ = ["run_name", "training_record"]

Facts = Mapping[str, Any]
_STATES: dict[str, RunState] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "FAILED": "FAILED"}


def training_record(
    facts: Facts,
    evidence: Facts,
    *,
    bundle_hash: str,
    training_key: str,
    timings: Mapping[str, float],
    artifacts: Mapping[str, Sequence[Path]],
    trials: Sequence[Facts] = (),
) -> RunRecord:
    """The run of one training; ``trials`` have ``name``, ``params``, ``metrics`` and ``state`` (Optuna's words)."""
    evaluation = facts["evaluation"]
    folds = evaluation["folds"]
    config = facts["config"]
    return RunRecord(
        name=run_name(facts, bundle_hash),
        description=_description(facts, evidence),
        params=_params(facts, config),
        metrics=_metrics(evaluation, evidence, timings),
        series={
            f"fold/{name}": {fold["fold"]: fold.get(name) for fold in folds}
            for name in ("log_loss", "climatology_log_loss", "net_return", "trades", "train_rows")
        },
        tags={
            "snapshot_id": facts["snapshot_id"],
            "commit": facts["commit"],
            "training_key": training_key,
            "mode": config["events"]["mode"],
            "timeframe": facts["timeframe"],
            "symbols": _few(facts["symbols"]),
            "period": _period(facts),
            "kind": "training",
        },
        children=(*(_fold(fold) for fold in folds), *(_trial(trial) for trial in trials)),
        artifacts=artifacts,
        seconds=sum(timings.values()),
    )


def run_name(facts: Facts, bundle_hash: str) -> str:
    """The beginning of the bundle hash, model and period: what tells runs apart comes first, where lists cut off."""
    return f"{bundle_hash[:8]} {facts['model_name']} {_period(facts)}"


def _description(facts: Facts, evidence: Facts) -> str:
    evaluation = facts["evaluation"]
    sure = evaluation["uncertainty"]
    ours, seen = sure["strategies"]["ensemble"], sure["minimum_detectable"]
    lines = [f"Training of **{facts['model_name']}** on {len(facts['symbols'])} symbols, {_period(facts)} UTC."]
    if facts["synthetic"]:
        lines += ["", "> **Synthetic market.** It says nothing about a real one and is never served live."]
    scored = evaluation["scored"]
    smallest = f"{_told(seen['skill'], '.4f')} nats, Sharpe {_told(seen['sharpe'], '.2f')} a year"
    deflated, pbo = evidence["deflated_sharpe"]["probability"], evidence["pbo"]["pbo"]
    lines += [
        "",
        f"| out of fold, {scored['rows']:,} rows | ensemble | {sure['confidence']:.0%} interval |",
        "|---|---:|---|",
        _line("Skill against class shares, nats a bar", ours["skill"], "+.4f"),
        _line("Net return", ours["net_return"], "+.2%"),
        _line("Sharpe, a year", ours["sharpe"], ".2f"),
        "",
        f"- Smallest edge it would have seen ({seen['power']:.0%} power): {smallest}",
        f"- {evidence['trials']} trials on it; deflated Sharpe {_told(deflated, '.3f')}, PBO {_told(pbo, '.2f')}",
        f"- Snapshot `{facts['snapshot_id']}`, commit `{facts['commit']}`, seed {facts['seed']}",
        "",
        "The page of the training is `reports/`; every trade and out-of-fold prediction is in `evaluation/`.",
    ]
    return "\n".join(lines)


def _line(title: str, found: Facts | None, form: str) -> str:
    values = found or {}
    ends = f"{_told(values.get('low'), form)} to {_told(values.get('high'), form)}"
    return f"| {title} | {_told(values.get('value'), form)} | {ends} |"


def _told(value: float | None, form: str) -> str:
    return "\u2013" if value is None else format(value, form)


def _params(facts: Facts, config: Facts) -> dict[str, object]:
    """What was chosen, under the names of the settings; what is learnt or told by tags is left out."""
    training = dict(config["training"])
    policy = {name: value for name, value in training.pop("policy").items() if name != "thresholds"}
    ensemble = training.pop("ensemble")
    if not ensemble.get("weights"):
        ensemble = {name: value for name, value in ensemble.items() if name != "weights"}
    chosen = {
        "training": training,
        "ensemble": ensemble,
        "decision": policy,
        "labels": config["labels"],
        "events": config["events"],
        "contract": config["contract"],
        "universe": config["universe"],
        "data": {
            "timeframe": facts["timeframe"],
            "symbols": len(facts["symbols"]),
            "until": day(facts["train_end_ms"]),
        },
    }
    return {name: _plain(value) for name, value in flatten(chosen).items()}


def _plain(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _metrics(evaluation: Facts, evidence: Facts, timings: Mapping[str, float]) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, scores in evaluation["strategies"].items():
        group = "oof" if name == "ensemble" else f"baseline/{name}" if name in BASELINES else f"model/{name}"
        made |= {f"{group}/{metric}": value for metric, value in scores.items()}
    sure = evaluation["uncertainty"]
    for metric, found in sure["strategies"]["ensemble"].items():
        if found is not None and metric != "net_per_bar":
            made |= {f"oof/{metric}_{end}": found[end] for end in ("low", "high")}
    made["oof/skill"] = (sure["strategies"]["ensemble"]["skill"] or {}).get("value")
    made["oof/calibration_slope"] = evaluation["calibration_slope"]
    made |= {f"detectable/{name}": sure["minimum_detectable"][name] for name in ("skill", "sharpe")}
    made["evidence/deflated_sharpe"] = evidence["deflated_sharpe"]["probability"]
    made["evidence/pbo"] = evidence["pbo"]["pbo"]
    made["evidence/trials"] = evidence["trials"]
    made |= {f"rows/{name}": evaluation["scored"][name] for name in ("decisions", "rows", "effective_rows")}
    made["rows/training"] = evaluation["final"]["train_rows"]
    return made | {f"time_s/{stage}": seconds for stage, seconds in timings.items()}


def _fold(fold: Facts) -> ChildRun:
    shown = ("log_loss", "climatology_log_loss", "net_return", "trades", "train_rows", "test_rows", "purged_rows")
    metrics = {name: fold.get(name) for name in shown}
    if metrics["log_loss"] is not None and metrics["climatology_log_loss"] is not None:
        metrics["skill"] = metrics["climatology_log_loss"] - metrics["log_loss"]
    metrics |= {f"rounds/{name}": count for name, count in fold["rounds"].items()}
    return ChildRun(
        name=f"fold {fold['fold']}: {day(fold['test_first_ms'])} to {day(fold['test_end_ms'])}",
        kind="fold",
        params={
            "fold": fold["fold"],
            "train_from": day(fold["train_first_ms"]),
            "test_from": day(fold["test_first_ms"]),
            "test_until": day(fold["test_end_ms"]),
            "scored": fold["scored"],
        },
        metrics=metrics,
    )


def _trial(trial: Facts) -> ChildRun:
    state = str(trial["state"]).upper()
    return ChildRun(
        name=str(trial["name"]),
        kind="trial",
        params=trial["params"],
        metrics=trial["metrics"],
        state=_STATES.get(state, "FINISHED"),
    )


def _few(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - 6} more" if len(symbols) > 6 else ""
    return ", ".join(symbols[:6]) + more


def _period(facts: Facts) -> str:
    return f"{day(facts['train_start_ms'])} to {day(facts['train_end_ms'])}"
