"""Does the challenger become champion?

Collects the evidence that earlier steps stored, lets the gates judge it, and writes a decision card with every number.
Only a card that says promote moves the champion; asked again, the same evidence gives the same card.
"""

from dataclasses import asdict

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from infra.settings import Settings
from learning.alpha_budget import AlphaLevel, e_lond_level
from learning.gate_profiles import GateProfile, gate_profile
from learning.gates import evaluate_gates, gates_verdict
from market.timeframe import DAY_MS
from registry.cards import DecisionCard, Forced, forced, save_card
from registry.catalog import challengers_before, known_bundle
from registry.decision_notes import note_decision
from registry.deployments import current_champion
from registry.load import LoadedBundle
from registry.promotion import promote as move_champion
from serving.lineup import ServedBundle
from tasks.decision_evidence import DecisionFacts, evidence_digests, gate_inputs, profile_in, stored_training
from tasks.lineups import bundle_symbols, challenger_of, train_end_index
from tasks.progress import report
from tasks.stores import model_store
from tasks.training_evidence import json_ready
from tasks.trials import count_trials
from tasks.windows import Window, current_window

__all__ = ["decide", "profile_of"]


@task(cache_policy=NO_CACHE)
def decide(
    home: str, *, dry_run: bool = False, who: str = "lockstep promote", force_why: str = ""
) -> dict[str, object]:
    """Judge the challenger; promote it if every gate passes and this is no dry run.

    ``force_why`` says why ``who`` promotes it past gates of statistics that it failed; the gates of integrity stand.
    """
    with open_app(home) as app, exclusive(app.engine, f"promotion of {app.settings.registry.model_name}"):
        store, name = model_store(app), app.settings.registry.model_name
        challenger = challenger_of(app, store)
        champion = current_champion(app.engine, name)
        if challenger is None or (champion is not None and champion.bundle_hash == challenger.bundle.hash):
            return _nobody(app, name)
        report("gates", 0, 2)
        card = _judge(app, challenger, None if champion is None else champion.bundle_hash)
        if force_why and card.verdict == "refuse":
            card = forced(card, Forced(who=who, why=force_why))
        report("gates", 1, 2)
        answer = _described(card, challenger.version)
        if not dry_run:
            card_id = save_card(app.engine, card)
            answer["card_id"] = card_id
            note_decision(store, int(challenger.version or 0), card_id, card)
            if card.verdict != "refuse":
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
        "shadow_live_share_min": g.min_live_share,
    }
    overrides = {name: value for name, value in given.items() if value is not None}
    overrides["coverage_min"] = settings.data.min_coverage
    if g.profile == "paper":
        overrides["shadow_resolved_min"] = s.min_resolved
        overrides["shadow_independent_min"] = s.min_independent
    return gate_profile(g.profile, overrides=overrides)


def _judge(app: App, challenger: ServedBundle, champion_hash: str | None) -> DecisionCard:
    bundle = challenger.bundle
    facts = _facts(app, challenger, champion_hash)
    digests = evidence_digests(app.engine, facts, bundle_hash=bundle.hash, champion_hash=champion_hash)
    inputs, gains = gate_inputs(app.engine, facts, bundle_hash=bundle.hash, champion_hash=champion_hash)
    gates = evaluate_gates(inputs, profile_in(facts))
    verdict, reason = gates_verdict(gates)
    run = stored_training(app.engine, bundle.hash)
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
            "contract": bundle.contract.fingerprint,
            "shadow": None if inputs.shadow is None else json_ready(asdict(inputs.shadow)),
            "gains": None if gains is None else json_ready(asdict(gains)),
            "facts": json_ready(asdict(facts)),
            "digests": digests,
        },
    )


def _facts(app: App, challenger: ServedBundle, champion_hash: str | None) -> DecisionFacts:
    """What is so now and may not be so when somebody asks again."""
    window, bundle, profile = current_window(app), challenger.bundle, profile_of(app.settings)
    run = stored_training(app.engine, bundle.hash)
    registered = known_bundle(app.engine, bundle.hash)
    end_ms = window.timeframe.open_time(window.stretches.shadow_end)
    return DecisionFacts(
        profile=profile.name,
        thresholds=dict(profile.values),
        overridden=profile.overridden,
        target=app.settings.serving.mode,
        # It was loaded a moment ago, so every hash, the contract and the golden bars hold, or nothing would be judged.
        integrity_ok=registered is not None and registered.version == challenger.version,
        integrity_detail=f"{bundle.hash[:12]} is version {challenger.version} in MLflow and "
        + ("unknown in PostgreSQL" if registered is None else f"version {registered.version} in PostgreSQL"),
        golden_digest=bundle.golden_digest,
        coverage_min=_coverage(window, bundle),
        champion_stale=_stale(app, champion_hash, end_ms),
        trials=max(count_trials(app.engine, run["snapshot_id"]), run["evaluation"]["evidence"]["trials"]),
        superiority=_budget(app, bundle.hash),
        timeframe_ms=window.timeframe.ms,
        first_ms=window.timeframe.open_time(train_end_index(bundle)),
        end_ms=end_ms,
        label_spec=bundle.label_spec.fingerprint,
        horizon_bars=bundle.label_spec.horizon_bars,
        seed=app.settings.training.seed,
        alpha=app.settings.shadow.alpha,
    )


def _budget(app: App, bundle_hash: str) -> AlphaLevel:
    """What this year's budget leaves for the challenger; asked again, it keeps the place it had."""
    earlier, promoted = challengers_before(app.engine, bundle_hash)
    return e_lond_level(per_year=app.settings.gates.alpha_per_year, number=earlier + 1, promotions=promoted)


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
