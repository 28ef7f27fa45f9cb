"""What do kernel and labels see of each market over a stretch of bars?

Reads the lake as of a moment, puts each market on the bar grid and computes its features block by block. A block whose
inputs have been seen before comes from the cache, bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from features.batch import FeatureBlock, compute_features
from features.contract import FeatureContract
from features.inputs import BarInputs
from infra.block_cache import BlockCache
from infra.lake import Lake
from learning.panel import SymbolHistory
from market.errors import LockstepError
from market.timeframe import Timeframe
from serving.lake_inputs import batch_inputs, known_path
from tasks.progress import report

__all__ = ["BlockCounts", "cached_features", "load_histories", "load_inputs"]


@dataclass(slots=True, kw_only=True)
class BlockCounts:
    """How many feature blocks were computed and how many were found."""

    computed: int = 0
    cached: int = 0


def load_inputs(
    lake: Lake, symbols: Sequence[str], contract: FeatureContract, *, first_index: int, end_index: int
) -> list[BarInputs]:
    """What the kernel reads of each symbol for the bars ``[first_index, end_index)``, warm-up included."""
    found = []
    for symbol in symbols:
        inputs = batch_inputs(lake, symbol, contract, first_index=first_index, end_index=end_index, as_of_ms=None)
        if inputs is None:
            raise LockstepError(
                f"{symbol}: no bars before the end of the stretch",
                why="its features cannot be computed",
                remedy=f"backfill {symbol} or choose other symbols",
            )
        found.append(inputs)
    return found


def load_histories(
    lake: Lake,
    symbols: Sequence[str],
    contract: FeatureContract,
    *,
    first_index: int,
    end_index: int,
    cache: BlockCache,
    counts: BlockCounts | None = None,
) -> list[SymbolHistory]:
    """Features and price paths of each symbol over the bars ``[first_index, end_index)``.

    What is loaded before them is warm-up alone: a row there would begin its recursions later than it does when served.
    """
    counts = counts or BlockCounts()
    timeframe = Timeframe(contract.timeframe_ms)
    histories = []
    for done, symbol in enumerate(symbols):
        report("features", done, len(symbols))
        (inputs,) = load_inputs(lake, (symbol,), contract, first_index=first_index, end_index=end_index)
        start = max(first_index, inputs.first_index)
        features = cached_features(inputs, contract, first_index=start, cache=cache, counts=counts)
        path = known_path(lake, symbol, timeframe, first_index=start, end_index=end_index)
        assert path is not None  # the inputs came from the same bars
        histories.append(SymbolHistory(symbol=symbol, features=features, path=path))
    report("features", len(symbols), len(symbols))
    return histories


def cached_features(
    inputs: BarInputs,
    contract: FeatureContract,
    *,
    cache: BlockCache,
    counts: BlockCounts,
    first_index: int | None = None,
) -> FeatureBlock:
    """Features of the bars of ``inputs`` from ``first_index`` on (None: all); each finished block is computed once."""
    values, reasons = [], []
    block = contract.block_bars
    begun = start = inputs.first_index if first_index is None else first_index
    while start < inputs.end_index:
        end = min((start // block + 1) * block, inputs.end_index)
        found = _one_block(inputs, contract, start=start, end=end, cache=cache, counts=counts)
        values.append(found.values)
        reasons.append(found.reason)
        start = end
    return FeatureBlock(
        symbol=inputs.symbol,
        first_index=begun,
        values=np.concatenate(values),
        reason=np.concatenate(reasons),
    )


def _one_block(
    inputs: BarInputs, contract: FeatureContract, *, start: int, end: int, cache: BlockCache, counts: BlockCounts
) -> FeatureBlock:
    anchor = start // contract.block_bars * contract.block_bars - contract.warmup_bars
    first = max(anchor, inputs.first_index)
    seen = inputs.values[first - inputs.first_index : end - inputs.first_index]
    key = sha256(f"{contract.fingerprint} {first} {start} {end}\n".encode() + seen.tobytes()).hexdigest()
    stored = cache.get(contract.fingerprint, key)
    if stored is not None:
        counts.cached += 1
        return FeatureBlock(symbol=inputs.symbol, first_index=start, values=stored["values"], reason=stored["reason"])
    counts.computed += 1
    block = compute_features(inputs, contract, start_index=start, end_index=end)
    if end % contract.block_bars == 0:  # an unfinished block changes with the next bar: not worth keeping
        cache.put(contract.fingerprint, key, {"values": block.values, "reason": block.reason})
    return block
