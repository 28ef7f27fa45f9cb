"""What do the lake's public reads say about one market over a stretch of bars?

Used where the past is looked at as a whole (outcomes, parity): every row as it was known at one moment. The worker sees
bar by bar through ``serving.market_view`` instead, so that an audit does not repeat the worker's own reading.
"""

from features.contract import FeatureContract
from features.inputs import BarInputs, assemble_inputs
from infra.lake import Lake
from infra.open_interest import on_grid
from market.barriers import PricePath, price_path
from market.basis import basis_on_grid
from market.funding import FundingOnGrid, funding_on_grid
from market.grid import BarGrid, to_grid
from market.taker_flow import taker_on_grid
from market.timeframe import DAY_MS, Timeframe

__all__ = ["batch_inputs", "known_path", "warm_up_index"]

# A longer reach than any window: a hole at the start of a window is filled from the bar before it.
_BEFORE_MS = 45 * DAY_MS


def warm_up_index(contract: FeatureContract, first_index: int) -> int:
    """The first bar that the features of bar ``first_index`` are computed from."""
    return first_index - first_index % contract.block_bars - contract.warmup_bars


def known_path(
    lake: Lake, symbol: str, timeframe: Timeframe, *, first_index: int, end_index: int, as_of_ms: int | None = None
) -> PricePath | None:
    """Prices and funding of the bars ``[first_index, end_index)``, as far as the lake goes; None when it holds none."""
    grid = _grid(
        lake,
        symbol,
        timeframe,
        first_index=first_index,
        end_index=end_index,
        as_of_ms=as_of_ms,
        before_ms=0,
        filled_to_end=False,
    )
    return None if grid is None else price_path(grid, _funding(lake, grid, as_of_ms))


def batch_inputs(
    lake: Lake, symbol: str, contract: FeatureContract, *, first_index: int, end_index: int, as_of_ms: int | None
) -> BarInputs | None:
    """Kernel inputs of the bars ``[first_index, end_index)``, block and warm-up included, missing ones filled flat."""
    timeframe = Timeframe(contract.timeframe_ms)
    start = warm_up_index(contract, first_index)
    grids = {
        name: _grid(
            lake,
            name,
            timeframe,
            first_index=start,
            end_index=end_index,
            as_of_ms=as_of_ms,
            before_ms=_BEFORE_MS,
            filled_to_end=True,
        )
        for name in {symbol, contract.reference_symbol}
    }
    grid = grids[symbol]
    if grid is None:
        return None
    first_ms, end_ms = int(grid.open_time[0]), timeframe.open_time(end_index)
    stamps, values = lake.open_interest(symbol, start_ms=first_ms, end_ms=end_ms + 1, as_of_ms=as_of_ms)
    mark = lake.mark(symbol, start_ms=first_ms, end_ms=end_ms + 1, as_of_ms=as_of_ms)
    taker = lake.taker(symbol, timeframe, start_ms=first_ms, end_ms=end_ms, as_of_ms=as_of_ms)
    return assemble_inputs(
        grid,
        reference=grids[contract.reference_symbol],
        funding=_funding(lake, grid, as_of_ms),
        open_interest=on_grid(stamps, values, timeframe, grid.first_index, len(grid)),
        basis=basis_on_grid(mark, grid),
        taker_share=taker_on_grid(taker, grid),
    )


def _grid(
    lake: Lake,
    symbol: str,
    timeframe: Timeframe,
    *,
    first_index: int,
    end_index: int,
    as_of_ms: int | None,
    before_ms: int,
    filled_to_end: bool,
) -> BarGrid | None:
    candles = lake.candles(
        symbol,
        timeframe,
        start_ms=timeframe.open_time(first_index) - before_ms,
        end_ms=timeframe.open_time(end_index),
        as_of_ms=as_of_ms,
    )
    return to_grid(candles, end_index=end_index if filled_to_end else None) if len(candles) else None


def _funding(lake: Lake, grid: BarGrid, as_of_ms: int | None) -> FundingOnGrid:
    tf = grid.timeframe
    stamps = lake.funding(
        grid.symbol,
        start_ms=tf.open_time(grid.first_index) - _BEFORE_MS,
        end_ms=tf.open_time(grid.end_index),
        as_of_ms=as_of_ms,
    )
    return funding_on_grid(stamps, timeframe=tf, first_index=grid.first_index, n=len(grid))
