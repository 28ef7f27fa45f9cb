"""What would a stranger want to know after a run?

One JSON object, read from what the steps stored, with stable keys (documented in ``docs/cli.md``). The same state gives
the same summary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, select

from infra.bootstrap import App
from infra.tables import deployments, signals
from market.timeframe import as_utc
from registry.cards import load_card
from registry.catalog import known_bundle
from registry.deployments import current_champion
from registry.policy import Action
from serving.states import CAUSES, state_of

__all__ = ["last_signals", "summarise"]

_SCORES = ("log_loss", "brier", "net_return", "trades", "hit_rate", "sharpe", "profit_factor", "max_drawdown")


def summarise(app: App, done: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The summary of a demo run from what its steps returned."""
    evaluation = done["train"]["evaluation"]
    return {
        "home": str(app.settings.home),
        "model_name": app.settings.registry.model_name,
        "synthetic": _is_synthetic(app, done["train"]["bundle_hash"]),
        "data": _data(done["data"]),
        "parity": {name: done["parity"][name] for name in ("rows", "identical", "first_mismatch")},
        "walk_forward": {
            name: {score: scores.get(score) for score in _SCORES} for name, scores in evaluation["strategies"].items()
        },
        "training": {
            "bundle_hash": done["train"]["bundle_hash"],
            "version": done["train"]["version"],
            "snapshot_id": done["train"]["snapshot_id"],
            "scored_rows": evaluation["scored"]["rows"],
            "effective_rows": evaluation["scored"]["effective_rows"],
            "calibration_slope": evaluation["calibration_slope"],
            "weights": evaluation["final"]["weights"],
            "thresholds": evaluation["final"]["thresholds"],
            "left_out": evaluation["left_out"],
            "trained_now": done["train"]["trained_now"],
        },
        "shadow": dict(done["shadow"]),
        "gates": _gates(app, done["promote"]),
        "verdict": {name: done["promote"][name] for name in ("verdict", "reason", "card_id")},
        "champion": _champion(app, done["promote"]),
        "serving": _serving(app, done["serve"]),
        "drift": {
            name: done["drift"][name]
            for name in ("verdict", "reason", "rows", "false_alarm_rate", "calibration_windows")
        },
        "timings_s": dict(done["timings_s"]),
    }


def _is_synthetic(app: App, bundle_hash: str) -> bool:
    """What the bundle says of its own data; one that nobody recorded is taken for synthetic."""
    known = known_bundle(app.engine, bundle_hash)
    return known is None or known.synthetic


def last_signals(app: App, *, limit: int = 200) -> list[dict[str, Any]]:
    """The signals of the newest served bar, one per symbol, in words."""
    name = app.settings.registry.model_name
    newest = select(signals.c.bar_ms).where(signals.c.model_name == name).order_by(signals.c.bar_ms.desc()).limit(1)
    query = (
        select(signals)
        .where(signals.c.model_name == name, signals.c.bar_ms == newest.scalar_subquery())
        .order_by(signals.c.symbol)
        .limit(limit)
    )
    with app.engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        {
            "symbol": row["symbol"],
            "bar": as_utc(row["bar_ms"]),
            "bar_ms": row["bar_ms"],
            "state": row["state"],
            "action": Action(row["action"]).name,
            "confidence": row["confidence"],
            "size": row["size"],
            "reason": row["reason"],
            "meaning": _meaning(row["reason"]),
            "step": row["steps"].get("step", ""),
        }
        for row in rows
    ]


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    coverage: Sequence[Mapping[str, Any]] = data["coverage"]
    return {
        "source": data["source"],
        "symbols": [row["symbol"] for row in coverage],
        "bars": sum(int(row["rows"]) for row in coverage),
        "new_rows": data["new_rows"],
        "coverage": min(float(row["coverage"]) for row in coverage),
        "first": as_utc(min(int(row["first_ms"]) for row in coverage)),
        "last": as_utc(max(int(row["last_ms"]) for row in coverage)),
        "by_symbol": [dict(row) for row in coverage],
    }


def _gates(app: App, decision: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gates of this decision; of the champion's card when nobody challenged it this time."""
    gates = decision["gates"] or _champion_gates(app)
    wanted = ("name", "measured", "comparison", "threshold", "passed", "detail")
    return [{name: gate[name] for name in wanted} for gate in gates]


def _champion_gates(app: App) -> list[dict[str, Any]]:
    champion = current_champion(app.engine, app.settings.registry.model_name)
    if champion is None or champion.card_id is None:
        return []
    return [asdict(gate) for gate in load_card(app.engine, champion.card_id).gates]


def _champion(app: App, decision: Mapping[str, Any]) -> dict[str, Any]:
    champion = current_champion(app.engine, app.settings.registry.model_name)
    if champion is None:
        return {"version": None, "bundle_hash": None, "reason": decision["reason"]}
    with app.engine.connect() as connection:
        why = connection.scalar(select(deployments.c.why).where(deployments.c.id == champion.id))
    return {"version": champion.version, "bundle_hash": champion.bundle_hash, "reason": why}


def _serving(app: App, served: Mapping[str, Any]) -> dict[str, Any]:
    rows = last_signals(app)
    reasons = {row["reason"] for row in rows}
    best = min(reasons, key=lambda name: (state_of(name), name), default="no_champion")
    actions = _actions(app, served)
    return {
        "state": state_of(best).name,
        "reason": best,
        "meaning": _meaning(best),
        "mode": app.settings.serving.mode,
        "first_bar": as_utc(int(served["first_ms"])),
        "last_bar": rows[0]["bar"] if rows else None,
        "decisions": sum(actions.values()),
        "actions": actions,
        "last_signals": rows,
    }


def _actions(app: App, served: Mapping[str, Any]) -> dict[str, int]:
    """How many signals of the served stretch said what."""
    query = (
        select(signals.c.action, func.count())
        .where(
            signals.c.model_name == app.settings.registry.model_name,
            signals.c.bar_ms >= served["first_ms"],
            signals.c.bar_ms <= served["last_ms"],
        )
        .group_by(signals.c.action)
        .order_by(signals.c.action)
    )
    with app.engine.connect() as connection:
        said = dict(connection.execute(query).tuples().all())
    return {action.name: said.get(action, 0) for action in Action}


def _meaning(reason: str) -> str:
    cause = CAUSES.get(reason)
    return cause.meaning if cause is not None else "A cause that is not in the table: standing still"
