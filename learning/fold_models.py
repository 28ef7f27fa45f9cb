"""What do the models of one training window look like, and what do they say about bars they have not seen?

One window: rows in, scaler and uncalibrated models out. The predictions that are judged come from the very bytes
that would be sealed, loaded the way serving loads them. Each model is fitted and read on one thread, so its bytes do
not depend on the machine's cores; whole models run side by side instead. Who runs them is handed in: ``run_in_threads``
keeps this process's cores busy; another runner sends ``FitJob`` values to other processes, where ``run_job`` does the
same with the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from infra.memory import give_back_memory
from learning.binned import BinnedPanel, FitData, Sample, row_blocks
from learning.climatology import Climatology, class_shares
from learning.config import TrainingConfig
from learning.errors import HistoryError, LabelError
from learning.panel import Panel
from learning.search_space import Params, with_params
from learning.trainers import TRAINERS, Fitted, fit_model, fit_scaler
from learning.walk_forward import split_by_time
from learning.weights import average_uniqueness, class_weights, time_decay, with_mean_one
from market.candles import Floats, Ints
from registry.policy import Action
from registry.predictors import ModelKind, Predictor, load_predictor
from registry.scaler import Scaler

__all__ = [
    "FitJob",
    "FitResult",
    "FitWork",
    "OnModel",
    "RunJobs",
    "TrainingWindow",
    "WindowModels",
    "WindowWeights",
    "dense_columns",
    "fit_windows",
    "one_blas_thread",
    "prepare_window",
    "run_in_threads",
    "run_job",
    "window_weights",
    "with_matrix",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowWeights:
    """``weight (n,)`` of a window's rows, mean 1; ``class_weight (3,)`` it holds; ``unique_rows`` sum of uniqueness."""

    weight: Floats
    class_weight: Floats
    unique_rows: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingWindow:
    """Panel ``rows (n,)`` to learn from with their ``weights``, and ``predict (k,)`` rows to predict.

    ``early`` fits trees and ``late`` stops them: positions in ``rows``, purged. ``shares (3,)`` are class shares, by
    open sides in ``climatology``.
    """

    rows: Ints
    predict: Ints
    weights: WindowWeights
    early: Ints
    late: Ints
    scaler: Scaler
    shares: Floats
    climatology: Climatology

    def sample(self, of: Ints) -> Sample:
        """The rows at these positions, with their weights."""
        return Sample(rows=self.rows[of], weight=self.weights.weight[of], class_weight=self.weights.class_weight)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowModels:
    """A window's models in the order of the configuration, and their ``raw (M, k, 3)`` uncalibrated predictions."""

    window: TrainingWindow
    fitted: tuple[Fitted, ...]
    raw: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitWork:
    """Everything the jobs of one training need; the same in whatever process they run.

    ``replaced`` holds, per window, the fields of ``config`` that were tuned for a kind of model.
    """

    binned: BinnedPanel
    windows: tuple[TrainingWindow, ...]
    config: TrainingConfig
    replaced: tuple[Mapping[ModelKind, Params], ...]

    def config_of(self, job: "FitJob") -> TrainingConfig:
        """The configuration of one job: tuned values replace the defaults of its kind."""
        return with_params(self.config, self.replaced[job.window].get(job.kind, {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One model of one window, by its number in the work."""

    window: int
    kind: ModelKind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitResult:
    """What a job gave: the model, and its ``raw (k, 3)`` predictions of the window's rows to predict."""

    job: FitJob
    fitted: Fitted
    raw: Floats


_PREDICTED = 8_192
OnModel = Callable[[int, int], None]
"""Called as ``(done, total)`` from the calling thread after each model."""
RunJobs = Callable[[FitWork, Sequence[FitJob], OnModel], Sequence[FitResult]]
"""Runs every job, in any order and anywhere, and returns one result a job, in any order."""


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
    return TrainingWindow(
        rows=rows,
        predict=predict,
        weights=window_weights(panel, rows, config),
        early=early,
        late=late,
        scaler=fit_scaler(panel.X, rows, dense_columns(contract)),
        shares=class_shares(y),
        climatology=Climatology.of(y, panel.sides[rows]),
    )


def window_weights(panel: Panel, rows: Ints, config: TrainingConfig) -> WindowWeights:
    """Uniqueness x time decay x class balance of these rows, which must have a class."""
    unique = average_uniqueness(panel.symbol_id[rows], panel.bar_index[rows], panel.label_end[rows])
    weight = unique * time_decay(panel.bar_index[rows], half_life_bars=config.decay_half_life_bars)
    per_class = class_weights(panel.y[rows], weight) if config.class_balance == "balanced" else np.ones(3)
    weight = with_mean_one(weight * per_class[panel.y[rows]])
    return WindowWeights(weight=weight, class_weight=per_class, unique_rows=float(unique.sum()))


def dense_columns(contract: FeatureContract) -> Ints:
    """Columns that are never missing, ascending: those the linear model reads."""
    columns = [i for i, column in enumerate(contract.names) if column not in contract.nan_allowed]
    return np.array(columns, dtype=np.int64)


def fit_windows(
    panel: Panel,
    windows: Sequence[TrainingWindow],
    *,
    contract: FeatureContract,
    config: TrainingConfig,
    on_model: OnModel,
    run_jobs: RunJobs | None = None,
    replaced: Sequence[Mapping[ModelKind, Params]] | None = None,
) -> tuple[WindowModels, ...]:
    """Fit every model of every window, the longest work first, in this process's threads unless told otherwise.

    ``replaced`` holds tuned fields of the configuration, per window and kind.

    ``windows`` are in order of time: bin edges come from the first one's early rows. Call it inside
    ``one_blas_thread``.
    """
    data = FitData(
        X=panel.X,
        y=panel.y,
        names=contract.names,
        dense_columns=dense_columns(contract),
        rows=np.unique(np.concatenate([window.rows for window in windows])),
        edge_rows=windows[0].rows[windows[0].early],
    )
    tuned = tuple(replaced or [{}] * len(windows))
    work = FitWork(binned=BinnedPanel(data), windows=tuple(windows), config=config, replaced=tuned)
    jobs = [FitJob(window=w, kind=kind) for w in range(len(windows)) for kind in config.models]
    jobs.sort(key=lambda job: -windows[job.window].rows.size)
    give_back_memory()
    found = {(one.job.window, one.job.kind): one for one in (run_jobs or run_in_threads)(work, jobs, on_model)}
    made = []
    for w, window in enumerate(windows):
        mine = [found.pop((w, kind)) for kind in config.models]  # so that predictions are held once, not twice
        raw = np.stack([one.raw for one in mine])
        made.append(WindowModels(window=window, fitted=tuple(one.fitted for one in mine), raw=raw))
        del mine
    return tuple(made)


def run_in_threads(work: FitWork, jobs: Sequence[FitJob], on_model: OnModel) -> tuple[FitResult, ...]:
    """``work.config.threads`` models at a time in this process; the first failure cancels what has not begun."""
    with ThreadPoolExecutor(work.config.threads) as pool:
        running = [pool.submit(run_job, work, job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(running), start=1):
                future.result()
                give_back_memory()
                on_model(done, len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(future.result() for future in running)


def run_job(work: FitWork, job: FitJob) -> FitResult:
    """Fit one model and let it predict its window's unseen rows; depends on nothing but its arguments."""
    window, data = work.windows[job.window], work.binned.data
    everything, nothing = np.arange(window.rows.size), np.zeros(0, dtype=np.int64)
    fit, stop = (window.early, window.late) if TRAINERS[job.kind].stops_early else (everything, nothing)
    config = work.config_of(job)
    fitted = fit_model(
        work.binned, job.kind, window.sample(fit), window.sample(stop), scaler=window.scaler, config=config
    )
    predictor = load_predictor(fitted.part, window.scaler, len(data.names))
    return FitResult(job=job, fitted=fitted, raw=_predicted(predictor, data.X, window.predict))


def _predicted(predictor: Predictor, X: NDArray[np.float32], rows: Ints) -> Floats:
    """``(k, 3)`` for rows ``(k,)``, block by block: a predictor gives a row the same bits alone as in a batch."""
    out, at = np.empty((rows.size, 3)), 0
    for block in row_blocks(X, rows, _PREDICTED):
        out[at : at + len(block)] = predictor.predict(block)
        at += len(block)
    return out


def with_matrix(work: FitWork, X: NDArray[np.float32]) -> FitWork:
    """The same work over another array of features, unbinned.

    For sending it: work over an empty ``(0, F)`` array is small, and gets a memory map of the matrix where it arrives.
    """
    return replace(work, binned=BinnedPanel(replace(work.binned.data, X=X)))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Sums in linear algebra depend on the number of threads; with one they do not, and models run side by side."""
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
        remedy="add symbols or history, or change labels.profit, labels.stop or labels.horizon_bars",
    )
