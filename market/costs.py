"""What does a trade cost before funding?

Taker fee on both sides, and slippage that widens with volatility but never below a floor:
``slippage_bps * max(volatility / its average, slippage_vol_floor)`` per side.
"""

from dataclasses import dataclass

__all__ = ["CostModel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """Costs per side, in basis points of notional.

    ``assumed_funding_bps_per_bar`` is what either side pays a bar in a market without any funding on record; 0 leaves
    such a trade unresolved.
    """

    taker_fee_bps: float = 5.0
    slippage_bps: float = 1.0
    slippage_vol_floor: float = 0.5
    assumed_funding_bps_per_bar: float = 0.0
