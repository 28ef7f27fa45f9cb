"""How often is a challenger promoted that is no better? Ours rarely, two plausible rules most of the time."""

import numpy as np
import pytest

from learning.shadow_simulation import DifferenceWorlds, simulate, stopping_rates


@pytest.mark.parametrize("horizon", [12, 48])
def test_no_better_challenger_is_rarely_promoted_and_the_naive_rules_break(horizon):
    """Asked at every checkpoint under overlapping labels, ours keeps 5 %; the two plausible rules do not."""
    worlds = DifferenceWorlds(worlds=300, bars=150 * horizon, horizon_bars=horizon)
    rates = stopping_rates(worlds, seed=3)
    error = 2 * np.sqrt(0.05 * 0.95 / worlds.worlds)
    assert rates.promoted <= 0.05 + error
    assert rates.harmed <= 0.05 + error
    assert rates.naive_every_bar >= 0.5
    assert rates.repeated_t_test >= 0.5


def test_a_true_effect_is_found_in_the_time_a_fixed_test_would_need():
    """A tenth of a standard deviation: half of the worlds have stopped after about six hundred label windows."""
    rates = stopping_rates(DifferenceWorlds(worlds=100, bars=14_400, horizon_bars=12, effect=0.1), seed=4)
    assert rates.promoted >= 0.8
    assert rates.harmed <= 0.02
    assert 300 * 12 <= rates.median_bars <= 900 * 12


def test_worlds_are_what_they_are_said_to_be():
    """Unit deviation, the stated effect, labels that overlap over the horizon and no further."""
    worlds = DifferenceWorlds(worlds=200, bars=1200, horizon_bars=12, effect=0.1)
    values = simulate(worlds, 200, np.random.default_rng(1))
    assert values.shape == (200, 1200)
    assert values.std() == pytest.approx(1.0, abs=1e-9)
    assert values.mean() == pytest.approx(0.1, abs=0.03)
    centred = values - values.mean()
    assert (centred[:, 6:] * centred[:, :-6]).mean() == pytest.approx(0.5, abs=0.05)
    assert abs((centred[:, 12:] * centred[:, :-12]).mean()) < 0.05


def test_progress_is_told_to_the_end():
    """Long simulations show how far they are."""
    told = []
    stopping_rates(
        DifferenceWorlds(worlds=60, bars=200, horizon_bars=2), seed=1, on_progress=lambda *one: told.append(one)
    )
    assert told == [(50, 60), (60, 60)]
