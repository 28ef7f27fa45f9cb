"""Would these feature rows come out the same if the future had not been there?

A row is computed again from a history that ends at its own bar, and must give the same bytes. A feature that has seen
any later bar does not: a forward return, a filter run backwards, a window centred on its bar, a stored block of another
history. One such row stops the training, because every score after it would be the leak's and not the model's.
"""

from collections.abc import Callable

import numpy as np

from features.batch import FeatureBlock, compute_features
from features.contract import FeatureContract
from features.inputs import BarInputs
from learning.errors import LeakError
from market.candles import Ints

__all__ = ["InputsUntil", "require_no_lookahead", "spread_rows"]

InputsUntil = Callable[[str, int], BarInputs]
"""Symbol and absolute bar index to what was known of that market when that bar closed, warm-up included."""


def spread_rows(block: FeatureBlock, *, count: int) -> Ints:
    """``(k,) int64`` absolute indices of at most ``count`` valid rows, evenly spread, the last one left out.

    The newest row has no future that it could have seen.
    """
    valid = np.flatnonzero(block.reason[:-1] == 0)
    chosen = valid[np.linspace(0, valid.size - 1, min(count, valid.size)).astype(np.int64)] if valid.size else valid
    return block.first_index + np.unique(chosen).astype(np.int64)


def require_no_lookahead(
    block: FeatureBlock, contract: FeatureContract, *, bars: Ints, inputs_until: InputsUntil
) -> None:
    """Compute the rows of ``bars (k,)`` again from histories that end there; raise ``LeakError`` on a difference."""
    for bar in bars.tolist():
        again = compute_features(inputs_until(block.symbol, bar), contract, start_index=bar, end_index=bar + 1)
        row = bar - block.first_index
        differs = np.flatnonzero(block.values[row].view(np.uint32) != again.values[0].view(np.uint32))
        if differs.size == 0 and block.reason[row] == again.reason[0]:
            continue
        names = ", ".join(contract.names[k] for k in differs[:3]) or "(the reason)"
        raise LeakError(
            f"{block.symbol} at bar {bar}: {names} of {differs.size} differing features changes when the bars after it"
            " are left out",
            why="a feature that has seen the future scores well in training and fails when it is served",
            remedy="compute it from bars up to its own (docs/how-to/add-a-feature.md), or clear the feature cache",
        )
