"""How are the kinds of market data handled as one?

Candles, funding, open interest, mark prices and takers' shares differ in their columns; here is what they have in
common: a place in the lake.
"""

from infra.lake import Lake
from infra.sources.protocol import MarketValues
from market.basis import MarkStamps
from market.candles import Candles
from market.funding import FundingStamps
from market.taker_flow import TakerShares

__all__ = ["append"]


def append(lake: Lake, values: MarketValues, source: str, *, known_at_ms: int | None = None) -> int:
    """Store what a source handed over; return the number of new rows. None is known since it happened."""
    if isinstance(values, Candles):
        return lake.append_candles(values, source=source, known_at_ms=known_at_ms)
    if isinstance(values, FundingStamps):
        return lake.append_funding(values, source=source, known_at_ms=known_at_ms)
    if isinstance(values, MarkStamps):
        return lake.append_mark(values, source=source, known_at_ms=known_at_ms)
    if isinstance(values, TakerShares):
        return lake.append_taker(values, source=source, known_at_ms=known_at_ms)
    return lake.append_open_interest(values.symbol, values.time, values.value, source=source, known_at_ms=known_at_ms)
