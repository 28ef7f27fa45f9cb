"""Which histories do the feature tests run on?

Seeded random markets, and real perpetuals read with pyarrow. Small on purpose: a few blocks of a few markets.
"""

import numpy as np
import pyarrow.parquet as pq

from features import BarInputs, FeatureContract, FeatureSpec, assemble_inputs, running_contract
from market.candles import Candles, check_candles
from market.funding import FundingStamps, funding_on_grid
from market.grid import BarGrid, to_grid
from market.timeframe import Timeframe
from tests.real_data import real_data_dir

FIVE = Timeframe.parse("5m")
ANCHOR = 2016 * 2900  # an absolute block boundary


def contract(*, block_bars: int = 2016, warmup_bars: int = 1152, **limits: int) -> FeatureContract:
    """The running contract, by default with production's block and warm-up."""
    spec = FeatureSpec(
        timeframe=FIVE, reference_symbol="BTCUSDT", block_bars=block_bars, warmup_bars=warmup_bars, **limits
    )
    return running_contract(spec)


def random_bars(n: int, *, seed: int, price: float = 100.0, volatility: float = 2e-3) -> np.ndarray:
    """``(n, 13)`` complete input rows of a random walk with jumps, flat stretches and empty bars."""
    rng = np.random.default_rng(seed)
    r = rng.standard_t(3, n) * volatility
    quiet = rng.random(n // 50 + 1).repeat(50)[:n] < 0.1
    r[quiet] = 0.0
    close = price * np.exp(np.cumsum(r))
    open_ = np.concatenate((close[:1], close[:-1])) * np.where(rng.random(n) < 0.05, 1 + volatility, 1.0)
    open_[quiet] = close[quiet]
    spread = np.where(quiet, 0.0, volatility)
    high = np.maximum(open_, close) * (1 + rng.random(n) * spread)
    low = np.minimum(open_, close) * (1 - rng.random(n) * spread)
    volume = np.where(quiet, 0.0, rng.lognormal(3.0, 1.5, n))
    rate = np.round(rng.normal(1e-4, 5e-5, n // 96 + 1), 8).repeat(96)[:n]
    ref = 30_000 * np.exp(np.cumsum(0.5 * r + rng.normal(0, volatility, n)))
    interest = 1e6 * np.exp(np.cumsum(rng.normal(0, 1e-3, n)))
    hours = 8.0 - (np.arange(1, n + 1) % 96) / 12
    basis = 2e-4 * np.sin(np.arange(n) / 90.0) + rng.normal(0, 1e-4, n)
    taker = np.where(volume > 0, rng.beta(5, 5, n), np.nan)
    known = (open_, high, low, close, volume, np.ones(n), ref, rate, np.full(n, 8.0), hours, interest, basis, taker)
    return np.column_stack(known)


def inputs_of(bars: np.ndarray, *, first_index: int, symbol: str = "TESTUSDT") -> BarInputs:
    """Wrap rows as inputs."""
    return BarInputs(symbol=symbol, timeframe=FIVE, first_index=first_index, values=bars)


def real_grid(folder: str, symbol: str, *, start: str, days: int) -> BarGrid:
    """Real 5m bars on the grid."""
    table = pq.read_table(real_data_dir() / folder / "candles_5m" / f"{symbol}.parquet")
    columns = {name: table[name].to_numpy().copy() for name in ("open", "high", "low", "close", "volume")}
    time = table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    first = int(np.datetime64(start, "ms").astype(np.int64))
    candles = Candles(symbol=symbol, timeframe=FIVE, open_time=time, **columns)
    candles = candles.between(first, first + days * 86_400_000)
    check_candles(candles)
    return to_grid(candles)


def real_inputs(folder: str, symbol: str, *, start: str, days: int) -> BarInputs:
    """Real bars with the BTC reference, funding and hourly mark where the source has them, no open interest."""
    grid = real_grid(folder, symbol, start=start, days=days)
    reference = real_grid("marketlab_um", "BTCUSDT", start=start, days=days)
    path = real_data_dir() / folder / "funding" / f"{symbol}.parquet"
    if path.exists():
        table = pq.read_table(path)
        time = table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
        rate = table["funding_rate"].to_numpy().copy()
    else:
        first = int(grid.open_time[0]) // 28_800_000 * 28_800_000
        time = np.arange(first, int(grid.open_time[-1]) + 28_800_000, 28_800_000, dtype=np.int64)
        rate = np.full(time.size, 1e-4)
    stamps = FundingStamps(symbol=symbol, time=time, rate=rate)
    funding = funding_on_grid(stamps, timeframe=FIVE, first_index=grid.first_index, n=len(grid))
    basis = real_basis(folder, symbol, grid)
    return assemble_inputs(grid, reference=reference, funding=funding, open_interest=None, basis=basis)


def real_basis(folder: str, symbol: str, grid: BarGrid) -> np.ndarray | None:
    """Close over the hourly mark at the mark's own last close, where the source has mark prices."""
    path = real_data_dir() / folder / "mark_1h" / f"{symbol}.parquet"
    if not path.exists():
        return None
    table = pq.read_table(path)
    opened = table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    marks = dict(zip((opened + 3_600_000).tolist(), table["close"].to_numpy().tolist(), strict=True))
    basis, last = [], np.nan
    for closed, close in zip((grid.open_time + grid.timeframe.ms).tolist(), grid.close.tolist(), strict=True):
        last = close / marks[closed] - 1 if closed in marks else last
        basis.append(last)
    return np.array(basis)


def real_symbols() -> list[tuple[str, str]]:
    """Folder and symbol of the 33 real perpetuals."""
    root = real_data_dir()
    folders = ("marketlab_um", "genetic_um")
    return [(folder, path.stem) for folder in folders for path in sorted((root / folder / "candles_5m").iterdir())]
