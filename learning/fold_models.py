"""What do the models of one training window look like, and what do they say about bars they have not seen?

One window: rows in, scaler and uncalibrated models out. The predictions that are judged come from the very bytes
that would be sealed, loaded the way serving loads them. Each model is fitted and read on one thread, so its bytes do
not depend on the machine's cores; ``fit_windows`` keeps all cores busy with whole models instead.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from learning.climatology import Climatology, class_shares
from learning.config import TrainingConfig
from learning.errors import HistoryError, LabelError
from learning.panel import Panel
from learning.trainers import Fitted, Sample, fit_scaler, train_lightgbm, train_logistic, train_xgboost
from learning.walk_forward import split_by_time
from learning.weights import uniqueness_weights
from market.candles import Floats, Ints
from registry.policy import Action
from registry.predictors import ModelKind, load_predictor
from registry.scaler import Scaler

__all__ = ["TrainingWindow", "WindowModels", "fit_windows", "one_blas_thread", "prepare_window"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingWindow:
    """Panel ``rows (n,)`` to learn from with their ``weight (n,)``, and ``predict (k,)`` rows to predict.

    ``early`` fits trees and ``late`` stops them: positions in ``rows``, purged. ``shares (3,)`` are class shares, by
    open sides in ``climatology``.
    """

    rows: Ints
    predict: Ints
    weight: Floats
    early: Ints
    late: Ints
    scaler: Scaler
    shares: Floats
    climatology: Climatology


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowModels:
    """A window's models in the order of the configuration, and their ``raw (M, k, 3)`` uncalibrated predictions."""

    window: TrainingWindow
    fitted: tuple[Fitted, ...]
    raw: Floats


def prepare_window(
    panel: Panel, rows: Ints, *, predict: Ints, contract: FeatureContract, config: TrainingConfig, name: str
) -> TrainingWindow:
    """Weights, splits and scaler of one window; raises ``HistoryError`` or ``LabelError`` naming it."""
    bar_index, label_end, y = panel.bar_index[rows], panel.label_end[rows], panel.y[rows]
    _require_classes(y, config.min_class_rows, name)
    early, late = split_by_time(bar_index, label_end, later_share=config.early_stopping_share, gap_bars=config.gap_bars)
    if min(early.size, late.size) < config.min_class_rows:
        raise HistoryError(
            f"{name}: {early.size} rows to fit on and {late.size} to stop early on",
            why="boosting would have nothing to stop on",
            remedy="backfill a longer history or raise training.min_train_days",
        )
    columns = np.array([i for i, column in enumerate(contract.names) if column not in contract.nan_allowed])
    return TrainingWindow(
        rows=rows,
        predict=predict,
        weight=uniqueness_weights(panel.symbol_id[rows], bar_index, label_end),
        early=early,
        late=late,
        scaler=fit_scaler(panel.X[rows], columns.astype(np.int64)),
        shares=class_shares(y),
        climatology=Climatology.of(y, panel.sides[rows]),
    )


def fit_windows(
    panel: Panel,
    windows: Sequence[TrainingWindow],
    *,
    contract: FeatureContract,
    config: TrainingConfig,
    on_model: Callable[[int, int], None],
) -> tuple[WindowModels, ...]:
    """Fit every model of every window, ``config.threads`` at a time, the longest work first.

    Call it inside ``one_blas_thread``. ``on_model`` is called as ``(done, total)`` from the calling thread.
    """
    jobs = [(w, m) for w in range(len(windows)) for m in range(len(config.models))]
    jobs.sort(key=lambda job: -windows[job[0]].rows.size)
    with ThreadPoolExecutor(config.threads) as pool:
        running: dict[tuple[int, int], Future[tuple[Fitted, Floats]]] = {}
        for w, m in jobs:
            running[w, m] = pool.submit(_fit_and_predict, panel, windows[w], config.models[m], contract, config)
        try:
            for done, future in enumerate(as_completed(running.values()), start=1):
                future.result()
                on_model(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(
        WindowModels(
            window=window,
            fitted=tuple(running[w, m].result()[0] for m in range(len(config.models))),
            raw=np.stack([running[w, m].result()[1] for m in range(len(config.models))]),
        )
        for w, window in enumerate(windows)
    )


def _fit_and_predict(
    panel: Panel, window: TrainingWindow, kind: ModelKind, contract: FeatureContract, config: TrainingConfig
) -> tuple[Fitted, Floats]:
    fitted = _fit(panel, window, kind, contract, config)
    X = panel.X[window.predict]
    return fitted, load_predictor(fitted.part, window.scaler, len(contract.names)).predict(X)


def _fit(
    panel: Panel, window: TrainingWindow, kind: ModelKind, contract: FeatureContract, config: TrainingConfig
) -> Fitted:
    def sample(of: Ints) -> Sample:
        rows = window.rows[of]
        return Sample(X=panel.X[rows], y=panel.y[rows], weight=window.weight[of])

    if kind == "logistic":
        return train_logistic(sample(np.arange(window.rows.size)), scaler=window.scaler, config=config)
    fit, stop = sample(window.early), sample(window.late)
    if kind == "lightgbm":
        return train_lightgbm(fit, stop, names=contract.names, config=config)
    return train_xgboost(fit, stop, config=config)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Sums in linear algebra depend on the number of threads; with one they do not, and models run side by side."""
    import sklearn.linear_model  # noqa: F401 - loads the libraries that are limited here
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _require_classes(y: NDArray[np.int8], fewest: int, name: str) -> None:
    counts = np.bincount(y, minlength=3)
    if counts.min() >= fewest:
        return
    found = ", ".join(f"{int(counts[action])} {action.name}" for action in Action)
    raise LabelError(
        f"{name} has {found}",
        why=f"a class with fewer than {fewest} rows cannot be learnt, and none are made up",
        remedy="add symbols or history, or change labels.profit_atr, labels.stop_atr or labels.horizon_bars",
    )
