"""Do the rows a training is about to learn from stay what they are when the lake ends at their bar?

A few rows of each market are read and computed again as if the bars after them had never come.
"""

from collections.abc import Sequence

from features.contract import FeatureContract
from features.inputs import BarInputs
from infra.lake import Lake
from learning.lookahead import require_no_lookahead, spread_rows
from learning.panel import SymbolHistory
from tasks.histories import load_inputs

__all__ = ["require_causal"]

_ROWS = 24
_FEWEST_A_MARKET = 2


def require_causal(lake: Lake, histories: Sequence[SymbolHistory], contract: FeatureContract) -> int:
    """Check 24 rows over all markets, at least two of each; returns how many; raises ``LeakError``."""
    count = max(_ROWS // max(len(histories), 1), _FEWEST_A_MARKET)

    def until(symbol: str, bar: int) -> BarInputs:
        return load_inputs(lake, (symbol,), contract, first_index=bar, end_index=bar + 1)[0]

    checked = 0
    for history in histories:
        bars = spread_rows(history.features, count=count)
        require_no_lookahead(history.features, contract, bars=bars, inputs_until=until)
        checked += bars.size
    return checked
