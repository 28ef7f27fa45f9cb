"""Metrics against numbers worked out by hand."""

import numpy as np
import pytest

from learning.metrics import (
    brier,
    calibration_slope,
    drawdown,
    hit_rate,
    log_loss,
    max_drawdown,
    profit_factor,
    reliability,
    sharpe,
)


def test_log_loss_by_hand():
    """-(ln .5 + ln .25) / 2."""
    p = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    assert log_loss(p, np.array([0, 1])) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_log_loss_of_a_certain_miss_is_finite():
    """A probability of zero that happens costs -ln(1e-9), not infinity."""
    assert log_loss(np.array([[1.0, 0.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-9))


def test_brier_by_hand():
    """(.5^2 + .25^2 + .25^2) for a half right row, 2 for a certain miss."""
    p = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    assert brier(p, np.array([0, 2])) == pytest.approx((0.375 + 2.0) / 2)


def test_sharpe_by_hand():
    """Mean 1, sample standard deviation sqrt(2), 8 bars a year: 1 / sqrt(2) * sqrt(8) = 2."""
    assert sharpe(np.array([0.0, 2.0]), bars_per_year=8) == pytest.approx(2.0)


def test_sharpe_without_variation_does_not_exist():
    """No trades is not a Sharpe ratio of zero."""
    assert sharpe(np.zeros(100), bars_per_year=8) is None
    assert sharpe(np.array([0.1]), bars_per_year=8) is None


def test_profit_factor_by_hand():
    """Gains 3 over losses 2."""
    assert profit_factor(np.array([1.0, 2.0, -0.5, -1.5, 0.0])) == pytest.approx(1.5)


def test_profit_factor_without_a_loss_does_not_exist():
    """Infinity is not a number to gate on."""
    assert profit_factor(np.array([1.0])) is None


def test_hit_rate_counts_only_profits():
    """A trade that nets nothing is no hit; no trades have no hit rate."""
    assert hit_rate(np.array([0.1, 0.0, -0.1, 0.2])) == pytest.approx(0.5)
    assert hit_rate(np.zeros(0)) is None


def test_drawdown_by_hand():
    """From the peak 1.2 to 0.9 is a quarter."""
    assert max_drawdown(np.array([1.1, 1.2, 0.9, 1.0])) == pytest.approx(0.25)
    assert max_drawdown(np.zeros(0)) == 0.0


def test_a_loss_from_the_start_is_a_drawdown():
    """Equity starts at 1, so the first bar can already be below the peak."""
    np.testing.assert_allclose(drawdown(np.array([0.9, 0.95])), [0.1, 0.05])


def sample_of(p, seed=5):
    """Outcomes drawn from the probabilities."""
    return (np.random.default_rng(seed).random(p.shape[0])[:, None] > np.cumsum(p, axis=1)).sum(axis=1)


def random_probabilities(n=40_000, seed=4):
    raw = np.exp(np.random.default_rng(seed).normal(size=(n, 3)))
    return raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 2.0])
def test_the_calibration_slope_finds_planted_overconfidence(sharpened):
    """Probabilities raised to a power need the inverse power as slope."""
    true = random_probabilities()
    shown = true**sharpened
    shown /= shown.sum(axis=1, keepdims=True)
    assert calibration_slope(shown, sample_of(true)) == pytest.approx(1.0 / sharpened, abs=0.03 / sharpened)


def test_a_constant_forecast_has_no_calibration_slope():
    """Nothing varies, so there is nothing to recalibrate."""
    assert calibration_slope(np.full((300, 3), 1 / 3), np.arange(300) % 3) is None


def test_reliability_bins_hold_all_rows_and_match_their_frequency():
    """Equal counts, and for true probabilities the observed frequency is the predicted one."""
    p = random_probabilities()
    found = reliability(p, sample_of(p), bins=5)
    assert found.rows.sum(axis=1).tolist() == [40_000] * 3
    np.testing.assert_allclose(found.observed, found.predicted, atol=0.02)


def test_reliability_of_fewer_rows_than_bins_leaves_gaps():
    """An empty bin is NaN with zero rows, not zero."""
    found = reliability(np.full((2, 3), 1 / 3), np.array([0, 1]), bins=4)
    assert found.rows[0].tolist() == [1, 1, 0, 0]
    assert np.isnan(found.observed[0, 2:]).all()
