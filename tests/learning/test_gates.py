"""Promotion gates and their profiles."""

import json
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.alpha_budget import e_lond_level
from learning.errors import EvidenceError
from learning.gate_profiles import PROFILE_NAMES, THRESHOLDS, gate_profile
from learning.gates import GateInputs, evaluate_gates, gates_verdict
from learning.plausibility import Plausibility
from learning.shadow import ShadowEvidence
from learning.trade_evidence import TradeEvidence
from registry.cards import DecisionCard, Gate

PAPER, STRICT = gate_profile("paper"), gate_profile("strict")


def paired(mean: float = 0.03, half: float = 0.01, **changes: object) -> ShadowEvidence:
    """A comparison with many independent windows."""
    facts = {
        "rows": 5000,
        "unpaired": 0,
        "resolved": 5000,
        "bars": 4000,
        "independent": 400,
        "horizon_bars": 48,
        "first_index": 100,
        "last_index": 20_000,
        "mean_difference": mean,
        "ci_low": mean - half,
        "ci_high": mean + half,
        "standard_error": half / 2,
        "mde": 1.4 * half,
        "confidence": 0.95,
        "e_superiority": 50.0,
        "e_harm": 0.2,
        "bound": 0.25,
        "clipped_share": 0.0,
        "log_loss_challenger": 1.05,
        "log_loss_reference": 1.05 + mean,
        "brier_challenger": 0.6,
        "brier_reference": 0.62,
        "identical": False,
    }
    return ShadowEvidence(**{**facts, **changes})


def traded(**changes: object) -> TradeEvidence:
    """Trades that satisfy the strict numbers."""
    facts = {
        "trades": 120,
        "bars": 20_000,
        "total_return": 0.2,
        "sharpe": 1.6,
        "profit_factor": 1.4,
        "max_drawdown": 0.08,
        "hit_rate": 0.55,
    }
    return TradeEvidence(**{**facts, **changes})


def plausible(**changes: object) -> Plausibility:
    """A little skill, a little overfitting, and no feature that carries everything."""
    facts = {
        "skill_share": 0.03,
        "seen_share": 0.12,
        "overfit_gap": 0.09,
        "importance_share": 0.4,
        "importance_feature": "roc",
    }
    return Plausibility(**{**facts, **changes})


def good(**changes: object) -> GateInputs:
    """A challenger that passes everything while there is no champion."""
    inputs = GateInputs(
        synthetic=False,
        target="paper",
        integrity_ok=True,
        fresh_process_ok=True,
        coverage_min=0.999,
        class_share_max=0.6,
        confidence_std=0.07,
        confidence_spread=0.18,
        skill_vs_climatology=paired(),
        skill_vs_logistic=paired(0.012),
        calibration_slope=1.02,
        plausibility=plausible(),
        deflated_sharpe=0.98,
        trials=12,
        pbo=0.05,
        walk_forward_trades=traded(),
        shadow=paired(),
        shadow_reference="climatology",
        shadow_trades=traded(),
    )
    return replace(inputs, **changes)


def challenging(**changes: object) -> GateInputs:
    """The same challenger against a champion."""
    against = {"champion_hash": "c0ffee", "shadow_reference": "champion", "champion_shadow_trades": traded(sharpe=1.2)}
    return good(**{**against, **changes})


def failed(inputs: GateInputs, profile=PAPER) -> set[str]:
    return {gate.name for gate in evaluate_gates(inputs, profile) if not gate.passed}


