"""What are the feature rows of a whole history?

A loop over the kernel, begun anew at every absolute block boundary with the warm-up before it, so any stretch of
rows can be computed alone, in any order, on any number of threads, and gives the same bytes.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features import kernel
from features.clock import clock_table
from features.contract import FeatureContract, kernel_hash
from features.definitions import FEATURES
from features.errors import ContractError, FeatureError
from features.inputs import BarInputs
from market.candles import Floats, Ints

__all__ = ["FeatureBlock", "compute_features", "compute_many", "require_running"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureBlock:
    """Rows of one market from ``first_index`` on: ``values (n, F) float32``, ``reason (n,) uint16`` (0 is valid)."""

    symbol: str
    first_index: int
    values: NDArray[np.float32]
    reason: NDArray[np.uint16]

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.reason.size)

    @property
    def end_index(self) -> int:
        """Absolute index one past the last row."""
        return self.first_index + len(self)


def require_running(contract: FeatureContract) -> None:
    """Raise ``ContractError`` unless this contract is one that the running kernel can honour."""
    names = tuple(feature.name for feature in FEATURES)
    if contract.kernel_hash == kernel_hash() and contract.names == names and contract.dtype == "float32":
        return
    raise ContractError(
        f"contract {contract.fingerprint} (kernel {contract.kernel_hash[:12]}, {len(contract.names)} features)",
        why=f"the running kernel is {kernel_hash()[:12]} with {len(names)} features and would compute something else",
        remedy="train again under the running features, or run the version the contract was made with",
    )


def compute_features(
    inputs: BarInputs,
    contract: FeatureContract,
    *,
    start_index: int | None = None,
    end_index: int | None = None,
    threads: int = 1,
) -> FeatureBlock:
    """Compute the rows of bars ``start_index`` (default: the first) to ``end_index`` (exclusive; default: the last).

    Only ``block + warmup`` bars before a row are ever read. Raises ``FeatureError`` for bars outside the inputs or
    another timeframe, ``ContractError`` for a contract of another kernel.
    """
    require_running(contract)
    first = inputs.first_index if start_index is None else start_index
    end = inputs.end_index if end_index is None else end_index
    _check(inputs, contract, first=first, end=end)
    values = np.empty((end - first, kernel.FEATURE_COUNT), dtype=np.float32)
    reason = np.empty(end - first, dtype=np.uint16)
    blocks = _blocks(first, end, contract.block_bars)
    share = -(-len(blocks) // max(threads, 1))
    portions = [blocks[k : k + share] for k in range(0, len(blocks), share or 1)]

    def work(portion: Sequence[tuple[int, int]]) -> None:
        worker = _Worker(inputs, contract)
        for lo, hi in portion:
            worker.rows(lo, hi, values[lo - first : hi - first], reason[lo - first : hi - first])

    if len(portions) <= 1:
        for portion in portions:
            work(portion)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, portions))
    return FeatureBlock(symbol=inputs.symbol, first_index=first, values=values, reason=reason)


def compute_many(inputs: Sequence[BarInputs], contract: FeatureContract, *, threads: int) -> list[FeatureBlock]:
    """All rows of several markets, one market a thread, in the order given."""
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        return list(pool.map(lambda one: compute_features(one, contract), inputs))


class _Worker:
    """A state and its parameters, used for one block after another on one thread."""

    def __init__(self, inputs: BarInputs, contract: FeatureContract) -> None:
        self._inputs = inputs
        self._parameters: Ints = contract.parameters()
        self._clock: Floats = clock_table(contract.timeframe_ms)
        self._block, self._warmup = contract.block_bars, contract.warmup_bars
        self._state: Floats = np.zeros(kernel.state_size(contract.fill_window_bars))

    def rows(self, first: int, end: int, values: NDArray[np.float32], reason: NDArray[np.uint16]) -> None:
        """Write the rows ``first`` to ``end`` (absolute) of one block."""
        bars, base = self._inputs.values, self._inputs.first_index
        start = max(first // self._block * self._block - self._warmup, base)
        self._state[kernel.S_COUNT] = 0.0
        kernel.run(
            self._state,
            base,
            bars,
            start - base,
            first - base,
            end - base,
            self._parameters,
            self._clock,
            values,
            reason,
        )


def _blocks(first: int, end: int, block: int) -> list[tuple[int, int]]:
    """Cut ``first`` to ``end`` at the absolute block boundaries."""
    cuts = [first, *range((first // block + 1) * block, end, block), end]
    return [(lo, hi) for lo, hi in pairwise(cuts) if lo < hi]


def _check(inputs: BarInputs, contract: FeatureContract, *, first: int, end: int) -> None:
    if inputs.timeframe.ms != contract.timeframe_ms:
        raise FeatureError(
            f"{inputs.symbol}: bars of {inputs.timeframe.ms} ms for a contract of {contract.timeframe_ms} ms",
            why="windows count bars",
            remedy="load the contract's timeframe",
        )
    if not inputs.first_index <= first <= end <= inputs.end_index:
        raise FeatureError(
            f"{inputs.symbol}: rows {first} to {end} of bars {inputs.first_index} to {inputs.end_index}",
            why="a row needs its own bar",
            remedy="load these bars, or ask for fewer rows",
        )
