"""May this challenger replace the champion?

``evaluate_gates`` turns measured numbers into gates: one question each, with the number, the threshold and a
sentence a trader understands. A number that could not be measured fails its gate with the reason; nothing passes by
absence. Without a champion, climatology and the logistic baseline stand in; with one, the shadow must have been
paired against it. The function is pure: the same numbers give the same verdict, so a decision card can be replayed.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from learning.alpha_budget import ALONE, AlphaLevel
from learning.gate_forms import at_least, at_most, number, yes_no
from learning.gate_profiles import GateProfile
from learning.plausibility import Plausibility
from learning.shadow import ShadowEvidence
from learning.trade_evidence import TradeEvidence
from registry.cards import Gate

__all__ = ["GateInputs", "evaluate_gates", "gates_verdict"]

_SMALLEST_SHARPE = 0.1
_SMALLEST_DRAWDOWN = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInputs:
    """Everything the gates look at; None means that it could not be measured.

    ``coverage_min`` is the lowest share of bars present of any symbol. ``class_share_max`` is the largest share of
    one class among the outputs, ``confidence_std`` and ``confidence_spread`` (P90 - P10) describe the winning
    probability. ``plausibility`` says whether it is too good to be true. ``skill_*`` are paired log losses on
    walk-forward rows (``learning.shadow.paired_evidence``); ``skill_vs_champion`` is asked only when it is given,
    because a champion trained on those rows cannot be judged on them: its fair trial is the shadow. ``live_share`` is
    the share of shadow rows predicted on the clock, not by replay. ``shadow_reference`` names whom the shadow was
    paired against; ``champion_hash`` None means there is no champion; ``champion_stale`` (expired or drifted) lets a
    challenger that is not worse replace it. ``target`` is the serving mode. ``superiority`` is what the year's budget
    of false promotions leaves for this comparison.
    """

    synthetic: bool
    target: Literal["observe", "paper", "live"]
    integrity_ok: bool | None
    integrity_detail: str = ""
    fresh_process_ok: bool | None
    fresh_process_detail: str = ""
    coverage_min: float | None
    class_share_max: float | None
    confidence_std: float | None
    confidence_spread: float | None
    skill_vs_climatology: ShadowEvidence | None
    skill_vs_logistic: ShadowEvidence | None
    skill_vs_champion: ShadowEvidence | None = None
    calibration_slope: float | None
    plausibility: Plausibility | None
    deflated_sharpe: float | None
    trials: int
    pbo: float | None = None
    walk_forward_trades: TradeEvidence | None
    shadow: ShadowEvidence | None
    live_share: float | None = None
    shadow_reference: Literal["champion", "climatology", "logistic"]
    shadow_trades: TradeEvidence | None
    champion_shadow_trades: TradeEvidence | None = None
    champion_hash: str | None = None
    champion_stale: bool = False
    superiority: AlphaLevel = ALONE


def evaluate_gates(inputs: GateInputs, profile: GateProfile) -> tuple[Gate, ...]:
    """Every gate the profile asks for, in the order a reader wants them."""
    gates = (
        *_integrity(inputs),
        at_least(profile, "coverage_min", inputs.coverage_min, "The thinnest symbol has {:.2%} of its bars"),
        *_output(inputs, profile),
        *_skill(inputs, profile),
        *_plausible(inputs.plausibility, profile),
        *_selection(inputs, profile),
        *_trades("walk_forward", "Walk-forward", inputs.walk_forward_trades, profile),
        *_shadow(inputs, profile),
        *_trades("shadow", "Shadow", inputs.shadow_trades, profile),
        *_against_champion(inputs, profile),
    )
    return tuple(gate for gate in gates if gate is not None)


def gates_verdict(gates: tuple[Gate, ...]) -> tuple[Literal["promote", "refuse"], str]:
    """The verdict that follows from the gates, with its reason in one sentence."""
    failed = [gate for gate in gates if not gate.passed]
    if gates and not failed:
        return "promote", f"All {len(gates)} gates passed."
    if not gates:
        return "refuse", "Nothing was tested."
    names = ", ".join(gate.name for gate in failed)
    return "refuse", f"{len(failed)} of {len(gates)} gates did not pass ({names}). First: {failed[0].detail}"


def _integrity(inputs: GateInputs) -> tuple[Gate, ...]:
    live_on_synthetic = inputs.synthetic and inputs.target == "live"
    data = "a synthetic market" if inputs.synthetic else "real market data"
    return (
        yes_no(
            "integrity",
            answer=inputs.integrity_ok,
            text="The bundle is complete and unchanged",
            detail=inputs.integrity_detail,
        ),
        yes_no(
            "fresh_process",
            answer=inputs.fresh_process_ok,
            text="A fresh process reproduced the golden bars",
            detail=inputs.fresh_process_detail,
        ),
        yes_no("data_origin", answer=not live_on_synthetic, text=f"Trained on {data}; meant for {inputs.target}"),
    )


def _output(inputs: GateInputs, profile: GateProfile) -> tuple[Gate | None, ...]:
    share, std, spread = inputs.class_share_max, inputs.confidence_std, inputs.confidence_spread
    return (
        at_most(profile, "class_share_max", share, "The most frequent answer makes up {:.1%} of all"),
        at_least(profile, "confidence_std_min", std, "Confidence varies with a standard deviation of {:.4f}"),
        at_least(profile, "confidence_spread_min", spread, "Confidence spans {:.4f} from its 10th to 90th percentile"),
    )


def _skill(inputs: GateInputs, profile: GateProfile) -> tuple[Gate | None, ...]:
    slope = inputs.calibration_slope
    text = "Calibration slope {:.2f} (1 is honest, below is overconfident)"
    champion = inputs.skill_vs_champion
    return (
        _interval_gate(profile, "skill_climatology_min", inputs.skill_vs_climatology, "class shares alone"),
        _interval_gate(profile, "skill_logistic_min", inputs.skill_vs_logistic, "logistic regression"),
        _interval_gate(profile, "skill_champion_min", champion, "the champion") if champion is not None else None,
        at_least(profile, "calibration_slope_min", slope, text),
        at_most(profile, "calibration_slope_max", slope, text),
    )


def _plausible(found: Plausibility | None, profile: GateProfile) -> tuple[Gate | None, ...]:
    """What a leak or a memory drives up; beyond these limits somebody has to look before anything is promoted."""
    skill = None if found is None else found.skill_share
    share = None if found is None else found.importance_share
    gap = None if found is None else found.overfit_gap
    leader = "one feature" if found is None else found.importance_feature
    return (
        at_most(
            profile,
            "skill_share_max",
            skill,
            "Walk-forward explains {:.1%} of the log loss of class shares; beyond its limit look for a leak",
        ),
        at_most(
            profile,
            "importance_share_max",
            share,
            f"In every window {leader} holds {{:.0%}} of the gain or more; beyond its limit look for a leak",
        ),
        at_most(
            profile,
            "overfit_gap_max",
            gap,
            "Of its own training rows it explains {:+.1%} of the log loss more than of rows it had not seen",
        ),
    )


def _selection(inputs: GateInputs, profile: GateProfile) -> tuple[Gate | None, ...]:
    tried = {"trials": inputs.trials}
    sharpe = f"After {inputs.trials} trials the edge is real with probability {{:.3f}} (deflated Sharpe)"
    pbo = "The best-looking variant disappoints out of sample with probability {:.2f}"
    return (
        at_least(profile, "deflated_sharpe_min", inputs.deflated_sharpe, sharpe, evidence=tried),
        at_most(profile, "pbo_max", inputs.pbo, pbo, evidence=tried),
    )


def _trades(prefix: str, title: str, found: TradeEvidence | None, profile: GateProfile) -> tuple[Gate | None, ...]:
    evidence: dict[str, object] = {} if found is None else {"trades": found.trades, "bars": found.bars}
    trades = None if found is None else float(found.trades)
    sharpe = None if found is None else found.sharpe
    factor = None if found is None else found.profit_factor
    fall = None if found is None else found.max_drawdown
    gained = f"{title} trades gained {{:.2f}} for each 1 lost, after costs"
    return (
        at_least(profile, f"{prefix}_trades_min", trades, f"{title}: {{:.0f}} finished trades"),
        at_least(
            profile, f"{prefix}_sharpe_min", sharpe, f"{title} Sharpe ratio {{:.2f}} a year, after costs", evidence
        ),
        at_least(profile, f"{prefix}_profit_factor_min", factor, gained, evidence),
        at_most(
            profile, f"{prefix}_drawdown_max", fall, f"{title} equity fell {{:.1%}} from its peak at worst", evidence
        ),
    )


def _shadow(inputs: GateInputs, profile: GateProfile) -> tuple[Gate | None, ...]:
    shadow, champion = inputs.shadow, inputs.champion_hash is not None
    resolved = None if shadow is None else float(shadow.resolved)
    windows = None if shadow is None else float(shadow.independent)
    harm = None if shadow is None else shadow.e_harm
    return (
        _pairing(inputs),
        at_least(profile, "shadow_resolved_min", resolved, "{:.0f} shadow predictions have their outcome"),
        at_least(profile, "shadow_independent_min", windows, "Their labels fill {:.0f} windows that do not overlap"),
        at_least(
            profile, "shadow_live_share_min", inputs.live_share, "{:.0%} of the shadow was predicted on the clock"
        ),
        at_most(
            profile,
            "shadow_harm_max",
            harm,
            "Evidence that it is worse in shadow: e-value {:.2f} (1 is none)",
            _paired_facts(shadow),
        ),
        _not_worse(shadow, profile, champion=champion, reference=inputs.shadow_reference),
        _superior(inputs, profile),
    )


def _pairing(inputs: GateInputs) -> Gate:
    champion, against = inputs.champion_hash is not None, inputs.shadow_reference
    if inputs.shadow is None:
        return yes_no(
            "shadow_pairing", answer=None, text="Shadow against its reference", detail="no shadow run was found"
        )
    if inputs.shadow.identical:
        text = "Shadow and reference gave the same numbers on every row: one model twice, or stored wrongly"
        return yes_no("shadow_pairing", answer=False, text=text)
    fits = against == "champion" if champion else against != "champion"
    wanted = "the champion" if champion else "a baseline, as there is no champion"
    return yes_no("shadow_pairing", answer=fits, text=f"Shadow paired with {against}; needs {wanted}")


def _not_worse(shadow: ShadowEvidence | None, profile: GateProfile, *, champion: bool, reference: str) -> Gate | None:
    """With a champion the interval may not reach below the margin; without, it may not lie below zero altogether."""
    margin = profile.threshold("shadow_margin")
    if margin is None:
        return None
    end = None if shadow is None else shadow.ci_low if champion else shadow.ci_high
    text = f"Against {reference} in shadow: {_interval_text(shadow)}; {'lower' if champion else 'upper'} end {{:+.4f}}"
    return number(
        "shadow_not_worse",
        end,
        -margin if champion else 0.0,
        ">=",
        text,
        _paired_facts(shadow),
    )


def _superior(inputs: GateInputs, profile: GateProfile) -> Gate | None:
    """The profile's superiority rule; a stale champion may be replaced by one that is not worse."""
    shadow = inputs.shadow
    asked = profile.threshold("shadow_superiority_min") is not None or inputs.champion_hash is not None
    if inputs.champion_hash is not None and inputs.champion_stale and asked:
        text = "The champion is expired or drifted, so a challenger that is not worse may replace it"
        return yes_no("shadow_superiority", answer=True, text=text)
    asked_e = profile.threshold("shadow_superiority_min")
    if asked_e is not None:
        return _proven(shadow, asked_e, inputs.superiority)
    if inputs.champion_hash is None:
        return None
    mean = None if shadow is None else shadow.mean_difference
    text = "In shadow it beat the champion by {:+.4f} nats a bar on average"
    return at_least(profile, "shadow_gain_min", mean, text, _paired_facts(shadow))