@pytest.mark.parametrize("profile", [PAPER, STRICT])
@pytest.mark.parametrize("inputs", [good(), challenging()])
def test_a_good_challenger_is_promoted(profile, inputs):
    """With sound numbers every gate passes, with and without a champion, and a card can be written."""
    gates = evaluate_gates(inputs, profile)
    verdict, reason = gates_verdict(gates)
    assert (verdict, reason) == ("promote", f"All {len(gates)} gates passed.")
    card = DecisionCard(
        model_name="m",
        bundle_hash="h",
        champion_hash=inputs.champion_hash,
        verdict=verdict,
        reason=reason,
        gates=gates,
        evidence={},
    )
    assert len(card.content_hash) == 64


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"integrity_ok": False}, {"integrity"}),
        ({"fresh_process_ok": False}, {"fresh_process"}),
        ({"synthetic": True, "target": "live"}, {"data_origin"}),
        ({"coverage_min": 0.9499}, {"coverage_min"}),
        ({"class_share_max": 0.86}, {"class_share_max"}),
        ({"confidence_std": 0.009}, {"confidence_std_min"}),
        ({"confidence_spread": 0.0}, {"confidence_spread_min"}),
        ({"skill_vs_climatology": paired(0.005)}, {"skill_climatology_min"}),
        ({"skill_vs_logistic": paired(-0.02)}, {"skill_logistic_min"}),
        ({"skill_vs_champion": paired(-0.02)}, {"skill_champion_min"}),
        ({"calibration_slope": 0.4}, {"calibration_slope_min"}),
        ({"calibration_slope": 2.5}, {"calibration_slope_max"}),
        ({"plausibility": plausible(skill_share=0.21)}, {"skill_share_max"}),
        ({"plausibility": plausible(importance_share=0.91)}, {"importance_share_max"}),
        ({"plausibility": plausible(overfit_gap=0.26)}, {"overfit_gap_max"}),
        ({"deflated_sharpe": 0.89}, {"deflated_sharpe_min"}),
        ({"walk_forward_trades": traded(trades=49)}, {"walk_forward_trades_min"}),
        ({"walk_forward_trades": traded(sharpe=-0.1)}, {"walk_forward_sharpe_min"}),
        ({"walk_forward_trades": traded(profit_factor=1.0)}, {"walk_forward_profit_factor_min"}),
        ({"walk_forward_trades": traded(max_drawdown=0.21)}, {"walk_forward_drawdown_max"}),
        ({"shadow": paired(resolved=99)}, {"shadow_resolved_min"}),
        ({"shadow": paired(independent=49)}, {"shadow_independent_min"}),
        ({"shadow": paired(e_harm=20.1)}, {"shadow_harm_max"}),
        ({"shadow": paired(-0.02)}, {"shadow_not_worse"}),
        ({"shadow": paired(identical=True)}, {"shadow_pairing"}),
        ({"shadow_reference": "champion"}, {"shadow_pairing"}),
        ({"shadow_trades": traded(trades=19)}, {"shadow_trades_min"}),
        ({"shadow_trades": traded(sharpe=-0.1)}, {"shadow_sharpe_min"}),
        ({"shadow_trades": traded(profit_factor=0.9)}, {"shadow_profit_factor_min"}),
        ({"shadow_trades": traded(max_drawdown=0.3)}, {"shadow_drawdown_max"}),
    ],
)
def test_each_gate_stops_what_it_is_for(change, names):
    """One bad number fails exactly its own gate, and the reason of the refusal names it."""
    inputs = good(**change)
    assert failed(inputs) == names
    verdict, reason = gates_verdict(evaluate_gates(inputs, PAPER))
    assert verdict == "refuse"
    assert all(name in reason for name in names)


@pytest.mark.parametrize(
    ("change", "profile", "names"),
    [
        ({"shadow_reference": "climatology"}, PAPER, {"shadow_pairing"}),
        ({"shadow": paired(-0.004)}, PAPER, {"shadow_superiority", "shadow_gain_min"}),
        ({"shadow": paired(-0.015)}, PAPER, {"shadow_not_worse", "shadow_gain_min"}),
        ({"shadow": paired(e_superiority=19.0)}, STRICT, {"shadow_superiority_min"}),
        ({"shadow_trades": traded(sharpe=1.21)}, STRICT, {"sharpe_gain_min"}),
        ({"shadow_trades": traded(max_drawdown=0.13)}, PAPER, {"drawdown_ratio_max"}),
        ({"champion_shadow_trades": None}, STRICT, {"sharpe_gain_min", "drawdown_ratio_max"}),
    ],
)
def test_against_a_champion_more_is_asked(change, profile, names):
    """Pairing, margin, superiority and the champion's own trades are asked for when there is a champion."""
    got = failed(challenging(**change), profile)
    assert got
    assert got <= names


@pytest.mark.parametrize("profile", [PAPER, STRICT])
def test_a_stale_champion_may_be_replaced_by_one_that_is_not_worse(profile):
    """Superiority is waived when the champion expired or drifted; being worse still is not."""
    even = paired(-0.001, half=0.003, e_superiority=1.0)
    assert failed(challenging(shadow=even), profile)
    assert failed(challenging(shadow=even, champion_stale=True), profile) == set()
    worse = paired(-0.05, half=0.003, e_superiority=1.0)
    assert "shadow_not_worse" in failed(challenging(shadow=worse, champion_stale=True), profile)


def test_late_in_a_year_of_many_challengers_more_proof_is_asked():
    """The budget of false promotions is shared: what proved it alone does not prove it as the thirtieth comparison."""
    shadow = paired(0.01, half=0.003, e_superiority=25.0)
    assert failed(challenging(shadow=shadow), STRICT) == set()
    late = e_lond_level(per_year=0.1, number=30, promotions=2)
    assert failed(challenging(shadow=shadow, superiority=late), STRICT) == {"shadow_superiority_min"}
    (gate,) = [g for g in evaluate_gates(challenging(superiority=late), STRICT) if g.name == "shadow_superiority_min"]
    assert gate.threshold == late.e_value > 20
    assert "comparison 30 of the year, after 2 promotions" in gate.detail


