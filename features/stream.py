"""What are the feature rows of the bars that have just closed?

The same kernel that batch runs, a market a lane. Streams keep the last warm-up bars of their markets, and begin anew
from them at every absolute block boundary, exactly where batch does: the bytes are equal.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features import kernel
from features.batch import FeatureBlock, compute_many, require_running
from features.contract import FeatureContract
from features.errors import FeatureError
from features.inputs import BarInputs
from features.kernel_lanes import LANES
from features.lanes import Engine, Stretch, new_states
from market.candles import Floats, Ints

__all__ = ["FeatureStream", "FeatureStreams"]


class FeatureStreams:
    """The running states of several markets whose bars close together. Not for use by two threads at once.

    Markets whose states begin at one bar share a state, a lane each; ``advance`` runs all states in one call.
    """

    def __init__(self, contract: FeatureContract, symbols: Sequence[str]) -> None:
        """Begin empty: ``warm`` with history, or ``advance`` from the markets' very first bar."""
        require_running(contract)
        self.symbols = tuple(symbols)
        self._contract, self._engine = contract, Engine(contract)
        markets = len(self.symbols)
        self._bars: Floats = np.empty((markets, kernel.INPUT_COLUMNS))
        self._values = np.empty((markets, kernel.FEATURE_COUNT), dtype=np.float32)
        self._reason = np.empty(markets, dtype=np.uint16)
        self._aside = np.empty(kernel.FEATURE_COUNT, dtype=np.float32)
        self._recent: Floats = np.empty((0, markets, kernel.INPUT_COLUMNS))  # twice the warm-up, once there is a bar
        self._place = 0  # of the next bar in ``_recent``
        self._held = np.zeros(markets, dtype=np.int64)  # bars of each market before it, at most the warm-up
        self._next_index: int | None = None
        self._states: Floats = np.empty((0, 0))
        self._jobs: Ints = np.empty((0, 0), dtype=np.int64)

    @property
    def next_index(self) -> int | None:
        """Absolute index of the bars that must come next; None before the first."""
        return self._next_index

    def warm(self, inputs: Sequence[BarInputs]) -> list[FeatureBlock]:
        """Take history in, forgetting what came before; returns each market's rows of the newest bar's block.

        Give every market's ``block + warmup`` bars, or all bars of a younger one, in the order of ``symbols`` and up to
        the same bar. Raises ``FeatureError`` for other symbols, no bars, or different ends.
        """
        self._check_history(inputs)
        keep, end = self._contract.warmup_bars, inputs[0].end_index
        anchor = (end - 1) // self._contract.block_bars * self._contract.block_bars
        starts = [max(anchor, one.first_index) for one in inputs]
        rows = compute_many(inputs, self._contract, threads=1, start_indices=starts)
        self._recent, self._place = np.empty((2 * keep, len(inputs), kernel.INPUT_COLUMNS)), keep
        for market, one in enumerate(inputs):
            held = min(len(one), keep)
            self._held[market] = held
            self._recent[keep - held : keep, market] = one.values[len(one) - held :]
        self._next_index = end
        self._begin(
            [_unwritten(one.values, one.first_index, max(anchor - keep, one.first_index), end) for one in inputs]
        )
        return rows

    def advance(self, index: int, bars: Floats) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
        """Take the bars with this absolute index, ``(markets, len(Column)) float64``; returns rows and reasons.

        Raises ``FeatureError`` for a repeated or skipped bar: put the history on the grid, which fills gaps.
        """
        self._accept(index, bars)
        if index % self._contract.block_bars == 0 or not len(self._states):
            first = index - self._place
            self._begin(
                [
                    _unwritten(self._recent[:, market], first, index - int(held), index)
                    for market, held in enumerate(self._held)
                ]
            )
        engine = self._engine
        self._jobs[:, kernel.JOB_CLOCK : kernel.JOB_CLOCK + LANES] = engine.clock_row(index)
        kernel.run(self._states, self._jobs, engine.parameters, engine.clock, self._aside)
        self._jobs[:, kernel.JOB_BEGIN] += 1
        self._remember()
        self._next_index = index + 1
        return self._values.copy(), self._reason.copy()

    def _check_history(self, inputs: Sequence[BarInputs]) -> None:
        for symbol, one in zip(self.symbols, inputs, strict=False):
            if one.symbol != symbol or len(one) == 0 or one.end_index != inputs[0].end_index:
                raise FeatureError(
                    f"stream of {symbol}: {len(one)} bars of {one.symbol} up to {one.end_index}",
                    why=f"a stream begins with its own market's history, here up to {inputs[0].end_index}",
                    remedy="warm it with the markets' bars in its order, all to the same bar",
                )
        if len(inputs) != len(self.symbols):
            raise FeatureError(
                f"{len(inputs)} histories for streams of {len(self.symbols)} markets",
                why="every market begins with its own history",
                remedy="give one history a market, in the order of the symbols",
            )

    def _accept(self, index: int, bars: Floats) -> None:
        if bars.shape != self._bars.shape:
            raise FeatureError(
                f"{', '.join(self.symbols[:3])}: bars of shape {bars.shape}",
                why=f"there are {len(self.symbols)} markets, and a bar has {kernel.INPUT_COLUMNS} columns",
                remedy="take rows from assemble_inputs",
            )
        if self._next_index is not None and index != self._next_index:
            kind = "repeated" if index < self._next_index else "skipped"
            raise FeatureError(
                f"{', '.join(self.symbols[:3])}: bar {index} where {self._next_index} comes next ({kind})",
                why="every later row would differ from the same row computed in batch",
                remedy="put the bars on the grid, or warm the stream again",
            )
        self._bars[:] = bars

    def _begin(self, histories: Sequence[Stretch]) -> None:
        """Begin all states anew; markets that begin at one bar share one, as far as its lanes go."""
        lengths = [one.end - one.start for one in histories]
        order = sorted(range(len(histories)), key=lambda market: -lengths[market])
        groups: list[list[int]] = []
        for market in order:
            if not groups or len(groups[-1]) == LANES or lengths[groups[-1][0]] != lengths[market]:
                groups.append([])
            groups[-1].append(market)
        if len(self._states) != len(groups):
            self._states = new_states(self._contract, len(groups))
        for group, state in zip(groups, self._states, strict=True):
            self._engine.run([histories[market] for market in group], states=state[None])
        self._jobs = np.concatenate([self._live_job(group, lengths[group[0]]) for group in groups])

    def _live_job(self, markets: Sequence[int], taken: int) -> Ints:
        """Describe one live step of markets that have taken so many bars."""
        job = self._engine.job(
            [
                Stretch(
                    bars=self._bars[market : market + 1],
                    first_index=0,
                    start=0,
                    first=0,
                    end=1,
                    values=self._values[market : market + 1],
                    reason=self._reason[market : market + 1],
                )
                for market in markets
            ]
        )
        job[0, kernel.JOB_BEGIN] = taken
        return job

    def _remember(self) -> None:
        """Keep the last ``warmup`` bars, oldest first; a full buffer moves its newer half to the front."""
        keep = self._contract.warmup_bars
        if not len(self._recent):
            self._recent = np.empty((2 * keep, *self._bars.shape))
        if self._place == 2 * keep:
            self._recent[: keep - 1] = self._recent[keep + 1 :]
            self._place = keep - 1
        self._recent[self._place] = self._bars
        self._place += 1
        np.minimum(self._held + 1, keep, out=self._held)


