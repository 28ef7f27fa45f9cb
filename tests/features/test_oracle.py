"""Is every feature what its definition says, on random markets and through a real crash?"""

import numpy as np
import pyarrow.parquet as pq
import pytest
from numba import njit

from features import FEATURES, BarInputs, FeatureContract, assemble_inputs, kernel
from features.clock import sin_cos
from features.inputs import Column
from features.kernel_lanes import LANES, get, put, wide
from features.kernel_state import log_ratio
from features.lanes import Stretch, run_stretches
from tests.features import oracle
from tests.features.histories import ANCHOR, FIVE, contract, inputs_of, random_bars, real_grid, real_inputs
from tests.real_data import real_data_dir

CRASH = "2025-10-10T21:10"


def kernel_row(inputs: BarInputs, made: FeatureContract, index: int) -> np.ndarray:
    """One row before it is rounded to float32."""
    base = inputs.first_index
    start = max(index // made.block_bars * made.block_bars - made.warmup_bars, base)
    row, reason = np.empty((1, kernel.FEATURE_COUNT)), np.empty(1, np.uint16)
    at = index - base
    one = Stretch(
        bars=inputs.values, first_index=base, start=start - base, first=at, end=at + 1, values=row, reason=reason
    )
    run_stretches([one], made, threads=1)
    assert not reason[0] & 1
    return row[0]


@njit
def logs_in_lanes(s):
    for row in range(0, s.size, LANES):
        put(s, row, log_ratio(get(s, row), wide(1.0)))


def logs(x: np.ndarray) -> np.ndarray:
    """The kernel's logarithm of many numbers, eight at a time."""
    padded = np.concatenate((x, np.ones(-x.size % LANES)))
    logs_in_lanes(padded)
    return padded[: x.size]


def assert_as_defined(inputs: BarInputs, indices) -> None:
    """Kernel and oracle agree to 1e-9 (relative, or absolute where values are near zero) in float64."""
    made = contract()
    for index in indices:
        start = max(index // made.block_bars * made.block_bars - made.warmup_bars, inputs.first_index)
        seen = inputs.values[start - inputs.first_index : index + 1 - inputs.first_index]
        want = oracle.row(seen, close_ms=(index + 1) * FIVE.ms, bars_per_year=FIVE.bars_per_year)
        got = dict(zip((f.name for f in FEATURES), kernel_row(inputs, made, int(index)), strict=True))
        assert set(want) == set(got)
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-9, atol=1e-12, err_msg=f"{name} at {index}")


@pytest.mark.parametrize(("seed", "price"), [(1, 100.0), (2, 3e-6), (3, 60_000.0)])
def test_random_markets(seed, price):
    """Jumps, flat stretches and empty bars, at prices ten orders of magnitude apart."""
    inputs = inputs_of(random_bars(4200, seed=seed, price=price), first_index=ANCHOR - 1152)
    picked = np.random.default_rng(seed).integers(0, 3000, 12)
    assert_as_defined(inputs, [*(ANCHOR + picked), ANCHOR, ANCHOR + 2015, ANCHOR + 2016])


@pytest.mark.parametrize(
    ("folder", "symbol"),
    [
        ("genetic_um", "1000PEPEUSDT"),
        ("genetic_um", "1000SHIBUSDT"),
        ("genetic_um", "TONUSDT"),
        ("marketlab_um", "PIPPINUSDT"),
    ],
)
def test_real_low_priced_coins_through_the_crash(folder, symbol):
    """2025-10-10: log changes above 1 inside one 5m bar."""
    inputs = real_inputs(folder, symbol, start="2025-10-04", days=10)
    crash = int(np.datetime64(CRASH, "ms").astype(np.int64)) // FIVE.ms
    assert np.ptp(np.log(inputs.values[:, oracle.C])) > 0.3
    assert_as_defined(inputs, [crash + k for k in (0, 1, 2, 3, 4, 13, 30, 60, 150, 300, 600)])


def open_interest(symbol: str, inputs: BarInputs) -> np.ndarray:
    """The archive's open interest at each bar's open, NaN where it has no row on the grid or writes 0."""
    table = pq.read_table(real_data_dir() / "vision_metrics_um" / "open_interest_5m" / f"{symbol}.parquet")
    time = table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
    value = table["open_interest"].to_numpy()
    usable = (time % FIVE.ms == 0) & (value > 0)
    found = dict(zip((time[usable] // FIVE.ms).tolist(), value[usable].tolist(), strict=True))
    return np.array([found.get(inputs.first_index + k, np.nan) for k in range(len(inputs))])


def with_columns(inputs: BarInputs, **columns: np.ndarray) -> BarInputs:
    """The same bars with some columns replaced."""
    values = inputs.values.copy()
    for name, value in columns.items():
        values[:, Column[name.upper()]] = value
    return inputs_of(values, first_index=inputs.first_index, symbol=inputs.symbol)


def test_real_open_interest_basis_and_holes_in_all_optional_columns():
    """Real open interest and hourly basis through the crash, then unknown for a while, at times for too long."""
    inputs = real_inputs("marketlab_um", "SOLUSDT", start="2025-10-04", days=10)
    rng, n = np.random.default_rng(7), len(inputs)
    inputs = with_columns(
        inputs, open_interest=open_interest("SOLUSDT", inputs), taker_share=np.where(rng.random(n) < 0.1, np.nan, 0.4)
    )
    crash = int(np.datetime64(CRASH, "ms").astype(np.int64)) // FIVE.ms
    at = crash - inputs.first_index
    for column, since, bars in (("OPEN_INTEREST", 40, 300), ("BASIS", 60, 160), ("TAKER_SHARE", 50, 30)):
        inputs.values[at + since : at + since + bars, Column[column]] = np.nan
    picked = [crash + k for k in (-1, 0, 1, 40, 45, 60, 70, 80, 100, 210, 220, 340, 345, 352, 400)]
    assert_as_defined(inputs, picked)
    got = np.array([kernel_row(inputs, contract(), index) for index in picked])
    optional = [k for k, feature in enumerate(FEATURES) if feature.nan_allowed]
    assert np.isnan(got[:, optional]).any(axis=0).all()
    assert np.isfinite(got[:, optional]).any(axis=0).all()
    assert np.isfinite(np.delete(got, optional, axis=1)).all()


def test_a_real_stablecoin_that_stands_still():
    """Hours without a trade, prices of one tick, windows of zero volume."""
    own = real_grid("marketlab_spot", "USD1USDT", start="2025-06-01", days=60)
    stood = (own.volume == 0) | (own.high == own.low)
    last = int(np.argmax(np.convolve(own.volume == 0, np.ones(20), "valid")[2500:])) + 2500 + 19
    assert stood[last - 13 : last + 1].sum() >= 5
    reference = real_grid("marketlab_spot", "BTCUSDT", start="2025-06-01", days=60)
    inputs = with_columns(
        assemble_inputs(own, reference=reference, funding=None, open_interest=None),
        funding_rate=np.full(len(own), 1e-4),
        funding_interval_h=np.full(len(own), 8.0),
        hours_to_funding=np.full(len(own), 4.0),
    )
    assert_as_defined(inputs, [inputs.first_index + last + k for k in (-10, -1, 0, 1, 2, 5, 20, 40, 300)])


def test_a_real_outage_without_trades():
    """2025-08-29 06:20 to 06:30: the venue printed flat bars without volume."""
    inputs = real_inputs("marketlab_um", "DOGEUSDT", start="2025-08-22", days=9)
    out = int(np.datetime64("2025-08-29T06:20", "ms").astype(np.int64)) // FIVE.ms
    assert inputs.values[out - inputs.first_index, Column.VOLUME] == 0
    assert_as_defined(inputs, [out + k for k in (-1, 0, 1, 2, 3, 4, 12, 14, 20, 48, 287, 288, 289)])


def test_a_venue_that_changed_its_funding_interval():
    """ORCA settled every 4 h, from 2025-03-21 every 2 h, then every 4 h again."""
    inputs = real_inputs("marketlab_um", "ORCAUSDT", start="2025-03-12", days=18)
    hours = inputs.values[:, Column.FUNDING_INTERVAL_H]
    known = np.flatnonzero(np.isfinite(hours))  # unknown from when a settlement is overdue until it comes
    changes = np.flatnonzero(np.diff(hours[known])) + 1
    changed = [(hours[known[k - 1]], hours[known[k]], known[k]) for k in changes]
    assert [pair[:2] for pair in changed][:2] == [(4.0, 2.0), (2.0, 4.0)]
    first, second = changed[0][2], changed[1][2]
    picked = [first - 1, first, first + 1, first + 100, second - 1, second, second + 50, second + 600]
    assert_as_defined(inputs, [inputs.first_index + k for k in picked])
    at = [feature.name for feature in FEATURES].index("funding_interval_change")
    got = [kernel_row(inputs, contract(), inputs.first_index + k)[at] for k in (first - 1, first, second, second + 600)]
    assert got[0] == got[3] == 0
    assert got[1] == pytest.approx(2 / (4 * 575 / 576 + 2 / 576) - 1, rel=1e-12)
    assert got[2] > 0


def test_a_funding_interval_that_halves_and_returns():
    """Synthetic 8 h to 4 h to 8 h: below its mean while short, above it after, 0 once a window is of one kind."""
    bars = random_bars(4200, seed=9)
    bars[2000:2300, oracle.INTERVAL], bars[2000:2300, oracle.HOURS] = 4.0, 2.0
    inputs = inputs_of(bars, first_index=ANCHOR - 1152)
    base = ANCHOR - 1152
    assert_as_defined(inputs, [base + k for k in (1999, 2000, 2150, 2299, 2300, 2575, 2874, 2875)])
    at = [feature.name for feature in FEATURES].index("funding_interval_change")
    got = {k: kernel_row(inputs, contract(), base + k)[at] for k in (1999, 2000, 2300, 2874, 2875)}
    assert got[1999] == got[2875] == 0
    assert got[2000] < 0 < got[2874] < got[2300]


def test_a_flat_empty_market_has_the_declared_values():
    """No movement, no volume, constant funding and reference: finite, and what the formulas column promises."""
    bars = random_bars(2400, seed=4)
    bars[:, oracle.O : oracle.V] = 0.7
    bars[:, oracle.V], bars[:, oracle.REF], bars[:, oracle.RATE] = 0.0, 3.0, 7.3e-5
    bars[:, oracle.BASIS], bars[:, oracle.TAKER] = 1.1e-4, 0.3
    inputs = inputs_of(bars, first_index=ANCHOR - 1152)
    got = dict(zip((f.name for f in FEATURES), kernel_row(inputs, contract(), ANCHOR + 900), strict=True))
    special = {
        "rsi": 50, "stoch_k": 50, "stoch_d": 50, "bb_position": 0.5, "range_position_288": 0.5,
        "downside_share_48": 0.5, "atr_ratio": 1, "vol_ratio_12_288": 1, "illiquidity_ratio": 1, "is_doji": 1,
    }  # fmt: skip
    moving = {"day_sin", "day_cos", "week_sin", "week_cos", "funding_rate", "funding_annualised", "hours_to_funding"}
    moving |= {"oi_change_12", "oi_change_288", "oi_zscore_576", "basis", "taker_share"}
    for name, value in got.items():
        assert np.isfinite(value), name
        if name not in moving:
            assert value == pytest.approx(special.get(name, 0), abs=1e-14), name


def test_the_logarithm_and_the_sine_are_exact_enough():
    """Our own functions stay within two units in the last place of NumPy's, the sine within 5e-16."""
    x = np.concatenate((np.exp(np.linspace(-20, 20, 4001)), 1 + np.linspace(-1e-3, 1e-3, 2001)))
    got = logs(x)
    assert np.max(np.abs(got - np.log(x)) / np.maximum(np.spacing(np.abs(np.log(x))), 1e-300)) <= 2.0
    assert np.isnan(logs(np.array([0.0, -1.0, np.nan, np.inf, -np.inf, -0.0, 1e-310]))).all()
    turn = np.arange(0, 2016) / 2016
    angle = (
        2 * np.pi * (turn - np.round(turn))
    )  # within half a turn: beyond it, the angle itself is rounded too coarsely
    pairs = np.array([sin_cos(value) for value in turn])
    assert np.abs(pairs[:, 0] - np.sin(angle)).max() < 5e-16
    assert np.abs(pairs[:, 1] - np.cos(angle)).max() < 5e-16