@pytest.mark.parametrize(
    "name", [f.name for f in fields(GateInputs) if "None" in str(f.type) and f.name != "champion_hash"]
)
def test_what_was_not_measured_never_passes(name):
    """Each number the strict profile asks for fails its gate with the reason when it is missing."""
    inputs = challenging(**{name: None})
    if name == "skill_vs_champion":
        assert failed(inputs, STRICT) == set()
        return
    asking = gate_profile("strict", overrides={"shadow_live_share_min": 0.5})
    missing = [gate for gate in evaluate_gates(inputs, asking) if not gate.passed]
    assert missing
    assert all("not be measured" in gate.detail or "Not checked" in gate.detail for gate in missing)
    assert all(gate.measured is None for gate in missing)


def test_not_a_number_is_missing_too():
    """NaN fails like None and never reaches a card, which must be JSON."""
    unknown = paired(float("nan"), e_harm=float("nan"), mde=float("nan"))
    gates = evaluate_gates(good(shadow=unknown, deflated_sharpe=float("nan")), PAPER)
    assert {"shadow_harm_max", "shadow_not_worse", "deflated_sharpe_min"} <= {g.name for g in gates if not g.passed}
    json.dumps([asdict(gate) for gate in gates], allow_nan=False)


@given(
    share=st.floats(0, 1),
    slope=st.floats(0, 5),
    sharpe=st.floats(-5, 5),
    mean=st.floats(-0.1, 0.1),
    stale=st.booleans(),
)
def test_a_gate_says_what_its_numbers_say(share, slope, sharpe, mean, stale):
    """Whatever the numbers, passed equals measured against threshold, and the verdict follows from the gates."""
    inputs = challenging(
        class_share_max=share,
        calibration_slope=slope,
        shadow_trades=traded(sharpe=sharpe),
        shadow=paired(mean),
        champion_stale=stale,
    )
    for profile in (PAPER, STRICT):
        gates = evaluate_gates(inputs, profile)
        assert all(_consistent(gate) for gate in gates)
        assert (gates_verdict(gates)[0] == "promote") == all(gate.passed for gate in gates)
        assert len({gate.name for gate in gates}) == len(gates)


def _consistent(gate: Gate) -> bool:
    if gate.comparison == "is":
        return True
    ordered = gate.measured >= gate.threshold if gate.comparison == ">=" else gate.measured <= gate.threshold
    return ordered == gate.passed


def test_details_are_plain_sentences():
    """A trader reads the number, the limit and no code."""
    details = {gate.name: gate.detail for gate in evaluate_gates(good(), PAPER)}
    assert details["walk_forward_drawdown_max"] == (
        "Walk-forward equity fell 8.0% from its peak at worst; needs at most 0.2."
    )
    assert details["skill_climatology_min"] == (
        "Walk-forward against class shares alone: +0.0300 nats a bar (95% interval +0.0200 to +0.0400); "
        "lower end +0.0200; needs at least 0."
    )


def test_nothing_tested_is_a_refusal():
    """No gates, no promotion."""
    assert gates_verdict(()) == ("refuse", "Nothing was tested.")


def test_strict_is_never_laxer_than_paper_and_every_number_has_a_source():
    """Each strict threshold asks at least as much as paper's; each row says where its number comes from."""
    for row in THRESHOLDS:
        assert row.source
        assert row.unit
        if row.paper is not None and row.strict is not None:
            lower_is_stricter = row.name.endswith("_max") or row.name == "shadow_margin"
            assert row.strict <= row.paper if lower_is_stricter else row.strict >= row.paper
    audited = {
        "walk_forward_sharpe_min": 1.0,
        "walk_forward_profit_factor_min": 1.2,
        "walk_forward_drawdown_max": 0.2,
        "walk_forward_trades_min": 50,
        "sharpe_gain_min": 0.02,
        "deflated_sharpe_min": 0.95,
        "pbo_max": 0.2,
        "class_share_max": 0.7,
        "confidence_std_min": 0.05,
        "confidence_spread_min": 0.12,
    }
    assert {name: STRICT.threshold(name) for name in audited} == audited


def test_overrides_change_one_gate_and_say_so():
    """A threshold from the settings is used and named as the source; None switches its gate off."""
    profile = gate_profile("paper", overrides={"shadow_trades_min": 500, "coverage_min": None})
    gates = {gate.name: gate for gate in evaluate_gates(good(), profile)}
    assert not gates["shadow_trades_min"].passed
    assert gates["shadow_trades_min"].evidence["source"] == "settings"
    assert "coverage_min" not in gates


def test_unknown_profiles_and_thresholds_are_refused_with_the_nearest_name():
    """A typo in the settings is no silent default."""
    with pytest.raises(EvidenceError, match=f"choose {' or '.join(PROFILE_NAMES)}"):
        gate_profile("lenient")
    with pytest.raises(EvidenceError, match="write 'shadow_trades_min'"):
        gate_profile("paper", overrides={"shadow_trade_min": 1})
