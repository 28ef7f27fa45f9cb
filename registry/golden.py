"""Which bars prove that kernel and models still give what they gave?

Sixty-four consecutive valid bars and the warm-up before them, taken from the data the bundle was made with. Their
features must come out bit for bit, their probabilities within 1e-12, in every process that loads the bundle.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.batch import compute_features
from features.contract import FeatureContract
from features.inputs import BarInputs
from registry.bundle_parts import GoldenBars
from registry.errors import BundleError
from registry.predictors import Predictor, predict_all

__all__ = ["GOLDEN_ROWS", "golden_features", "make_golden"]

GOLDEN_ROWS = 64


def make_golden(
    inputs: Sequence[BarInputs], *, contract: FeatureContract, predictors: Sequence[Predictor]
) -> GoldenBars:
    """Golden bars from the first of ``inputs`` that has them: the latest run of valid bars, block starts preferred.

    Block starts are preferred because they need only the warm-up before them. Raises ``BundleError`` when no symbol
    has 64 valid bars in a row inside one block.
    """
    for candidate in inputs:
        start = _latest_run(candidate, contract)
        if start is not None:
            chosen = _cut(candidate, contract, start)
            X = golden_features(chosen, contract, rows=GOLDEN_ROWS)
            return GoldenBars(inputs=chosen, features=X, probabilities=predict_all(predictors, X))
    raise BundleError(
        f"no {GOLDEN_ROWS} valid bars in a row in {', '.join(one.symbol for one in inputs) or 'no symbol at all'}",
        why="without golden bars no other process could prove that it computes the same",
        remedy="backfill a longer history without gaps for at least one symbol",
    )


def golden_features(inputs: BarInputs, contract: FeatureContract, *, rows: int) -> NDArray[np.float32]:
    """``(rows, F) float32`` features of the last ``rows`` bars; raises ``BundleError`` if one is not valid."""
    end = inputs.end_index
    block = compute_features(inputs, contract, start_index=end - rows, end_index=end)
    if block.values.shape[0] != rows or (block.reason != 0).any():
        raise BundleError(
            f"golden bars of {inputs.symbol} are not valid here",
            why="the kernel judged them valid when the bundle was made",
            remedy="use a bundle made with this version of the kernel",
        )
    return block.values


def _latest_run(inputs: BarInputs, contract: FeatureContract) -> int | None:
    """Absolute start of the latest 64 valid bars in one block; a run at a block start wins over any other."""
    if inputs.values.shape[0] < contract.warmup_bars + GOLDEN_ROWS:
        return None
    computed = compute_features(inputs, contract)
    valid = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(computed.reason == 0)))
    if valid.size <= GOLDEN_ROWS:
        return None
    starts = np.flatnonzero(valid[GOLDEN_ROWS:] - valid[:-GOLDEN_ROWS] == GOLDEN_ROWS) + computed.first_index
    offset = starts % contract.block_bars
    warm = starts - offset - contract.warmup_bars >= inputs.first_index
    starts, offset = (
        starts[warm & (offset <= contract.block_bars - GOLDEN_ROWS)],
        offset[warm & (offset <= contract.block_bars - GOLDEN_ROWS)],
    )
    if starts.size == 0:
        return None
    anchored = starts[offset == 0]
    return int(anchored[-1] if anchored.size else starts[-1])


def _cut(inputs: BarInputs, contract: FeatureContract, start: int) -> BarInputs:
    first = start - start % contract.block_bars - contract.warmup_bars
    rows = slice(first - inputs.first_index, start + GOLDEN_ROWS - inputs.first_index)
    return BarInputs(
        symbol=inputs.symbol,
        timeframe=inputs.timeframe,
        first_index=first,
        values=np.ascontiguousarray(inputs.values[rows]),
    )