class FeatureStream:
    """The running state of one market. Not for use by two threads at once."""

    def __init__(self, contract: FeatureContract, symbol: str) -> None:
        """Begin empty: ``warm`` it with history, or ``advance`` from a symbol's very first bar."""
        self.symbol = symbol
        self._streams = FeatureStreams(contract, [symbol])

    @property
    def next_index(self) -> int | None:
        """Absolute index of the bar that must come next; None before the first."""
        return self._streams.next_index

    def warm(self, inputs: BarInputs) -> FeatureBlock:
        """Take history in, forgetting what came before; returns the rows of the newest bar's block.

        Give ``block + warmup`` bars, or all bars of a younger symbol. Raises ``FeatureError`` for another symbol.
        """
        return self._streams.warm([inputs])[0]

    def advance(self, index: int, row: Floats) -> tuple[NDArray[np.float32], int]:
        """Take the bar with this absolute index, ``row (len(Column),) float64``; returns its features and reason.

        Raises ``FeatureError`` for a repeated or skipped bar: put the history on the grid, which fills gaps.
        """
        values, reason = self._streams.advance(index, row[None])
        return values[0], int(reason[0])


def _unwritten(bars: Floats, first_index: int, start: int, end: int) -> Stretch:
    """The bars with absolute indices ``start`` to ``end``, of which no row is wanted."""
    return Stretch(
        bars=bars,
        first_index=first_index,
        start=start - first_index,
        first=end - first_index,
        end=end - first_index,
        values=np.empty((0, kernel.FEATURE_COUNT), dtype=np.float32),
        reason=np.empty(0, dtype=np.uint16),
    )
