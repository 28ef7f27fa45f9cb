"""Which number must a challenger reach, and who said so?

One table: each row is a threshold with its value in the profile ``paper`` (default: honest, reachable by a real but
modest edge) and in ``strict`` (the numbers asked for before money is at stake), its unit and its source. A value of
None means that the profile does not ask. Settings may override single values; unknown names are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from learning.errors import EvidenceError

__all__ = ["PROFILE_NAMES", "THRESHOLDS", "GateProfile", "Threshold", "gate_profile"]

PROFILE_NAMES = ("paper", "strict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One row of the table; ``paper`` or ``strict`` None means not asked there."""

    name: str
    paper: float | None
    strict: float | None
    unit: str
    source: str


def _row(name: str, paper: float | None, strict: float | None, unit: str, source: str) -> Threshold:
    return Threshold(name=name, paper=paper, strict=strict, unit=unit, source=source)


_OLD_GATE = "promotion gate of the audited systems"
_SAFETY = "safety gate of the audited systems"
_HOUSE = "house rule"

THRESHOLDS: tuple[Threshold, ...] = (
    _row("coverage_min", 0.95, 0.95, "share of bars", "training rule of the audited systems: coverage 95%"),
    _row("class_share_max", 0.85, 0.70, "share of outputs", f"{_SAFETY}: HOLD above 85%, any class above 70%"),
    _row("confidence_std_min", 0.01, 0.05, "probability", f"{_SAFETY}: standard deviation below .01 and .05"),
    _row("confidence_spread_min", 0.01, 0.12, "probability", f"{_SAFETY}: P10 equal to P90, P10 to P90 below .12"),
    _row("skill_climatology_min", 0.0, 0.0, "nats a bar", "lower end of the interval: class shares alone are beaten"),
    _row("skill_logistic_min", -0.01, 0.0, "nats a bar", f"lower end of the interval; {_HOUSE}: complexity must pay"),
    _row("skill_champion_min", -0.01, 0.0, "nats a bar", f"lower end of the interval; {_HOUSE}: not worse than it"),
    _row("calibration_slope_min", 0.5, 0.8, "slope", f"{_HOUSE}: half as sure as claimed at worst"),
    _row("calibration_slope_max", 2.0, 1.25, "slope", f"{_HOUSE}: mirrored"),
    _row("skill_share_max", 0.20, 0.10, "share of log loss", f"{_HOUSE}: the synthetic market's planted edge is 3%"),
    _row("importance_share_max", 0.90, 0.90, "share of gain", f"{_HOUSE}: one feature that carries everything"),
    _row("overfit_gap_max", 0.25, 0.20, "share of log loss", f"{_HOUSE}; an audited model had R2 .9998 against .778"),
    _row("deflated_sharpe_min", 0.90, 0.95, "probability", "Bailey and Lopez de Prado 2014: .95"),
    _row("pbo_max", None, 0.20, "probability", "Bailey, Borwein, Lopez de Prado and Zhu 2017; field practice .2"),
    _row("walk_forward_trades_min", 50, 50, "trades", f"{_OLD_GATE}: 50 trades"),
    _row("walk_forward_sharpe_min", 0.0, 1.0, "a year", f"{_OLD_GATE}: 1.0; paper asks for no loss"),
    _row("walk_forward_profit_factor_min", 1.05, 1.20, "ratio", f"{_OLD_GATE}: 1.2"),
    _row("walk_forward_drawdown_max", 0.20, 0.20, "share of equity", f"{_OLD_GATE}: 20%"),
    _row("shadow_resolved_min", 100, 300, "predictions", "shadow rule of the audited systems: 100 predictions"),
    _row("shadow_independent_min", 50, 300, "label windows", "strict: 300 independent labels; paper: two weeks of 4 h"),
    _row(
        "shadow_live_share_min", None, None, "share of predictions", f"{_HOUSE}: replay is byte for byte what is served"
    ),
    _row("shadow_harm_max", 20.0, 20.0, "e-value", "1 / alpha at 5% (Ville's inequality)"),
    _row("shadow_margin", 0.02, 0.005, "nats a bar", f"{_HOUSE}: largest loss of skill against the champion"),
    _row("shadow_gain_min", 0.0, None, "nats a bar", f"{_HOUSE}: at least as good as the champion on average"),
    _row("shadow_superiority_min", None, 20.0, "e-value", "1 / alpha at 5% (Ville's inequality)"),
    _row("shadow_trades_min", 20, 50, "trades", f"{_OLD_GATE}: 50 trades"),
    _row("shadow_sharpe_min", 0.0, 1.0, "a year", f"{_OLD_GATE}: 1.0; paper asks for no loss"),
    _row("shadow_profit_factor_min", 1.0, 1.20, "ratio", f"{_OLD_GATE}: 1.2"),
    _row("shadow_drawdown_max", 0.20, 0.20, "share of equity", f"{_OLD_GATE}: 20%"),
    _row("sharpe_gain_min", None, 0.02, "relative", f"{_OLD_GATE}: more than 2% better than the current model"),
    _row("drawdown_ratio_max", 1.5, 1.2, "ratio", "shadow manager of the audited systems: 1.2 times the champion's"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateProfile:
    """The thresholds of one profile after overrides; ``overridden`` names what the settings changed."""

    name: str
    values: Mapping[str, float | None] = field(repr=False)
    overridden: tuple[str, ...] = ()

    def threshold(self, name: str) -> float | None:
        """The value asked for, None where this profile does not ask."""
        return self.values[name]


def gate_profile(name: str, *, overrides: Mapping[str, float | None] | None = None) -> GateProfile:
    """The profile ``paper`` or ``strict`` with single thresholds replaced.

    Raises ``EvidenceError`` on an unknown profile or threshold.

    Example:
        >>> gate_profile("strict").threshold("walk_forward_sharpe_min")
        1.0
        >>> gate_profile("paper", overrides={"shadow_trades_min": 5}).overridden
        ('shadow_trades_min',)
    """
    if name not in PROFILE_NAMES:
        raise EvidenceError(
            f"gate profile {name!r}",
            why="a challenger can only be judged by numbers that were written down",
            remedy=f"choose {' or '.join(PROFILE_NAMES)}",
        )
    values = {row.name: row.strict if name == "strict" else row.paper for row in THRESHOLDS}
    for given, value in (overrides or {}).items():
        if given not in values:
            near = get_close_matches(given, values, n=1)
            raise EvidenceError(
                f"gate threshold {given!r}",
                why="a misspelt threshold would leave its gate as it was",
                remedy=f"write {near[0]!r}" if near else f"choose one of {', '.join(values)}",
            )
        values[given] = value
    return GateProfile(name=name, values=values, overridden=tuple(sorted(overrides or {})))
