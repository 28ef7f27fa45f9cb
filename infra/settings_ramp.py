"""Which settings say how capital grows?

How long each stage lasts at least, and what its gates ask for (``serving/ramp.py`` says how they are used).
"""

from pydantic import Field

from infra.settings_groups import SettingsGroup

__all__ = ["RampSettings"]


class RampSettings(SettingsGroup):
    """How long each stage of capital lasts at least, and what a model must show to pass it."""

    observe_hours: float = Field(default=1, gt=0, le=8760, description="Hours at observe, at least")
    paper_hours: float = Field(default=24, gt=0, le=8760, description="Hours at paper, at least")
    capital_10_hours: float = Field(default=6, gt=0, le=8760, description="Hours at a tenth of the capital, at least")
    capital_25_hours: float = Field(default=18, gt=0, le=8760, description="Hours at a quarter of it, at least")
    review_hours: float = Field(
        default=24, gt=0, le=8760, description="Newest hours by which full capital is judged again and again"
    )
    capital_10_positions: int = Field(default=5, ge=1, le=10_000, description="Positions at once at a tenth, at most")
    capital_25_positions: int = Field(
        default=10, ge=1, le=10_000, description="Positions at once at a quarter, at most"
    )
    min_predictions: int = Field(
        default=30, ge=1, le=1_000_000, description="Predictions with a vote before consensus and confidence are known"
    )
    min_trades: int = Field(
        default=10, ge=1, le=1_000_000, description="Closed paper trades before profit and loss are known"
    )
    observe_consensus: float = Field(
        default=0.6, ge=0, lt=1, description="Mean share of votes behind the leading side at observe, above"
    )
    observe_confidence: float = Field(default=0.5, ge=0, lt=1, description="Mean confidence at observe, above")
    paper_daily_drawdown: float = Field(
        default=0.05, gt=0, le=1, description="Drawdown (fraction of equity) within a UTC day at paper, below"
    )
    paper_stop_share: float = Field(
        default=0.10, gt=0, le=1, description="Share of closed trades that hit their stop at paper, below"
    )
    paper_side_share: float = Field(
        default=0.2, ge=0, le=0.5, description="Share of trades that each side must have at paper, at least"
    )
    capital_drawdown: float = Field(
        default=0.08, gt=0, le=1, description="Drawdown (fraction of equity) with capital, below"
    )
    capital_consensus: float = Field(
        default=0.7, ge=0, lt=1, description="Mean share of votes behind the leading side with capital, above"
    )
    max_silence_bars: int = Field(
        default=2, ge=1, le=1000, description="Bars without a sign of the worker after which it counts as gone"
    )
