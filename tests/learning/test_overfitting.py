"""Probability of backtest overfitting."""

from itertools import combinations

import numpy as np
import pytest

from learning.errors import EvidenceError
from learning.overfitting import probability_of_overfitting


def by_hand(returns: np.ndarray, blocks: int) -> float:
    """The definition, one combination and one configuration at a time."""
    parts = np.array_split(np.arange(returns.shape[0]), blocks)
    overfit = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[b] for b in chosen])
        outside = np.setdiff1d(np.arange(returns.shape[0]), inside)
        winner = np.argmax(returns[inside].mean(axis=0) / returns[inside].std(axis=0))
        judged = returns[outside].mean(axis=0) / returns[outside].std(axis=0)
        rank = (judged < judged[winner]).sum() + 1
        share = rank / (returns.shape[1] + 1)
        overfit.append(share <= 0.5)
    return float(np.mean(overfit))


@pytest.mark.parametrize(("seed", "configurations"), [(1, 7), (2, 8), (3, 20)])
def test_matches_the_definition(seed, configurations):
    """The block-sum shortcut equals the definition worked out combination by combination."""
    returns = np.random.default_rng(seed).standard_normal((240, configurations)) + np.linspace(0, 0.1, configurations)
    assert probability_of_overfitting(returns, blocks=8).pbo == pytest.approx(by_hand(returns, 8))


def test_noise_is_overfit_and_a_true_edge_is_not():
    """Averaged over worlds, picking among noise fails about half the time; one real edge is picked and holds."""
    rng = np.random.default_rng(4)
    noise = [probability_of_overfitting(rng.standard_normal((500, 30))).pbo for _ in range(30)]
    assert 0.4 < np.mean(noise) < 0.65
    edge = rng.standard_normal((2000, 30))
    edge[:, 3] += 0.15
    got = probability_of_overfitting(edge)
    assert got.pbo <= 0.02
    assert got.loss_probability <= 0.02
    assert got.combinations == 252


def test_refuses_a_transposed_matrix():
    """Configurations in rows would give a plausible wrong number and are refused with the remedy."""
    with pytest.raises(EvidenceError, match="transpose it"):
        probability_of_overfitting(np.random.default_rng(5).standard_normal((30, 500)))


def test_one_configuration_is_unknown_and_a_flat_one_is_not_special():
    """Without a choice PBO is NaN; a configuration that never trades ranks as Sharpe 0."""
    rng = np.random.default_rng(6)
    assert np.isnan(probability_of_overfitting(rng.standard_normal((100, 1))).pbo)
    losing_and_flat = np.column_stack([rng.standard_normal(400) - 0.5, np.zeros(400)])
    assert probability_of_overfitting(losing_and_flat).pbo == 0.0


@pytest.mark.parametrize("blocks", [3, 2, 18])
def test_refuses_odd_or_extreme_block_counts(blocks):
    """Blocks must split into two equal halves and stay countable."""
    with pytest.raises(EvidenceError, match="even number from 4 to 16"):
        probability_of_overfitting(np.random.default_rng(7).standard_normal((200, 4)), blocks=blocks)


def test_refuses_missing_returns():
    """NaN in the matrix is refused instead of spreading through the ranks."""
    returns = np.zeros((100, 3))
    returns[5, 1] = np.nan
    with pytest.raises(EvidenceError, match="not finite"):
        probability_of_overfitting(returns)
