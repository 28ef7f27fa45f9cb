"""Is every feature what its definition says, on random markets and through a real crash?"""

import numpy as np
import pytest
from numba import njit

from features import FEATURES, BarInputs, FeatureContract, kernel
from features.clock import sin_cos
from features.kernel_lanes import LANES, get, put, wide
from features.kernel_state import log_ratio
from features.lanes import Stretch, run_stretches
from tests.features import oracle
from tests.features.histories import ANCHOR, FIVE, contract, inputs_of, random_bars, real_inputs

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
    ("folder", "symbol"), [("genetic_um", "1000PEPEUSDT"), ("genetic_um", "TONUSDT"), ("marketlab_um", "PIPPINUSDT")]
)
def test_real_low_priced_coins_through_the_crash(folder, symbol):
    """2025-10-10: log changes above 1 inside one 5m bar."""
    inputs = real_inputs(folder, symbol, start="2025-10-04", days=10)
    crash = int(np.datetime64(CRASH, "ms").astype(np.int64)) // FIVE.ms
    assert np.ptp(np.log(inputs.values[:, oracle.C])) > 0.3
    assert_as_defined(inputs, [crash + k for k in (0, 1, 2, 3, 4, 13, 30, 60, 150, 300, 600)])


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