def _proven(shadow: ShadowEvidence | None, asked: float, left: AlphaLevel) -> Gate:
    """The e-value the profile asks for, or more where the year's budget of false promotions leaves less."""
    value = None if shadow is None else shadow.e_superiority
    place = f"comparison {left.number} of the year, after {left.promotions} promotions"
    text = f"Evidence that it is better in shadow ({place}): e-value {{:.2f}} (1 is none)"
    budget = {"profile_threshold": asked, "alpha_per_year": left.per_year, "alpha_level": left.level}
    facts = {**_paired_facts(shadow), **budget}
    return number("shadow_superiority_min", value, max(asked, left.e_value), ">=", text, facts)


def _against_champion(inputs: GateInputs, profile: GateProfile) -> tuple[Gate | None, ...]:
    if inputs.champion_hash is None:
        return ()
    ours, theirs = inputs.shadow_trades, inputs.champion_shadow_trades
    gain = ratio = None
    if ours is not None and theirs is not None:
        ratio = max(ours.max_drawdown, _SMALLEST_DRAWDOWN) / max(theirs.max_drawdown, _SMALLEST_DRAWDOWN)
        if ours.sharpe is not None and theirs.sharpe is not None:
            gain = (ours.sharpe - theirs.sharpe) / max(abs(theirs.sharpe), _SMALLEST_SHARPE)
    return (
        at_least(profile, "sharpe_gain_min", gain, "Shadow Sharpe ratio {:+.1%} against the champion's"),
        at_most(profile, "drawdown_ratio_max", ratio, "Shadow drawdown {:.2f} times the champion's"),
    )


def _interval_gate(profile: GateProfile, name: str, found: ShadowEvidence | None, against: str) -> Gate | None:
    low = None if found is None else found.ci_low
    text = f"Walk-forward against {against}: {_interval_text(found)}; lower end {{:+.4f}}"
    return at_least(profile, name, low, text, _paired_facts(found))


def _interval_text(found: ShadowEvidence | None) -> str:
    if found is None or not isfinite(found.ci_low):
        return "too little was measured for an interval"
    mean, low, high = found.mean_difference, found.ci_low, found.ci_high
    return f"{mean:+.4f} nats a bar ({found.confidence:.0%} interval {low:+.4f} to {high:+.4f})"


def _paired_facts(found: ShadowEvidence | None) -> dict[str, object]:
    if found is None:
        return {}
    facts = {
        "mean_difference": found.mean_difference,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "smallest_detectable": found.mde,
        "resolved": found.resolved,
        "independent": found.independent,
        "first_index": found.first_index,
        "last_index": found.last_index,
    }
    return {name: value if isfinite(value) else None for name, value in facts.items()}
