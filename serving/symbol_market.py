"""What did one market look like to the decision at each bar, and which features follow?

Holds the rows of one symbol around a run of bars, its grid and kernel inputs, and one feature stream. Arrays are built
once and cut at the bar in question; only where a late row or a revision became known are they built again and the
stream warmed anew. Whatever a bar did not know is not in what it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from features.inputs import BarInputs, assemble_inputs
from features.stream import FeatureStream
from infra.lake import Lake
from infra.lake_rows import empty_rows
from infra.open_interest import on_grid
from market.barriers import PricePath
from market.basis import MarkStamps, basis_on_grid
from market.candles import Candles
from market.funding import FundingStamps, funding_on_grid
from market.grid import BarGrid, to_grid
from market.standstill import stands_still_at
from market.taker_flow import TakerShares, taker_on_grid
from market.timeframe import DAY_MS, Timeframe
from serving.growth import MarketGrowth
from serving.known_rows import (
    Clock,
    KnownRows,
    read_candles,
    read_funding,
    read_mark,
    read_open_interest,
    read_taker,
)
from serving.next_bar import Arrived, Stamp, memory_of

__all__ = ["FeatureAnswer", "MarketRows", "SymbolMarket", "grid_at", "read_market", "window_start_ms"]

# Bars before the window are read so that a hole at its start is filled as a longer history would fill it.
_BEFORE_MS = 45 * DAY_MS
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarketRows:
    """Every version of one symbol's rows over a window; ``end_index`` is one past the last bar."""

    symbol: str
    end_index: int
    candles: KnownRows
    funding: KnownRows
    open_interest: KnownRows
    mark: KnownRows
    taker: KnownRows

    @property
    def kinds(self) -> tuple[KnownRows, ...]:
        """All of them."""
        return self.candles, self.funding, self.open_interest, self.mark, self.taker


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureAnswer:
    """One symbol at one bar: ``values (F,) float32`` and the reason, None when the symbol had no bar yet."""

    values: NDArray[np.float32]
    reason: int | None


def window_start_ms(timeframe: Timeframe, first_index: int) -> int:
    """The earliest moment that the bars from ``first_index`` on are read from."""
    return timeframe.open_time(first_index) - _BEFORE_MS


def read_market(lake: Lake, symbol: str, *, clock: Clock, first_index: int, end_index: int) -> MarketRows:
    """Read what the bars ``[first_index, end_index)`` of this symbol may need."""
    start_ms = window_start_ms(clock.timeframe, first_index)
    end_ms = clock.timeframe.open_time(end_index)
    return MarketRows(
        symbol=symbol,
        end_index=end_index,
        candles=read_candles(lake, symbol, clock=clock, start_ms=start_ms, end_ms=end_ms),
        funding=read_funding(lake, symbol, clock=clock, start_ms=start_ms, end_ms=end_ms),
        open_interest=read_open_interest(lake, symbol, clock=clock, start_ms=start_ms, end_ms=end_ms + 1),
        mark=read_mark(lake, symbol, clock=clock, start_ms=start_ms, end_ms=end_ms + 1),
        taker=read_taker(lake, symbol, clock=clock, start_ms=start_ms, end_ms=end_ms),
    )


def grid_at(market: MarketRows, clock: Clock, index: int) -> BarGrid | None:
    """The grid bar ``index`` knew, followed by what later bars know in time; None without any bar."""
    rows = market.candles.expected_at(index)
    if len(rows) == 0:
        return None
    open_, high, low, close, volume = rows.values
    candles = Candles(
        symbol=market.symbol,
        timeframe=clock.timeframe,
        open_time=rows.time,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )
    return to_grid(candles, end_index=market.end_index)


