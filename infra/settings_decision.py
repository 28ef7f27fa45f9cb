"""Which numbers turn probabilities into what is said, before a bundle seals them?

Three groups: the decision itself, the market's regime, and the guard that follows the bundle's own record.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from infra.settings_groups import SettingsGroup

__all__ = ["DecisionSettings", "GuardSettings", "RegimeSettings"]


class DecisionSettings(SettingsGroup):
    """The decision policy sealed into the next bundle; thresholds are learnt and the horizon is the label's."""

    consensus_share: float = Field(default=0.60, ge=0, le=1, description="Share of healthy weight an action needs")
    strong_share: float = Field(default=0.75, ge=0, le=1, description="Share that counts as strong consensus")
    unanimous_multiplier: float = Field(default=1.2, ge=0, le=10, description="Confidence multiple, all agree")
    strong_multiplier: float = Field(default=1.1, ge=0, le=10, description="Confidence multiple, strong consensus")
    split_multiplier: float = Field(default=0.8, ge=0, le=10, description="Confidence multiple, bare consensus")
    confidence_cap: float = Field(default=1.0, ge=0, le=1, description="Most confidence a decision reports")
    min_healthy: int = Field(default=2, ge=1, le=100, description="Models that must be healthy for any action")
    volatility_limit: float = Field(default=0.05, gt=0, le=1, description="Daily volatility (fraction) called high")
    volatility_confidence: float = Field(default=0.70, ge=0, le=1, description="Confidence needed when it is high")
    supervisor_window: int = Field(default=50, ge=1, le=10_000, description="Last actions the supervisor watches")
    supervisor_min: int = Field(default=20, ge=1, le=10_000, description="Actions before the supervisor judges")
    supervisor_share: float = Field(default=0.70, ge=0, le=1, description="Share of one side that blocks that side")
    supervisor_mode: Literal["observe", "enforced"] = Field(
        default="enforced", description="enforced blocks that side; observe records what it would have blocked"
    )
    max_positions: int = Field(default=5, ge=1, le=1000, description="Open positions at once")
    max_exposure: float = Field(default=1.0, gt=0, le=2, description="Sum of open sizes, as a fraction of equity")
    size_base: float = Field(
        default=0.02, gt=0, le=1, description="Size at full confidence and target volatility, fraction"
    )
    size_cap: float = Field(default=0.10, gt=0, le=0.5, description="Largest size of one position, fraction of equity")
    volatility_target: float = Field(
        default=0.01, gt=0, le=1, description="Daily volatility (fraction) size is scaled to"
    )
    max_correlated: int = Field(
        default=3, ge=1, le=1000, description="Open positions that may move alike, beside which none more is taken"
    )
    correlation_limit: float = Field(
        default=0.7, gt=0, le=1, description="Estimated correlation, by side, from which two positions move alike"
    )
    cooldown_bars: int = Field(
        default=0, ge=0, le=10_000, description="Bars a market rests after a position in it ended"
    )
    daily_loss_limit: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Loss (fraction of equity) after which nothing is said until the next UTC day",
    )
    drawdown_limit: float = Field(
        default=0.15, gt=0, le=1, description="Drawdown (fraction) of what was said that throws the halt switch"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (
            ("consensus_share", "strong_share"),
            ("supervisor_min", "supervisor_window"),
            ("size_base", "size_cap"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not exceed {high}")
        return self


class RegimeSettings(SettingsGroup):
    """What a market's regime leaves of a position's size; sealed into the next bundle."""

    ranging: float = Field(default=0.5, ge=0, le=1, description="Multiple of the size in a market without a trend")
    wild: float = Field(default=0.5, ge=0, le=1, description="Multiple in a market whose ATR is twice its day's mean")
    unknown: float = Field(default=0.5, ge=0, le=1, description="Multiple where the regime is not known")
    counter_trend: float = Field(default=0, ge=0, le=1, description="Multiple against the trend; 0 takes none")


class GuardSettings(SettingsGroup):
    """When a bundle's own closed trades reduce or pause what it says; sealed into the next bundle."""

    window: int = Field(default=10, ge=1, le=1000, description="Last closed trades that are counted")
    min_trades: int = Field(default=5, ge=1, le=1000, description="Closed trades before a hit rate is judged")
    normal_hit_rate: float = Field(default=0.45, ge=0, le=1, description="Hit rate from which it is NORMAL again")
    reduced_hit_rate: float = Field(default=0.40, ge=0, le=1, description="Hit rate below which it is REDUCED")
    reduced_streak: int = Field(default=5, ge=1, le=1000, description="Losses in a row at which it is REDUCED")
    reduced_drawdown: float = Field(
        default=0.05, gt=0, le=1, description="Drawdown (fraction) of the book above which it is REDUCED"
    )
    reduced_size: float = Field(default=0.5, ge=0, le=1, description="Multiple of sizes while REDUCED")
    reduced_threshold: float = Field(
        default=0.1, ge=0, le=1, description="Confidence asked for beyond the vote's threshold while REDUCED"
    )
    paused_hit_rate: float = Field(default=0.30, ge=0, le=1, description="Hit rate below which it is PAUSED")
    paused_streak: int = Field(default=10, ge=1, le=1000, description="Losses in a row at which it is PAUSED")
    paused_drawdown: float = Field(
        default=0.10, gt=0, le=1, description="Drawdown (fraction) of the book above which it is PAUSED"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (
            ("min_trades", "window"),
            ("paused_hit_rate", "reduced_hit_rate"),
            ("reduced_hit_rate", "normal_hit_rate"),
            ("reduced_streak", "paused_streak"),
            ("reduced_drawdown", "paused_drawdown"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} must not exceed {high}")
        return self
