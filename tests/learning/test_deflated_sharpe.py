"""Probabilistic and deflated Sharpe ratio."""

import numpy as np
import pytest

from learning.deflated_sharpe import (
    deflated_by,
    deflated_sharpe,
    effective_observations,
    expected_best_sharpe,
    probabilistic_sharpe,
)
from learning.errors import EvidenceError


def test_reproduces_the_worked_example_of_the_paper():
    """Bailey and Lopez de Prado (2014): 100 trials, 1250 days, Sharpe 2.5, skew -3, kurtosis 10 give DSR 0.90."""
    benchmark = expected_best_sharpe(trials=100, trial_variance=0.5 / 250)
    assert benchmark == pytest.approx(0.1132, abs=1e-4)
    got = probabilistic_sharpe(2.5 / np.sqrt(250), benchmark=benchmark, observations=1250, skew=-3.0, kurtosis=10.0)
    assert got == pytest.approx(0.9004, abs=1e-4)


def test_expected_best_matches_simulation():
    """The formula for the best of N equals the mean of simulated maxima within two percent."""
    maxima = np.random.default_rng(1).standard_normal((20_000, 50)).max(axis=1).mean()
    assert expected_best_sharpe(trials=50, trial_variance=1.0) == pytest.approx(maxima, rel=0.02)
    assert expected_best_sharpe(trials=1, trial_variance=1.0) == 0.0


def test_best_of_many_noise_strategies_is_deflated_and_a_true_edge_is_not():
    """The winner of 100 noise strategies is unconvincing; one edge of annual Sharpe 3 tried once among them is not."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((1000, 100))
    sharpes = noise.mean(axis=0) / noise.std(axis=0, ddof=1)
    best = noise[:, sharpes.argmax()]
    raw = deflated_sharpe(best, trials=1).probability
    deflated = deflated_sharpe(best, trials=100, trial_variance=float(sharpes.var(ddof=1))).probability
    assert raw > 0.95 > 0.8 > deflated
    edge = rng.standard_normal(1000) + 3.0 / np.sqrt(252)
    assert deflated_sharpe(edge, trials=100).probability > 0.95


def test_more_trials_never_raise_the_probability():
    """Counting more trials can only lower the verdict."""
    returns = np.random.default_rng(3).standard_normal(500) + 0.1
    got = [deflated_sharpe(returns, trials=n).probability for n in (1, 2, 10, 100, 1000)]
    assert got == sorted(got, reverse=True)
    assert got[0] > got[-1]


def test_overlapping_positions_count_as_fewer_observations():
    """Ten-bar overlapping returns are worth about a tenth of their length, independent ones all of it."""
    rng = np.random.default_rng(4)
    independent = rng.standard_normal(20_000)
    overlapping = np.convolve(independent, np.ones(10), mode="valid")
    assert effective_observations(independent, lag=40) > 0.85 * 20_000
    assert 0.09 < effective_observations(overlapping, lag=40) / overlapping.size < 0.16
    tilted = overlapping[:2000] + 0.3
    assert (
        deflated_sharpe(tilted, trials=20, dependence_lag=40).probability
        < deflated_sharpe(tilted, trials=20).probability
    )


@pytest.mark.parametrize("returns", [np.zeros(100), np.ones(5)])
def test_nothing_to_measure_is_unknown(returns):
    """No variation or fewer than ten returns gives NaN, never 0 or 1."""
    assert np.isnan(deflated_sharpe(returns, trials=5).probability)


def test_refuses_missing_returns_and_zero_trials():
    """NaN returns and a ledger that counted nothing are refused."""
    with pytest.raises(EvidenceError, match="1 of 20 returns are not finite"):
        deflated_sharpe(np.append(np.ones(19), np.nan), trials=1)
    with pytest.raises(EvidenceError, match="take the count from the trial ledger"):
        expected_best_sharpe(trials=0, trial_variance=1.0)


def test_what_is_tried_later_deflates_as_if_it_had_been_counted_at_once():
    """More trials on the same returns give the very ratio that counting them from the start gives; unknown stays so."""
    returns = np.random.default_rng(3).standard_normal(500) + 0.1
    few, many = (deflated_sharpe(returns, trials=count, dependence_lag=12) for count in (4, 40))
    assert deflated_by(few, trials=40) == many
    assert many.probability < few.probability
    unknown = deflated_by(deflated_sharpe(np.zeros(50), trials=4), trials=40)
    assert np.isnan(unknown.probability)
    assert unknown.trials == 40
