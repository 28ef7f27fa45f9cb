"""A small table of features with a known answer, and samples of it to fit models on."""

from dataclasses import replace

import numpy as np

from learning.binned import BinnedPanel, FitData, Sample
from learning.config import TrainingConfig
from learning.fold_models import one_blas_thread
from learning.trainers import Fitted, fit_model, fit_scaler
from tests.learning.planted import tiny_config

KINDS = ("lightgbm", "xgboost", "logistic")
FIRST_END = 900


def made_data(*, n: int = 3000, later_scale: float = 1.0, seed: int = 3) -> FitData:
    """Five columns of noise, ``later_scale`` times as wide from row ``FIRST_END`` on; the first tells the class.

    The last column may be missing, and is from ``FIRST_END`` on in every fifth row.
    """
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 1.0, size=(n, 5)).astype(np.float32)
    score = np.stack((np.zeros(n), 3.0 * X[:, 0] - 1.5, 1.5 - 3.0 * X[:, 0]), axis=1)
    y = (score + rng.gumbel(size=(n, 3))).argmax(axis=1).astype(np.int8)
    X[FIRST_END:] *= np.float32(later_scale)
    X[FIRST_END::5, 4] = np.nan
    return FitData(
        X=X,
        y=y,
        names=("a", "b", "c", "d", "e"),
        dense_columns=np.arange(4),
        rows=np.arange(n),
        edge_rows=np.arange(FIRST_END - 200),
    )


def sample(first: int, end: int) -> Sample:
    """Rows of equal weight."""
    rows = np.arange(first, end)
    return Sample(rows=rows, weight=np.ones(rows.size))


def fitted(data: FitData, kind: str, fit: Sample, stop: Sample, **changes: object) -> Fitted:
    """One model of this data alone."""
    config: TrainingConfig = replace(tiny_config(), **changes)
    scaler = fit_scaler(data.X, fit.rows, data.dense_columns)
    with one_blas_thread():
        return fit_model(BinnedPanel(data), kind, fit, stop, scaler=scaler, config=config)
