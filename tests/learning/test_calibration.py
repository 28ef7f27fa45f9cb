"""Calibration: finds what was planted, keeps only what helps later."""

import numpy as np

from learning.calibration import fit_vector_scaling, kept_vector_scaling
from learning.metrics import log_loss


def planted(n=6000, seed=2, power=2.0):
    """True probabilities, an overconfident and shifted display of them, and outcomes."""
    rng = np.random.default_rng(seed)
    true = np.exp(rng.normal(size=(n, 3)))
    true /= true.sum(axis=1, keepdims=True)
    shown = true**power * np.array([1.0, 2.0, 0.5])
    shown /= shown.sum(axis=1, keepdims=True)
    y = (rng.random(n)[:, None] > np.cumsum(true, axis=1)).sum(axis=1)
    return true, shown, y


def test_planted_overconfidence_is_undone():
    """Calibrated probabilities come close to the true ones and score as well."""
    true, shown, y = planted()
    fixed = fit_vector_scaling(shown, y, np.ones(y.size)).apply(shown)
    assert np.abs(fixed - true).mean() < 0.02
    assert log_loss(fixed, y) < log_loss(shown, y) - 0.1


def test_newton_agrees_with_a_general_optimiser():
    """The fit is the minimum that scipy finds for the same objective."""
    from scipy.optimize import minimize

    _, shown, y = planted(n=800)
    logs = np.column_stack((np.log(shown), np.ones(y.size)))
    start = np.vstack((np.eye(3), np.zeros((1, 3))))

    def objective(flat):
        scores = logs @ flat.reshape(4, 3)
        top = scores.max(axis=1)
        norm = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        return (norm - scores[np.arange(y.size), y]).mean() + 0.5e-4 * ((flat.reshape(4, 3) - start) ** 2).sum()

    slow = minimize(objective, start.ravel(), method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}).x.reshape(4, 3)
    found = fit_vector_scaling(shown, y, np.ones(y.size))
    np.testing.assert_allclose(found.matrix, slow[:3], atol=2e-3)
    np.testing.assert_allclose(found.bias, slow[3], atol=2e-3)


def test_weights_count_rows():
    """A row of weight two is a row twice."""
    _, shown, y = planted(n=300)
    twice = fit_vector_scaling(np.vstack((shown, shown[:100])), np.append(y, y[:100]), np.ones(400))
    weighted = fit_vector_scaling(shown, y, np.where(np.arange(300) < 100, 2.0, 1.0))
    np.testing.assert_allclose(weighted.matrix, twice.matrix, atol=1e-9)


def kept(shown, y):
    bars = np.arange(y.size, dtype=np.int64)
    return kept_vector_scaling(shown, y, np.ones(y.size), bar_index=bars, label_end=bars + 5)


def test_a_calibration_that_helps_later_rows_is_kept():
    """Overconfidence throughout: the calibration stays, with the gain it was kept for."""
    _, shown, y = planted()
    found = kept(shown, y)
    assert found.kept
    assert found.gain > 0.1
    assert found.before - found.after == found.gain


def test_a_calibration_that_hurts_later_rows_is_dropped():
    """Where the error turns round after the fitting rows, nothing is changed."""
    true, shown, y = planted()
    cut = int(y.size * 0.7)
    found = kept(np.vstack((shown[:cut], true[cut:])), y)
    assert not found.kept
    assert found.after > found.before
    assert found.gain == 0.0
    assert found.scaling.matrix.tolist() == np.eye(3).tolist()


def test_too_few_rows_change_nothing():
    """Twelve numbers are not fitted on forty rows."""
    _, shown, y = planted(n=40)
    assert not kept(shown, y).kept
