"""The year's budget of false promotions."""

import numpy as np
import pytest

from learning.alpha_budget import COMPARISONS, e_lond_level
from learning.errors import EvidenceError


def test_a_year_spends_its_budget_once():
    """Without a promotion the levels of all comparisons add up to the budget, and afterwards nothing is left."""
    levels = [e_lond_level(per_year=0.1, number=t, promotions=0).level for t in range(1, COMPARISONS + 1)]
    assert sum(levels) == pytest.approx(0.1)
    assert levels == sorted(levels, reverse=True)
    assert e_lond_level(per_year=0.1, number=COMPARISONS + 1, promotions=5).e_value > 1e11


def test_many_useless_challengers_rarely_promote_one():
    """Forty comparisons a year without any difference, e-values sharing a factor: few years hold a false promotion.

    The same e-values held to 1 / .05 each, as if every comparison were the only one, promote in far more years.
    """
    rng = np.random.default_rng(5)
    years, tests, spread = 4000, 40, 2.5
    shared = rng.standard_normal((years, 1))
    z = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.standard_normal((years, tests))
    e = np.exp(spread * z - spread**2 / 2)  # mean 1: nobody is better
    ours = np.array([_promotions(row) for row in e])
    naive = (e >= 20.0).sum(axis=1)
    assert (ours > 0).mean() <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / years)
    assert (naive > 0).mean() > 2 * (ours > 0).mean()


def test_real_improvements_lower_the_bar_again():
    """After promotions the same comparison needs less proof, never less than the whole year's budget."""
    needed = [e_lond_level(per_year=0.1, number=20, promotions=r).e_value for r in (0, 5, 19)]
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] >= 10.0


@pytest.mark.parametrize(("number", "promotions"), [(0, 0), (3, 3), (2, -1)])
def test_an_impossible_count_is_refused(number, promotions):
    """More promotions than comparisons cannot have been."""
    with pytest.raises(EvidenceError, match="count the year's decision cards again"):
        e_lond_level(per_year=0.1, number=number, promotions=promotions)


def _promotions(e_values):
    won = 0
    for number, e in enumerate(e_values, start=1):
        won += e >= e_lond_level(per_year=0.1, number=number, promotions=won).e_value
    return won
