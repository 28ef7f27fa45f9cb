"""What are the feature rows of a whole history?

The kernel, begun anew at every absolute block boundary with the warm-up before it, so any stretch of rows can be
computed alone, in any order and company, on any number of threads, and gives the same bytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from features.definitions import FEATURES
from features.errors import ContractError, FeatureError
from features.inputs import BarInputs
from features.lanes import Stretch, run_stretches
from features.sources import source_hash

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
    if contract.kernel_hash == source_hash() and contract.names == names and contract.dtype == "float32":
        return
    raise ContractError(
        f"contract {contract.fingerprint} (kernel {contract.kernel_hash[:12]}, {len(contract.names)} features)",
        why=f"the running kernel is {source_hash()[:12]} with {len(names)} features and would compute something else",
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
    first = inputs.first_index if start_index is None else start_index
    end = inputs.end_index if end_index is None else end_index
    return _compute([(inputs, first, end)], contract, threads=threads)[0]


def compute_many(
    inputs: Sequence[BarInputs],
    contract: FeatureContract,
    *,
    threads: int,
    start_indices: Sequence[int] | None = None,
) -> list[FeatureBlock]:
    """Compute the rows of several markets, from ``start_indices`` (default: their first bars) on, in the order given.

    Faster than one market after another: blocks of all markets advance together, eight at a time.
    """
    starts = [one.first_index for one in inputs] if start_indices is None else start_indices
    asked = [(one, start, one.end_index) for one, start in zip(inputs, starts, strict=True)]
    return _compute(asked, contract, threads=threads)


def _compute(
    asked: Sequence[tuple[BarInputs, int, int]], contract: FeatureContract, *, threads: int
) -> list[FeatureBlock]:
    require_running(contract)
    made: list[FeatureBlock] = []
    stretches: list[Stretch] = []
    for inputs, first, end in asked:
        _check(inputs, contract, first=first, end=end)
        block = FeatureBlock(
            symbol=inputs.symbol,
            first_index=first,
            values=np.empty((end - first, len(contract.names)), dtype=np.float32),
            reason=np.empty(end - first, dtype=np.uint16),
        )
        made.append(block)
        stretches += _stretches(inputs, contract, block)
    run_stretches(stretches, contract, threads=threads)
    return made


def _stretches(inputs: BarInputs, contract: FeatureContract, rows: FeatureBlock) -> Iterator[Stretch]:
    """Yield the rows of each anchored block, begun its warm-up earlier or at the market's first bar."""
    base = inputs.first_index
    for lo, hi in _blocks(rows.first_index, rows.end_index, contract.block_bars):
        anchor = lo // contract.block_bars * contract.block_bars
        yield Stretch(
            bars=inputs.values,
            first_index=base,
            start=max(anchor - contract.warmup_bars - base, 0),
            first=lo - base,
            end=hi - base,
            values=rows.values[lo - rows.first_index :],
            reason=rows.reason[lo - rows.first_index :],
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