class SymbolMarket:
    """One symbol, visited bar after bar."""

    def __init__(self, market: MarketRows, *, clock: Clock, contract: FeatureContract, first_index: int) -> None:
        self._market = market
        self._clock = clock
        self._contract = contract
        self._first_index = first_index
        self._grid: BarGrid | None = None
        self._inputs: BarInputs | None = None
        self._stream: FeatureStream | None = None
        self._growth: MarketGrowth | None = None
        self._missing = np.full(len(contract.names), np.nan, dtype=np.float32)

    @property
    def symbol(self) -> str:
        """Which market this is."""
        return self._market.symbol

    def rebuild(self, index: int, reference: BarGrid | None) -> None:
        """Start over with what bar ``index`` knew; the next ``answer`` warms a new stream."""
        if self._growth is not None:
            raise RuntimeError(f"{self._market.symbol}: a market that was extended is read anew, not built again")
        self._stream = None
        self._inputs = None
        grid = grid_at(self._market, self._clock, index)
        self._grid = grid
        if grid is None:
            return
        tf, n = self._clock.timeframe, len(grid)
        stamps = self._market.funding.expected_at(index)
        interest = self._market.open_interest.expected_at(index)
        mark = self._market.mark.expected_at(index)
        taker = self._market.taker.expected_at(index)
        inputs = assemble_inputs(
            grid,
            reference=reference,
            funding=funding_on_grid(
                FundingStamps(symbol=grid.symbol, time=stamps.time, rate=stamps.values[0]),
                timeframe=tf,
                first_index=grid.first_index,
                n=n,
            ),
            open_interest=on_grid(interest.time, interest.values[0], tf, grid.first_index, n),
            basis=basis_on_grid(MarkStamps(symbol=grid.symbol, time=mark.time, price=mark.values[0]), grid),
            taker_share=taker_on_grid(
                TakerShares(symbol=grid.symbol, timeframe=tf, open_time=taker.time, share=taker.values[0]), grid
            ),
        )
        self._inputs = _cut(inputs, max(self._first_index, inputs.first_index), inputs.end_index)

    def answer(self, index: int) -> FeatureAnswer:
        """Features of bar ``index``; call for consecutive bars, or after ``rebuild`` for any."""
        inputs = self._inputs
        if inputs is None or index < inputs.first_index:
            return FeatureAnswer(values=self._missing, reason=None)
        if self._stream is None:
            stream = FeatureStream(self._contract, inputs.symbol)
            block = stream.warm(_cut(inputs, inputs.first_index, index + 1))
            self._stream = stream
            return FeatureAnswer(values=block.values[-1].copy(), reason=int(block.reason[-1]))
        values, reason = self._stream.advance(index, inputs.values[index - inputs.first_index])
        return FeatureAnswer(values=values, reason=int(reason))

    def stands_still(self, index: int, *, bars: int) -> bool:
        """Whether the last real bars that bar ``index`` knew are one bar repeated, or silent; False without bars."""
        return self._grid is not None and stands_still_at(self._grid, index, bars=bars)

    def extend(self, arrived: Arrived, reference_close: float) -> bool:
        """Take the bar after the last in; False where only reading the market anew can tell what it brings.

        Of the rows only funding is kept on: the others are in the grid and in the inputs.
        """
        if self._grid is None or self._inputs is None:
            return self._grid is None and arrived.candle is None
        market = self._market
        if self._growth is None:
            memory = memory_of(
                self._grid, funding=market.funding.rows, open_interest=market.open_interest.rows, mark=market.mark.rows
            )
            self._growth = MarketGrowth(self._grid, self._inputs, memory)
        grown = self._growth.add(arrived, reference_close)
        if grown is None:
            return False
        self._grid, self._inputs = grown
        self._market = _only_funding(market, self._clock, arrived.funding)
        return True

    def path(self, first_index: int, index: int) -> PricePath | None:
        """Bars ``[first_index, index]`` as bar ``index`` knew them, funding included; None where there are none."""
        grid = self._grid
        if grid is None or first_index < grid.first_index or index >= grid.end_index:
            return None
        rows = slice(first_index - grid.first_index, index + 1 - grid.first_index)
        stamps = self._market.funding.known_at(index)
        funding = funding_on_grid(
            FundingStamps(symbol=grid.symbol, time=stamps.time, rate=stamps.values[0]),
            timeframe=self._clock.timeframe,
            first_index=first_index,
            n=index + 1 - first_index,
        )
        return PricePath(
            first_index=first_index,
            open=grid.open[rows],
            high=grid.high[rows],
            low=grid.low[rows],
            close=grid.close[rows],
            real=grid.real[rows],
            funding_paid=funding.paid,
            funding_known=funding.known,
        )


def _only_funding(market: MarketRows, clock: Clock, stamps: Sequence[Stamp]) -> MarketRows:
    """The market's funding with these later stamps, without its other rows."""
    funding, nothing = market.funding, KnownRows(rows=empty_rows(0), own=_NONE, visible=_NONE)
    if stamps:
        time = np.array([at for at, _ in stamps], dtype=np.int64)
        funding = funding.followed_by(time, np.array([rate for _, rate in stamps]), clock)
    elif market.candles.own.size == 0:
        return market
    return MarketRows(
        symbol=market.symbol,
        end_index=market.end_index,
        candles=nothing,
        funding=funding,
        open_interest=nothing,
        mark=nothing,
        taker=nothing,
    )


def _cut(inputs: BarInputs, first: int, end: int) -> BarInputs:
    rows = slice(first - inputs.first_index, end - inputs.first_index)
    return BarInputs(
        symbol=inputs.symbol,
        timeframe=inputs.timeframe,
        first_index=first,
        values=np.ascontiguousarray(inputs.values[rows]),
    )
