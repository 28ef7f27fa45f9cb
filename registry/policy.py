"""Which numbers turn probabilities into actions?

``DecisionPolicy`` is data: it travels inside the bundle, so the thresholds a model was tested with are the
thresholds it trades with. The rules that read it live in the serving room. Shares and confidences are in
0..1, sizes are fractions of equity, volatility is the daily one (per-bar std of log returns over 288 bars times
``sqrt(bars_per_day)``, a fraction).
"""

import json
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from typing import Any

from registry.policy_rules import GuardRule, RegimeRule, refuse, require_count, require_within

__all__ = ["DECISION_FEATURES", "SUPERVISOR_MODES", "Action", "DecisionPolicy"]

DECISION_FEATURES = ("realized_vol_288", "trend_regime", "wild_regime", "ref_corr_288")
"""What the decision reads of a feature row beside the models: daily volatility, both regimes, correlation."""

SUPERVISOR_MODES = ("observe", "enforced")
_COUNTS = {
    "horizon_bars": 1,
    "min_healthy": 1,
    "supervisor_window": 1,
    "supervisor_min": 1,
    "max_positions": 1,
    "max_correlated": 1,
    "cooldown_bars": 0,
    "bars_per_day": 1,
}


class Action(IntEnum):
    """Class codes everywhere; probability columns stand in this order."""

    HOLD = 0
    BUY = 1
    SELL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPolicy:
    """Every number of the decision.

    ``thresholds`` are the probabilities (buy, sell) from which a model votes for that side. An action needs
    ``consensus_share`` of the healthy weight, ``strong_share`` of it counts as strong; the three multipliers act on
    the confidence, which ``confidence_cap`` bounds. With fewer than ``min_healthy`` models, or a daily volatility
    above ``volatility_limit`` and a confidence not above ``volatility_confidence``, there is no action. The supervisor
    looks at the last ``supervisor_window`` actions, from ``supervisor_min`` on, and blocks a side that holds more than
    ``supervisor_share`` of them, unless ``supervisor_mode`` is only to observe. Size = ``size_base`` x confidence x
    min(``volatility_target`` / volatility, 2) x ``regime``, at most ``size_cap``; at most ``max_positions`` positions
    and ``max_exposure`` of equity at once, and none beside ``max_correlated`` open ones whose correlation with it, by
    side, is estimated above ``correlation_limit``. A market rests ``cooldown_bars`` after a position. A position lasts
    at most ``horizon_bars``; a day has ``bars_per_day``. What is said of it follows the ``guard``, stops for the UTC
    day after losing ``daily_loss_limit`` of the equity it began with, and for good at a drawdown of
    ``drawdown_limit``, until a person resumes.
    """

    thresholds: tuple[float, float]
    horizon_bars: int
    consensus_share: float = 0.60
    strong_share: float = 0.75
    unanimous_multiplier: float = 1.2
    strong_multiplier: float = 1.1
    split_multiplier: float = 0.8
    confidence_cap: float = 1.0
    min_healthy: int = 2
    volatility_limit: float = 0.05
    volatility_confidence: float = 0.70
    supervisor_window: int = 50
    supervisor_min: int = 20
    supervisor_share: float = 0.70
    supervisor_mode: str = "enforced"
    max_positions: int = 5
    max_exposure: float = 1.0
    size_base: float = 0.02
    size_cap: float = 0.10
    volatility_target: float = 0.01
    max_correlated: int = 3
    correlation_limit: float = 0.7
    cooldown_bars: int = 0
    daily_loss_limit: float = 0.05
    drawdown_limit: float = 0.15
    bars_per_day: int = 288
    regime: RegimeRule = field(default_factory=RegimeRule)
    guard: GuardRule = field(default_factory=GuardRule)

    def __post_init__(self) -> None:
        """Refuse numbers that no decision can be made with."""
        if len(self.thresholds) != 2:
            raise refuse("thresholds", self.thresholds, "a pair (buy, sell)")
        for value in self.thresholds:
            require_within("thresholds", value, 0.0, 1.0)
        for name in ("consensus_share", "strong_share", "confidence_cap", "volatility_confidence", "supervisor_share"):
            require_within(name, getattr(self, name), 0.0, 1.0)
        for name in ("daily_loss_limit", "drawdown_limit", "correlation_limit"):
            require_within(name, getattr(self, name), 1e-6, 1.0)
        for name in ("unanimous_multiplier", "strong_multiplier", "split_multiplier", "max_exposure"):
            require_within(name, getattr(self, name), 0.0, 10.0)
        for name in ("size_base", "size_cap", "volatility_target", "volatility_limit"):
            require_within(name, getattr(self, name), 0.0, 1.0)
        for name, least in _COUNTS.items():
            require_count(name, getattr(self, name), least)
        if self.supervisor_mode not in SUPERVISOR_MODES:
            raise refuse("supervisor_mode", self.supervisor_mode, f"one of {', '.join(SUPERVISOR_MODES)}")
        if self.supervisor_min > self.supervisor_window:
            raise refuse("supervisor_min", self.supervisor_min, f"at most supervisor_window = {self.supervisor_window}")

    def to_json(self) -> str:
        """All fields as one JSON object, sorted by name."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "DecisionPolicy":
        """Read what ``to_json`` wrote; an unknown or missing field is refused."""
        found = _exactly(cls, json.loads(text))
        found["thresholds"] = tuple(found["thresholds"])
        found["regime"] = RegimeRule(**_exactly(RegimeRule, found["regime"]))
        found["guard"] = GuardRule(**_exactly(GuardRule, found["guard"]))
        return cls(**found)


def _exactly(kind: type[DecisionPolicy] | type[RegimeRule] | type[GuardRule], found: Any) -> dict[str, Any]:
    """The fields of ``kind``, no more and no fewer."""
    names = {one.name for one in fields(kind)}
    if not isinstance(found, dict) or set(found) != names:
        odd = sorted(names.symmetric_difference(found)) if isinstance(found, dict) else str(found)[:40]
        raise refuse("fields", odd, f"exactly the fields of a {kind.__name__}")
    return found
