"""Which numbers turn probabilities into actions?

``DecisionPolicy`` is data: it travels inside the bundle, so the thresholds a model was tested with are the
thresholds it trades with. The rules that read it live in the serving room. Shares and confidences are in
0..1, sizes are fractions of equity, volatility is the daily one (per-bar std of log returns over 288 bars times
``sqrt(288)``, a fraction).
"""

import json
import math
from dataclasses import asdict, dataclass, fields
from enum import IntEnum

from registry.errors import PolicyError

__all__ = ["Action", "DecisionPolicy"]


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
    ``supervisor_share`` of them. Size = ``size_base`` x confidence x min(``volatility_target`` / volatility, 2), at
    most ``size_cap``; at most ``max_positions`` positions and ``max_exposure`` of equity at once. A position lasts at
    most ``horizon_bars``.
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
    max_positions: int = 5
    max_exposure: float = 1.0
    size_base: float = 0.02
    size_cap: float = 0.10
    volatility_target: float = 0.01

    def __post_init__(self) -> None:
        """Refuse numbers that no decision can be made with."""
        if len(self.thresholds) != 2:
            raise _bad("thresholds", self.thresholds, "a pair (buy, sell)")
        for value in self.thresholds:
            _within("thresholds", value, 0.0, 1.0)
        for name in ("consensus_share", "strong_share", "confidence_cap", "volatility_confidence", "supervisor_share"):
            _within(name, getattr(self, name), 0.0, 1.0)
        for name in ("unanimous_multiplier", "strong_multiplier", "split_multiplier", "max_exposure"):
            _within(name, getattr(self, name), 0.0, 10.0)
        for name in ("size_base", "size_cap", "volatility_target", "volatility_limit"):
            _within(name, getattr(self, name), 0.0, 1.0)
        for name in ("horizon_bars", "min_healthy", "supervisor_window", "supervisor_min", "max_positions"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise _bad(name, value, "a whole number of at least 1")
        if self.supervisor_min > self.supervisor_window:
            raise _bad("supervisor_min", self.supervisor_min, f"at most supervisor_window = {self.supervisor_window}")

    def to_json(self) -> str:
        """All fields as one JSON object, sorted by name."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "DecisionPolicy":
        """Read what ``to_json`` wrote; an unknown or missing field is refused."""
        found = json.loads(text)
        names = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or set(found) != names:
            odd = sorted(names.symmetric_difference(found)) if isinstance(found, dict) else text[:40]
            raise _bad("fields", odd, "exactly the fields of a decision policy")
        found["thresholds"] = tuple(found["thresholds"])
        return cls(**found)


def _within(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _bad(name, value, "a finite number")
    if not low <= value <= high:
        raise _bad(name, value, f"between {low:g} and {high:g}")


def _bad(name: str, value: object, wanted: str) -> PolicyError:
    return PolicyError(
        f"decision policy: {name} = {value!r}",
        why=f"it must be {wanted}",
        remedy=f"correct decision.{name} in the settings, or seal the bundle again",
    )
