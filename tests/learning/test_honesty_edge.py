"""An edge of known size is found, and its size lies in the interval that is reported for it."""

import numpy as np
import pytest
from scipy.stats import binom

from learning.bootstrap import block_bootstrap_mean
from learning.metrics import log_loss_rows
from learning.significance import bar_series
from registry.calibration import log_probabilities
from tests.learning.honest_market import FIRST, HORIZON, market_panel, state_of, truth
from tests.learning.honest_runs import edge_market, noise_market

EDGE = 0.6
SEEDS = range(12)


@pytest.fixture(scope="module")
def found():
    """Twelve markets with the same edge."""
    return [edge_market(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def nothing():
    """Ten markets without an edge."""
    return [noise_market(seed) for seed in range(10)]


def rows_of(one):
    """Panel rows of the scored rows."""
    panel, scored = one.panel, one.result.scored
    symbols = len(panel.symbols)
    rows = (scored.bar_index - FIRST) * symbols + scored.symbol_id
    np.testing.assert_array_equal(panel.bar_index[rows], scored.bar_index)
    np.testing.assert_array_equal(panel.y[rows], scored.y)
    return rows


def true_skill(one, edge):
    """Nats a bar that these very forecasts gain on class shares, by the market's own probabilities."""
    scored = one.result.scored
    gained = log_probabilities(scored.ensemble) - log_probabilities(scored.climatology)
    chances = truth(edge).classes[state_of(one.panel)[rows_of(one)]]
    return bar_series((chances * gained).sum(axis=1), bar_index=scored.bar_index).mean


def interval(one):
    """Mean, low and high of the skill as it is stored for the gates."""
    skill = one.evidence["skill"]["climatology"]
    return skill["mean_difference"], skill["ci_low"], skill["ci_high"]


def fewest(n):
    """How many of ``n`` intervals of 95 % cover the truth at least, but for one chance in a thousand."""
    return binom.ppf(0.001, n, 0.95)


def test_the_interval_of_the_skill_covers_its_true_size(found, nothing):
    """Over 22 markets, with and without an edge, as often as 95 % promise."""
    runs = [(one, EDGE) for one in found] + [(one, 0.0) for one in nothing]
    covered = sum(low <= true_skill(one, edge) <= high for one, edge in runs for _, low, high in [interval(one)])
    print(f"{covered} of {len(runs)} intervals cover the true skill")
    assert covered >= fewest(len(runs))


def test_intervals_are_narrow_enough_to_tell_an_edge_from_none(found, nothing):
    """Each edge is told from zero, and none is where there is none: a wide interval would cover anything."""
    assert sum(low > 0.0 for one in found for _, low, _ in [interval(one)]) >= fewest(len(found))
    assert sum(low > 0.0 for one in nothing for _, low, _ in [interval(one)]) <= binom.ppf(0.999, len(nothing), 0.025)
    assert max(high - low for one in found for _, low, high in [interval(one)]) < truth(EDGE).skill


def test_most_of_what_could_be_known_is_found_and_never_more(found):
    """On average at least two thirds of the skill of the best forecast there is, and no more than all of it."""
    best = truth(EDGE).skill
    mean = float(np.mean([interval(one)[0] for one in found]))
    print(f"best forecast {best:.4f} nats, found {mean:.4f}")
    assert 2.0 / 3.0 * best < mean < best


def test_without_an_edge_nothing_is_known_and_nothing_is_claimed(nothing):
    """Class shares cannot be beaten there: the best forecast gains nothing, and what was found is close to it."""
    assert truth(0.0).skill < 1e-4
    assert abs(np.mean([interval(one)[0] for one in nothing])) < 0.01
    assert all(true_skill(one, 0.0) <= 0.001 for one in nothing)


def test_the_mean_net_of_trades_covers_its_true_size(found):
    """What a trade in each state nets is known, and the interval of the mean of the trades taken covers it."""
    net = truth(EDGE).net
    covered = 0
    for one in found:
        trades = one.result.trades
        done = trades.resolved
        rows = (trades.bar_index[done] - FIRST) * len(one.panel.symbols) + trades.symbol_id[done]
        column = (trades.side[done] < 0).astype(np.int64)
        expected = bar_series(net[state_of(one.panel)[rows], column], bar_index=trades.bar_index[done]).mean
        series = bar_series(trades.net[done], bar_index=trades.bar_index[done])
        got = block_bootstrap_mean(series, horizon_bars=HORIZON, seed=1)
        covered += got.low <= expected <= got.high
    print(f"{covered} of {len(found)} intervals cover the true net of the trades")
    assert covered >= fewest(len(found))


def test_a_larger_edge_is_found_to_be_larger(found):
    """Two thirds of the edge give less skill, by the truth and by what is found."""
    smaller = edge_market(0, 0.4)
    assert truth(0.4).skill < truth(EDGE).skill
    assert interval(smaller)[0] < np.mean([interval(one)[0] for one in found])


def test_the_known_market_is_what_it_says():
    """On other bars than those the truth was measured on, state by state, the classes come as often and net as much."""
    panel, known = market_panel(edge=EDGE, seed=99, bars=100_000, symbols=1), truth(EDGE)
    resolved = panel.y >= 0
    at, y = state_of(panel)[resolved], panel.y[resolved]
    for state in range(4):
        shares = np.bincount(y[at == state], minlength=3) / (at == state).sum()
        np.testing.assert_allclose(shares, known.classes[state], atol=0.02)
        np.testing.assert_allclose(panel.net[resolved][at == state].mean(axis=0), known.net[state], atol=2e-4)
    gain = log_probabilities(known.classes[at])[np.arange(y.size), y] + log_loss_rows(
        np.broadcast_to(np.bincount(y, minlength=3) / y.size, (y.size, 3)), y
    )
    assert gain.mean() == pytest.approx(known.skill, abs=0.006)
