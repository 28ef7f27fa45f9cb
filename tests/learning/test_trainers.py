"""Every kind of model through the one protocol, and each against something it can be checked by."""

from dataclasses import replace

import numpy as np
import pytest

from learning.binned import Sample
from learning.fold_models import one_blas_thread
from learning.logistic import fit_logistic
from learning.trainers import TRAINERS, fit_scaler
from learning.weights import class_weights
from registry.predictors import KINDS, load_predictor
from tests.learning.fit_cases import fitted, made_data, sample


def predicted(data, part, rows, *, taught):
    """What the sealed bytes say of these rows, scaled as those it was taught."""
    return load_predictor(part, fit_scaler(data.X, taught, data.dense_columns), 5).predict(data.X[rows])


def test_there_is_a_trainer_for_every_kind_a_bundle_may_hold():
    """And each is listed under its own name."""
    assert sorted(TRAINERS) == sorted(KINDS)
    assert all(TRAINERS[kind].kind == kind for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trainer_keeps_the_protocol(kind):
    """Named bytes with the window they read, gain shares that find the telling column, better than chance."""
    data = made_data()
    found = fitted(data, kind, sample(0, 1500), sample(1520, 2000))
    assert (found.part.name, found.part.kind, found.part.input_window_bars) == (kind, kind, 1)
    assert found.part.class_weight == (1.0, 1.0, 1.0)
    assert found.gain.sum() == pytest.approx(1.0)
    assert found.gain.argmax() == 0
    assert (found.rounds > 0) == TRAINERS[kind].stops_early
    rows = np.arange(2100, 3000)
    p = predicted(data, found.part, rows, taught=np.arange(1500))
    assert -np.log(p[np.arange(rows.size), data.y[rows]]).mean() < 1.05


@pytest.mark.parametrize("kind", KINDS)
def test_balanced_classes_do_not_distort_what_is_called_probable(kind):
    """Fitted with classes counting alike, a model still says how often each occurs; what it was taught is even."""
    data = made_data()
    rare = (data.y != 1) | (np.arange(3000) % 6 == 0)
    rows = np.flatnonzero(rare)[:1500]
    per_class = class_weights(data.y[rows], np.ones(rows.size))
    fit = Sample(rows=rows, weight=per_class[data.y[rows]], class_weight=per_class)
    part = fitted(data, kind, fit, fit).part
    assert part.class_weight == pytest.approx(per_class)
    shares = np.bincount(data.y[rows], minlength=3) / rows.size
    assert shares.min() < 0.15
    told = predicted(data, part, rows, taught=rows).mean(axis=0)
    distorted = replace(part, class_weight=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(told, shares, atol=0.035)
    assert predicted(data, distorted, rows, taught=rows).mean(axis=0).min() > 0.2


@pytest.mark.parametrize("n", [1500, 25_000])
def test_the_linear_model_is_scikit_learns(n):
    """The same optimum with weights, also where it starts from a tenth of the rows."""
    from sklearn.linear_model import LogisticRegression

    data = made_data(n=n + 500)
    rows = np.arange(0, n, dtype=np.int64)
    weight = np.random.default_rng(1).uniform(0.2, 1.8, n)
    scaler = fit_scaler(data.X, rows, data.dense_columns)
    with one_blas_thread():
        coef, intercept = fit_logistic(data, Sample(rows=rows, weight=weight), scaler=scaler, c=0.01)
        oracle = LogisticRegression(C=0.01, solver="newton-cholesky", tol=1e-10, max_iter=100)
        oracle.fit(scaler.transform(data.X[rows]), data.y[rows], sample_weight=weight)
    np.testing.assert_allclose(coef, oracle.coef_, atol=2e-6)
    np.testing.assert_allclose(intercept, oracle.intercept_ - oracle.intercept_.mean(), atol=2e-6)


def test_the_scaler_is_that_of_its_rows():
    """Against numpy on a copy, over more than one block, with a constant column."""
    X = np.random.default_rng(2).normal(3.0, 2.0, size=(70_000, 3)).astype(np.float32)
    X[:, 1] = 4.0
    rows = np.arange(1, 70_000, 2)
    found = fit_scaler(X, rows, np.array([0, 1]))
    np.testing.assert_allclose(found.mean, X[rows][:, :2].astype(np.float64).mean(axis=0), rtol=1e-12)
    assert found.scale[0] == pytest.approx(X[rows][:, 0].astype(np.float64).std())
    assert found.scale[1] == 1.0
