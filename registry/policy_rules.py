"""Which numbers say how much a market's regime, and the bundle's own record, let it say?

Two parts of the decision policy: data, sealed with the rest of it (``registry.policy``). Shares, sizes and drawdowns
are fractions.
"""

import math
from dataclasses import dataclass, fields

from registry.errors import PolicyError

__all__ = ["GuardRule", "RegimeRule", "refuse", "require_count", "require_within"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeRule:
    """How the size of a position follows the regime of its market; 0 takes none.

    A market is wild, trends up or down, ranges, or is unknown. ``counter_trend`` is the multiple against the trend;
    with it the multiple is 1.
    """

    ranging: float = 0.5
    wild: float = 0.5
    unknown: float = 0.5
    counter_trend: float = 0.0

    def __post_init__(self) -> None:
        """Refuse multiples that would enlarge a position."""
        for field in fields(self):
            require_within(f"regime.{field.name}", getattr(self, field.name), 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRule:
    """When the record of the bundle's own closed trades reduces or pauses what it says.

    Of the last ``window`` trades that were closed, from ``min_trades`` on: REDUCED below the share of gains
    ``reduced_hit_rate``, at ``reduced_streak`` losses in a row, or with a drawdown above ``reduced_drawdown``; PAUSED
    by the three graver numbers; NORMAL again from ``normal_hit_rate`` on with a drawdown below ``reduced_drawdown`` and
    no such streak. From PAUSED the way back leads over REDUCED. REDUCED multiplies sizes by ``reduced_size`` and asks
    for ``reduced_threshold`` more confidence than a vote needs. The book that is judged goes on in every level at full
    size, so a paused bundle can recover.
    """

    window: int = 10
    min_trades: int = 5
    normal_hit_rate: float = 0.45
    reduced_hit_rate: float = 0.40
    reduced_streak: int = 5
    reduced_drawdown: float = 0.05
    reduced_size: float = 0.5
    reduced_threshold: float = 0.1
    paused_hit_rate: float = 0.30
    paused_streak: int = 10
    paused_drawdown: float = 0.10

    def __post_init__(self) -> None:
        """Refuse numbers under which a level could never be entered or left."""
        for name in ("window", "min_trades", "reduced_streak", "paused_streak"):
            require_count(f"guard.{name}", getattr(self, name), 1)
        for name in ("normal_hit_rate", "reduced_hit_rate", "paused_hit_rate", "reduced_size", "reduced_threshold"):
            require_within(f"guard.{name}", getattr(self, name), 0.0, 1.0)
        for name in ("reduced_drawdown", "paused_drawdown"):
            require_within(f"guard.{name}", getattr(self, name), 1e-6, 1.0)
        for low, high in (
            ("min_trades", "window"),
            ("paused_hit_rate", "reduced_hit_rate"),
            ("reduced_hit_rate", "normal_hit_rate"),
            ("reduced_streak", "paused_streak"),
            ("reduced_drawdown", "paused_drawdown"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise refuse(f"guard.{low}", getattr(self, low), f"at most guard.{high} = {getattr(self, high):g}")


def require_within(name: str, value: float, low: float, high: float) -> None:
    """Raise ``PolicyError`` unless the value is a finite number in the closed range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refuse(name, value, "a finite number")
    if not low <= value <= high:
        raise refuse(name, value, f"between {low:g} and {high:g}")


def require_count(name: str, value: int, least: int) -> None:
    """Raise ``PolicyError`` unless the value is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise refuse(name, value, f"a whole number of at least {least}")


def refuse(name: str, value: object, wanted: str) -> PolicyError:
    """The error for one number of a policy."""
    setting = name if "." in name else f"decision.{name}"
    return PolicyError(
        f"decision policy: {name} = {value!r}",
        why=f"it must be {wanted}",
        remedy=f"correct {setting} in the settings, or seal the bundle again",
    )
