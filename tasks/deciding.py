"""Does the challenger become champion?

Collects the evidence that earlier steps stored, lets the gates judge it, and writes a decision card with every number.
Only a card that says promote moves the champion; asked again, the same evidence gives the same card.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import select

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from infra.settings import Settings
from infra.tables import training_runs
from learning.climatology import Climatology
from learning.gate_profiles import GateProfile, gate_profile
from learning.gates import GateInputs, evaluate_gates, gates_verdict
from learning.plausibility import restored_plausibility
from learning.trade_evidence import TradeEvidence
from market.errors import LockstepError
from market.timeframe import DAY_MS
from registry.cards import DecisionCard, save_card
from registry.catalog import known_bundle
from registry.decision_notes import note_decision
from registry.deployments import current_champion
from registry.load import LoadedBundle
from registry.promotion import promote as move_champion
from serving.lineup import ServedBundle
from tasks.lineups import bundle_symbols, challenger_of, train_end_index
from tasks.progress import report
from tasks.shadow_evidence import restored_skill, shadow_rows, shadow_skill, shadow_trades
from tasks.stores import model_store
from tasks.training_evidence import json_ready
from tasks.windows import Window, current_window

__all__ = ["decide", "profile_of"]


@task(cache_policy=NO_CACHE)
def decide(home: str, *, dry_run: bool = False, who: str = "lockstep promote") -> dict[str, object]:
    """Judge the challenger; promote it if every gate passes and this is no dry run."""
    with open_app(home) as app, exclusive(app.engine, f"promotion of {app.settings.registry.model_name}"):
        store, name = model_store(app), app.settings.registry.model_name
        challenger = challenger_of(app, store)
        champion = current_champion(app.engine, name)
        if challenger is None or (champion is not None and champion.bundle_hash == challenger.bundle.hash):
            return _nobody(app, name)
        report("gates", 0, 2)
        card = _judge(app, challenger, None if champion is None else champion.bundle_hash)
        report("gates", 1, 2)
        answer = _described(card, challenger.version)
        if not dry_run:
            card_id = save_card(app.engine, card)
            answer["card_id"] = card_id
            note_decision(store, int(challenger.version or 0), card_id, card)
            if card.verdict == "promote":
                move_champion(
                    app.engine,
                    store,
                    model_name=name,
                    bundle_hash=challenger.bundle.hash,
                    version=int(challenger.version or 0),
                    expected_champion=card.champion_hash,
                    card_id=card_id,
                    why=card.reason,
                    who=who,
                    serving_mode=app.settings.serving.mode,
                )
                answer["promoted"] = True
        report("gates", 2, 2)
        return answer


def profile_of(settings: Settings) -> GateProfile:
    """The thresholds in force: the profile, then what the settings replace."""
    g, s = settings.gates, settings.shadow
    given: dict[str, float | None] = {
        "walk_forward_sharpe_min": g.min_sharpe,
        "shadow_sharpe_min": g.min_sharpe,
        "walk_forward_profit_factor_min": g.min_profit_factor,
        "shadow_profit_factor_min": g.min_profit_factor,
        "walk_forward_drawdown_max": g.max_drawdown,
        "shadow_drawdown_max": g.max_drawdown,
        "walk_forward_trades_min": g.min_trades,
        "sharpe_gain_min": g.min_improvement,
        "deflated_sharpe_min": g.min_deflated_sharpe,
        "pbo_max": g.max_pbo,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    overrides["coverage_min"] = settings.data.min_coverage
    if g.profile == "paper":
        overrides["shadow_resolved_min"] = s.min_resolved
        overrides["shadow_independent_min"] = s.min_independent
    return gate_profile(g.profile, overrides=overrides)


def _judge(app: App, challenger: ServedBundle, champion_hash: str | None) -> DecisionCard:
    window = current_window(app)
    bundle = challenger.bundle
    first = train_end_index(bundle)
    end = window.stretches.shadow_end
    run = _training_run(app, bundle)
    evidence = run["evaluation"]["evidence"]
    registered = known_bundle(app.engine, bundle.hash)
    rows = shadow_rows(
        app.engine,
        bundle_hash=bundle.hash,
        champion_hash=champion_hash,
        label_spec=bundle.label_spec.fingerprint,
        timeframe=window.timeframe,
        first=first,
        end=end,
    )
    shadow = shadow_skill(
        rows,
        climatology=climatology_of(bundle),
        against_champion=champion_hash is not None,
        horizon_bars=bundle.label_spec.horizon_bars,
        seed=app.settings.training.seed,
        alpha=app.settings.shadow.alpha,
    )

    def trades_of(bundle_hash: str) -> TradeEvidence:
        return shadow_trades(app.engine, bundle_hash=bundle_hash, timeframe=window.timeframe, first=first, end=end)

    inputs = GateInputs(
        synthetic=bool(bundle.facts["synthetic"]),
        target=app.settings.serving.mode,
        # It was loaded a moment ago, so every hash, the contract and the golden bars hold, or nothing would be judged.
        integrity_ok=registered is not None and registered.version == challenger.version,
        integrity_detail=f"{bundle.hash[:12]} is version {challenger.version} in MLflow and "
        + ("unknown in PostgreSQL" if registered is None else f"version {registered.version} in PostgreSQL"),
        fresh_process_ok=run["evaluation"]["fresh_process_digest"] == bundle.golden_digest,
        fresh_process_detail="golden probabilities of a process of its own at registration, and of this one now",
        coverage_min=_coverage(window, bundle),
        class_share_max=max(run["evaluation"]["predicted_shares"]),
        confidence_std=evidence["confidence_std"],
        confidence_spread=evidence["confidence_spread"],
        skill_vs_climatology=restored_skill(evidence["skill"]["climatology"]),
        skill_vs_logistic=restored_skill(evidence["skill"]["logistic"]),
        calibration_slope=run["evaluation"]["calibration_slope"],
        plausibility=restored_plausibility(evidence.get("plausibility")),
        deflated_sharpe=evidence["deflated_sharpe"]["probability"],
        trials=evidence["trials"],
        pbo=evidence["pbo"]["pbo"],
        walk_forward_trades=TradeEvidence(**evidence["trades"]),
        shadow=shadow,
        shadow_reference="climatology" if champion_hash is None else "champion",
        shadow_trades=trades_of(bundle.hash),
        champion_shadow_trades=None if champion_hash is None else trades_of(champion_hash),
        champion_hash=champion_hash,
        champion_stale=_stale(app, champion_hash, window.timeframe.open_time(end)),
    )
    profile = profile_of(app.settings)
    gates = evaluate_gates(inputs, profile)
    verdict, reason = gates_verdict(gates)
    return DecisionCard(
        model_name=app.settings.registry.model_name,
        bundle_hash=bundle.hash,
        champion_hash=champion_hash,
        verdict=verdict,
        reason=reason,
        gates=gates,
        evidence={
            "training_key": run["key"],
            "snapshot_id": run["snapshot_id"],
            "label_spec": bundle.label_spec.fingerprint,
            "contract": bundle.contract.fingerprint,
            "profile": profile.name,
            "overridden": list(profile.overridden),
            "shadow_first_ms": window.timeframe.open_time(first),
            "shadow_end_ms": window.timeframe.open_time(end),
            "shadow": None if shadow is None else json_ready(asdict(shadow)),
        },
    )


def climatology_of(bundle: LoadedBundle) -> Climatology:
    """What class shares alone would forecast, as sealed into the bundle."""
    found = bundle.facts.get("climatology")
    if not isinstance(found, Mapping):
        raise LockstepError(
            f"bundle {bundle.hash[:12]} states no climatology",
            why="nothing says what a forecast without skill would score on its rows",
            remedy="train again with this release",
        )
    return Climatology.from_values(found)


def _training_run(app: App, bundle: LoadedBundle) -> Mapping[str, Any]:
    query = select(training_runs).where(training_runs.c.bundle_hash == bundle.hash)
    with app.engine.connect() as connection:
        row = connection.execute(query).mappings().first()
    if row is None or row["evaluation"] is None:
        raise LockstepError(
            f"bundle {bundle.hash[:12]} has no stored training run",
            why="its walk-forward evidence cannot be judged",
            remedy="train in this home, so that the evidence is stored beside the bundle",
        )
    return dict(row)


def _coverage(window: Window, bundle: LoadedBundle) -> float | None:
    symbols = bundle_symbols(bundle)
    known = [window.coverage[name] for name in symbols if name in window.coverage]
    return min(known) if known and len(known) == len(symbols) else None


def _stale(app: App, champion_hash: str | None, now_ms: int) -> bool:
    known = None if champion_hash is None else known_bundle(app.engine, champion_hash)
    return known is not None and now_ms - known.train_end_ms > app.settings.serving.max_model_age_days * DAY_MS


def _nobody(app: App, name: str) -> dict[str, object]:
    champion = current_champion(app.engine, name)
    reason = (
        "There is no challenger: train one first."
        if champion is None
        else f"Version {champion.version} is champion already and nobody challenges it."
    )
    return {
        "verdict": "none",
        "reason": reason,
        "promoted": False,
        "champion_hash": None if champion is None else champion.bundle_hash,
        "gates": [],
        "card_id": None,
    }


def _described(card: DecisionCard, version: int | None) -> dict[str, object]:
    return {
        "verdict": card.verdict,
        "reason": card.reason,
        "promoted": False,
        "bundle_hash": card.bundle_hash,
        "version": version,
        "champion_hash": card.champion_hash,
        "gates": [asdict(gate) for gate in card.gates],
        "card_id": None,
    }
