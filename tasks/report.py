"""Where is the report of a run, and what goes into it?

One self-contained HTML page per home and model, made from the summary and from what the steps stored. Written
atomically; the same state gives the same page but for its date.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.bootstrap import App
from learning.report import render_report
from learning.report_inputs import (
    CalibrationCurve,
    CoverageRow,
    DriftRow,
    EquityCurve,
    GateRow,
    Parity,
    Place,
    ReportInputs,
    ScoreRow,
    SignalRow,
    Timing,
)
from registry.policy import Action

__all__ = ["BASELINES", "calibration_curves", "report_inputs", "write_atomically", "write_report"]

BASELINES = ("no_trade", "climatology", "primary_rule", "buy_and_hold")


def write_report(app: App, summary: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write ``<home>/reports/<model>.html``; returns its path."""
    inputs = report_inputs(app, summary, done, made_ms=time.time_ns() // 1_000_000)
    path = app.settings.home / "reports" / f"{inputs.model_name}.html"
    write_atomically(path, render_report(inputs))
    return path


def write_atomically(path: Path, text: str) -> None:
    """Write a page so that a reader sees the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_suffix(".tmp")
    written.write_text(text, encoding="utf-8")
    written.replace(path)


def report_inputs(
    app: App, summary: Mapping[str, Any], done: Mapping[str, Mapping[str, Any]], *, made_ms: int
) -> ReportInputs:
    """The page's values from the summary of a run and the results of its steps."""
    champion, training = summary["champion"], summary["training"]
    evidence = done["train"]["evaluation"]["evidence"]
    promoted = champion["version"] is not None and champion["bundle_hash"] == training["bundle_hash"]
    return ReportInputs(
        title=f"Lockstep: {summary['model_name']}",
        model_name=summary["model_name"],
        version=training["version"],
        bundle_hash=training["bundle_hash"],
        champion_hash=champion["bundle_hash"],
        verdict="promote" if promoted else "refuse",
        reason=champion["reason"] if promoted else summary["verdict"]["reason"],
        synthetic=summary["synthetic"],
        timeframe=app.settings.data.timeframe,
        profile=app.settings.gates.profile,
        made_ms=made_ms,
        coverage=tuple(_coverage(row) for row in summary["data"]["by_symbol"]),
        parity=Parity(
            rows=summary["parity"]["rows"],
            identical=summary["parity"]["identical"],
            first_mismatch=str(summary["parity"]["first_mismatch"] or ""),
        ),
        scores=tuple(_score(name, scores) for name, scores in summary["walk_forward"].items()),
        gates=tuple(_gate(gate) for gate in summary["gates"]),
        equity=(
            EquityCurve(
                name="ensemble, out of fold",
                time_ms=tuple(evidence["equity"]["time_ms"]),
                equity=tuple(evidence["equity"]["value"]),
            ),
        ),
        calibration=calibration_curves(evidence["reliability"]),
        drift_verdict=summary["drift"]["verdict"],
        drift_reason=summary["drift"]["reason"],
        drift=tuple(_drift(row) for row in done["drift"]["features"] if row["psi"] is not None),
        signals=tuple(_signal(row) for row in summary["serving"]["last_signals"]),
        timings=tuple(Timing(step=name, seconds=seconds) for name, seconds in summary["timings_s"].items()),
        places=(Place(label="Prefect and MLflow", where=summary["pages"], note="starts both servers on loopback"),),
    )


def _coverage(row: Mapping[str, Any]) -> CoverageRow:
    return CoverageRow(
        symbol=row["symbol"],
        kind=f"{row['kind']} {row['timeframe']}",
        first_ms=row["first_ms"],
        last_ms=row["last_ms"],
        rows=row["rows"],
        missing=row["missing"],
        coverage=row["coverage"],
    )


def _score(name: str, scores: Mapping[str, Any]) -> ScoreRow:
    return ScoreRow(
        name=name.replace("_", " "),
        role="ensemble" if name == "ensemble" else "baseline" if name in BASELINES else "model",
        log_loss=scores["log_loss"],
        brier=scores["brier"],
        trades=scores["trades"],
        hit_rate=scores["hit_rate"],
        profit_factor=scores["profit_factor"],
        sharpe=scores["sharpe"],
        max_drawdown=scores["max_drawdown"],
        total_return=scores["net_return"],
    )


def _gate(gate: Mapping[str, Any]) -> GateRow:
    names = ("name", "measured", "threshold", "comparison", "passed", "detail")
    return GateRow(**{name: gate[name] for name in names})


def calibration_curves(reliability: Mapping[str, Any]) -> tuple[CalibrationCurve, ...]:
    """One curve per class from the stored bins; bins nobody fell into are left out."""
    curves = []
    for action in Action:
        predicted, observed = reliability["predicted"][action], reliability["observed"][action]
        pairs = [(p, o) for p, o in zip(predicted, observed, strict=True) if p is not None and o is not None]
        curves.append(
            CalibrationCurve(
                name=action.name, predicted=tuple(p for p, _ in pairs), observed=tuple(o for _, o in pairs)
            )
        )
    return tuple(curves)


def _drift(row: Mapping[str, Any]) -> DriftRow:
    return DriftRow(
        name=row["name"], verdict=str(row["verdict"]), psi=row["psi"], psi_threshold=row["psi_threshold"], ks=row["ks"]
    )


def _signal(row: Mapping[str, Any]) -> SignalRow:
    names = ("symbol", "action", "confidence", "size", "state", "reason")
    return SignalRow(time_ms=row["bar_ms"], **{name: row[name] for name in names})
