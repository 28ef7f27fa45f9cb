"""Block bootstrap of a mean of dependent bars."""

import numpy as np
import pytest

from learning.bootstrap import block_bootstrap_mean, default_block_bars, minimal_detectable_effect
from learning.errors import EvidenceError
from learning.significance import BarSeries, bar_series, independent_windows

HORIZON = 12


def overlapping(n: int, rng: np.random.Generator, *, mean: float = 0.0) -> np.ndarray:
    """Unit-variance values whose neighbours share moves like labels of a 12-bar horizon."""
    steps = np.concatenate(([0.0], np.cumsum(rng.standard_normal(n + HORIZON))))
    return mean + (steps[HORIZON : HORIZON + n] - steps[:n]) / np.sqrt(HORIZON)


def series(values: np.ndarray) -> BarSeries:
    return BarSeries(first_index=100, values=values)


def test_symbols_of_one_bar_are_one_observation():
    """Rows of the same bar average into one value and absent bars stay NaN."""
    got = bar_series(np.array([4.0, 1.0, 3.0]), bar_index=np.array([12, 10, 10]))
    assert (got.first_index, got.bars, got.mean) == (10, 2, 3.0)
    np.testing.assert_array_equal(got.values, [2.0, np.nan, 4.0])


def test_copies_of_one_symbol_add_no_certainty():
    """Twenty identical symbols give the interval of one symbol, not one that is narrower by the root of twenty."""
    values = overlapping(1500, np.random.default_rng(1))
    bars = np.arange(1500)
    one = block_bootstrap_mean(bar_series(values, bar_index=bars), horizon_bars=HORIZON, seed=3)
    twenty = block_bootstrap_mean(
        bar_series(np.tile(values, 20), bar_index=np.tile(bars, 20)), horizon_bars=HORIZON, seed=3
    )
    assert twenty.standard_error == pytest.approx(one.standard_error, rel=1e-9)


def test_standard_error_matches_gluing_blocks_by_hand():
    """The running-sum shortcut equals means of series glued from the same circular blocks, gaps included."""
    values = overlapping(157, np.random.default_rng(2))
    values[40:60] = np.nan
    block, resamples = 13, 200
    starts = np.random.default_rng(9).integers(0, 157, size=(resamples, -(-157 // block)))
    glued = [np.nanmean(np.concatenate([np.take(values, range(s, s + block), mode="wrap") for s in r])) for r in starts]
    blocks = 157 // block
    expected = np.std(glued, ddof=1) * np.sqrt(blocks / (blocks - 1))
    got = block_bootstrap_mean(series(values), horizon_bars=HORIZON, seed=9, block_bars=block, resamples=resamples)
    assert got.standard_error == pytest.approx(expected, rel=1e-9)
    assert got.bars == 137


def test_interval_covers_the_true_mean_of_overlapping_labels():
    """The 95% interval misses the truth about 5% of the time; treating bars as independent misses most of the time."""
    rng = np.random.default_rng(4)
    blocked = naive = 0
    for world in range(200):
        sample = series(overlapping(2400, rng, mean=0.3))
        wide = block_bootstrap_mean(sample, horizon_bars=HORIZON, seed=1, resamples=300)
        blocked += wide.low <= 0.3 <= wide.high
        if world < 40:
            narrow = block_bootstrap_mean(sample, horizon_bars=1, block_bars=1, seed=1, resamples=300)
            naive += narrow.low <= 0.3 <= narrow.high
    assert blocked >= 180
    assert naive <= 24


def test_effect_of_the_stated_size_is_found_with_the_stated_power():
    """A true mean as large as the minimal detectable effect is found in about four of five samples."""
    rng = np.random.default_rng(5)
    effect = block_bootstrap_mean(series(overlapping(2400, rng)), horizon_bars=HORIZON, seed=1).mde
    found = sum(
        block_bootstrap_mean(
            series(overlapping(2400, rng, mean=effect)), horizon_bars=HORIZON, seed=1, resamples=300
        ).low
        > 0
        for _ in range(150)
    )
    assert 0.68 <= found / 150 <= 0.92


def test_same_seed_same_interval_and_other_seed_other_interval():
    """The seed alone decides the resamples."""
    sample = series(overlapping(600, np.random.default_rng(6)))
    first, again, other = (block_bootstrap_mean(sample, horizon_bars=HORIZON, seed=s) for s in (1, 1, 2))
    assert (first.low, first.high) == (again.low, again.high)
    assert first.low != other.low


def test_too_few_blocks_leave_the_interval_unknown():
    """Two horizons of data give a mean but neither an interval nor a detectable effect."""
    got = block_bootstrap_mean(series(np.ones(2 * HORIZON)), horizon_bars=HORIZON, seed=1)
    assert got.mean == 1.0
    assert np.isnan([got.low, got.high, got.standard_error, got.mde]).all()
    assert np.isnan(block_bootstrap_mean(series(np.empty(0)), horizon_bars=HORIZON, seed=1).mean)


def test_refuses_blocks_shorter_than_the_horizon():
    """A block inside one label horizon is refused with the remedy."""
    with pytest.raises(EvidenceError, match="use blocks of at least 12 bars"):
        block_bootstrap_mean(series(np.ones(600)), horizon_bars=HORIZON, seed=1, block_bars=11)


@pytest.mark.parametrize(("span", "expected"), [(10_000, 36), (480, 24), (100, 12)])
def test_default_block_grows_with_the_history(span, expected):
    """Three horizons when there is room for twenty blocks, never less than one."""
    assert default_block_bars(span_bars=span, horizon_bars=HORIZON) == expected


def test_fewer_blocks_need_a_larger_effect():
    """The detectable effect grows when degrees of freedom shrink."""
    assert minimal_detectable_effect(1.0, blocks=5) > minimal_detectable_effect(1.0, blocks=500) > 2.8


@pytest.mark.parametrize(
    ("values", "bars"),
    [(np.array([1.0, np.nan]), np.array([1, 2])), (np.ones(2), np.array([1])), (np.ones(2), np.array([1, 10**12]))],
)
def test_refuses_rows_that_are_no_observations(values, bars):
    """NaN values, misaligned vectors and milliseconds passed as bars are refused."""
    with pytest.raises(EvidenceError):
        bar_series(values, bar_index=bars)


def test_independent_windows_counts_bars_a_horizon_apart():
    """Many symbols, repeated bars and gaps never inflate the number of independent windows."""
    assert independent_windows(np.repeat(np.arange(120), 7), horizon_bars=12) == 10
    assert independent_windows(np.array([0, 11, 1000, 1001]), horizon_bars=12) == 2
    assert independent_windows(np.empty(0, dtype=np.int64), horizon_bars=12) == 0
