"""Which hyper-parameters suit one training window, judged inside that window alone?

Nested: a study sees the rows of one training window and nothing of what its models will be judged on. Its own splits
are combinatorial purged ones with an embargo; trees stop early on a purged slice of the inner training rows. The loss
of a trial is the mean over these splits of the log loss, weighted by uniqueness; it is reported split by split, and a
trial that is worse than the median so far is pruned.

What a study tries next, and how one that was killed goes on, is told in ``tuning_study.py``. What it finds is used only
where it is clearly better than the settings: the best of many trials looks better than it is. Studies of different
kinds take turns, a trial each, so that a limit of time is shared alike; a study's own trials never overlap.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from math import ceil, inf, isfinite, nan
from threading import Event
from typing import Any, Literal

import numpy as np

from features.contract import FeatureContract
from learning.binned import BinnedPanel, FitData, Sample
from learning.combinatorial import Combinatorial, combinatorial_splits
from learning.config import TrainingConfig
from learning.fold_models import TrainingWindow, dense_columns, window_weights
from learning.metrics import log_loss_rows
from learning.panel import Panel
from learning.search_space import Params, with_params
from learning.trainers import TRAINERS, fit_model, fit_scaler
from learning.tuning_study import Trial, best_trial, close_interrupted, counted_trials, gain_over, run_trial
from learning.walk_forward import split_by_time
from market.candles import Floats, Ints
from registry.predictors import ModelKind, load_predictor
from registry.scaler import Scaler
from registry.sides import restrict_to_sides

__all__ = [
    "OpenStudy",
    "TunedModel",
    "Tuner",
    "Tuning",
    "TuningPlan",
    "WindowTuning",
    "tune_window",
    "tuning_facts",
]

TuneWindows = Literal["first", "each"]
_LOSSES = ("loss", "default_loss")
OpenStudy = Callable[[ModelKind], Any]
"""Opens or continues the Optuna study of one kind of model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningPlan:
    """How long to search. ``trials`` finished ones a kind and window; ``seconds`` 0 is no limit.

    ``windows`` "first" tunes inside the first training window, before any judged row, and uses the result everywhere;
    "each" tunes inside every training window. Rows beyond ``max_rows`` are thinned evenly in time.
    """

    trials: int
    seconds: float = 0.0
    windows: TuneWindows = "first"
    max_rows: int = 30_000
    splits: Combinatorial


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """What a study found: the best ``params``, their loss and that of the settings (NaN where failed), in nats.

    ``gain`` is the mean over the inner splits and ``gain_error`` its standard error; ``used`` says whether the gain is
    the larger (after the one-standard-error rule of Breiman et al., Classification and Regression Trees, 1984, sec.
    3.4.3). Else the settings stay. ``complete``, ``pruned`` and ``failed`` count trials.
    """

    params: Params
    loss: float
    default_loss: float
    gain: float
    gain_error: float
    used: bool
    complete: int
    pruned: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTuning:
    """The choices of one window, by kind; kinds without one keep the settings."""

    models: Mapping[ModelKind, TunedModel]

    def used(self) -> dict[ModelKind, Params]:
        """What replaces the settings, by kind."""
        return {kind: one.params for kind, one in self.models.items() if one.used}


Tuner = Callable[[Panel, TrainingWindow, int], WindowTuning]
"""Tunes one training window, by its number in time; given the panel as it was known at the end of training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Who tunes, and inside which windows (``TuningPlan.windows``)."""

    windows: TuneWindows
    tune: Tuner


OnTrial = Callable[[Trial], None]
Tick = Callable[[int, int], None]


def tuning_facts(tuned: Sequence[WindowTuning]) -> list[dict[str, object]]:
    """JSON-ready choices, one entry a window that was tuned and a kind; empty where nothing was.

    Windows that share one tuning are one entry, under the first of them.
    """
    facts: list[dict[str, object]] = []
    seen: list[WindowTuning] = []
    for number, one in enumerate(tuned):
        if any(one is other for other in seen):
            continue
        seen.append(one)
        for kind, chosen in one.models.items():
            losses = {name: value if isfinite(value := getattr(chosen, name)) else None for name in _LOSSES}
            facts.append({"window": number + 1, "kind": kind, **asdict(chosen), **losses})
    return facts


def tune_window(
    panel: Panel,
    window: TrainingWindow,
    *,
    contract: FeatureContract,
    config: TrainingConfig,
    plan: TuningPlan,
    open_study: OpenStudy,
    on_trial: OnTrial,
    tick: Tick,
    clock: Callable[[], float] = time.monotonic,
) -> WindowTuning:
    """Tune every kind of model inside one window; ``tick(done, total)`` is called from this thread.

    Raises ``HistoryError`` where the window is too short for its inner splits. Call it inside ``one_blas_thread``.
    """
    inner = _Inner.of(panel, window.rows, contract=contract, config=config, plan=plan)
    deadline = clock() + plan.seconds if plan.seconds else inf
    studies = [_Study.of(open_study(kind), kind, inner=inner) for kind in config.models]
    for one in studies:
        for trial in one.trials:
            on_trial(trial)
    _search(
        studies, trials=plan.trials, threads=config.threads, go_on=lambda: clock() < deadline, told=on_trial, tick=tick
    )
    return WindowTuning(models={one.kind: _chosen(one.trials[: plan.trials]) for one in studies})


def _search(
    studies: Sequence["_Study"],
    *,
    trials: int,
    threads: int,
    go_on: Callable[[], bool],
    told: OnTrial,
    tick: Tick,
) -> None:
    """Give every study its turn until all have their trials or time is over; each has at least its first.

    Callbacks come from this thread. Whatever ends this early (an interrupt, a failure) also ends the trials that are
    running, after the inner split they are at.
    """
    total, stop = trials * len(studies), Event()
    turns = deque(one for one in studies if len(one.trials) < trials)
    running: dict[Future[Trial], _Study] = {}
    with ThreadPoolExecutor(max(1, min(threads, len(studies)))) as pool:
        try:
            while turns or running:
                while turns and len(running) < max(1, threads):
                    study = turns.popleft()
                    if not study.trials or go_on():
                        running[pool.submit(study.next, stop)] = study
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    study = running.pop(future)
                    study.trials.append(future.result())
                    told(study.trials[-1])
                    tick(sum(min(len(one.trials), trials) for one in studies), total)
                    if len(study.trials) < trials:
                        turns.append(study)
        except BaseException:
            stop.set()
            raise
    tick(total, total)


def _chosen(counted: Sequence[Trial]) -> TunedModel:
    """What the first trials of a study come to; a larger budget may have left more."""
    default, best = counted[0], best_trial(counted)
    gain, error = gain_over(default, best)
    states = [one.state for one in counted]
    return TunedModel(
        params=dict(best.params),
        loss=best.loss if best.state == "complete" else nan,
        default_loss=default.loss if default.state == "complete" else nan,
        gain=gain,
        gain_error=error,
        used=gain > error,
        complete=states.count("complete"),
        pruned=states.count("pruned"),
        failed=states.count("fail"),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fold:
    """One inner split, ready to fit: ``everything`` for models without early stopping."""

    everything: Sample
    early: Sample
    late: Sample
    scaler: Scaler
    test: Ints
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Inner:
    """The inner splits of one window over one binned panel."""

    panel: Panel
    binned: BinnedPanel
    folds: tuple[_Fold, ...]
    config: TrainingConfig

    @classmethod
    def of(
        cls, panel: Panel, rows: Ints, *, contract: FeatureContract, config: TrainingConfig, plan: TuningPlan
    ) -> "_Inner":
        kept = rows[_thinned(panel.bar_index[rows], plan.max_rows)]
        bar_index, label_end = panel.bar_index[kept], panel.label_end[kept]
        splits = combinatorial_splits(
            bar_index, label_end, trainable=np.ones(kept.size, dtype=np.bool_), plan=plan.splits
        )
        columns = dense_columns(contract)
        folds = tuple(_fold(panel, kept[one.train_rows], kept[one.test_rows], columns, config) for one in splits)
        # Inner training rows of every split lie in this window, so its edges know nothing that is judged outside it.
        data = FitData(
            X=panel.X, y=panel.y, names=contract.names, dense_columns=columns, rows=kept, edge_rows=folds[-1].early.rows
        )
        return cls(panel=panel, binned=BinnedPanel(data), folds=folds, config=config)

    def loss(self, kind: ModelKind, params: Params, fold: _Fold) -> float:
        """Weighted log loss of one kind with these values on one inner split, in nats."""
        trainer, config = TRAINERS[kind], with_params(self.config, params)
        fit, stop = (fold.early, fold.late) if trainer.stops_early else (fold.everything, fold.late)
        fitted = fit_model(self.binned, kind, fit, stop, scaler=fold.scaler, config=config)
        raw = load_predictor(fitted.part, fold.scaler, self.panel.X.shape[1]).predict(self.panel.X[fold.test])
        p = restrict_to_sides(raw, self.panel.sides[fold.test])
        return float((log_loss_rows(p, self.panel.y[fold.test]) * fold.weight).sum() / fold.weight.sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Study:
    """One study at work, with the trials that count so far."""

    study: Any
    kind: ModelKind
    inner: _Inner
    trials: list[Trial]

    @classmethod
    def of(cls, study: Any, kind: ModelKind, *, inner: _Inner) -> "_Study":
        close_interrupted(study)
        trials = list(counted_trials(study, kind, inner.config))
        return cls(study=study, kind=kind, inner=inner, trials=trials)

    def next(self, stop: Event) -> Trial:
        """One more trial."""
        return run_trial(
            self.study,
            self.kind,
            config=self.inner.config,
            splits=len(self.inner.folds),
            losses=lambda params: self._losses(params, stop),
        )

    def _losses(self, params: Params, stop: Event) -> Iterator[float]:
        for fold in self.inner.folds:
            if stop.is_set():
                raise InterruptedError
            yield self.inner.loss(self.kind, params, fold)


def _thinned(bar_index: Ints, max_rows: int) -> Ints:
    """Positions of the rows of every k-th bar, k as small as ``max_rows`` allows."""
    bars = np.unique(bar_index)
    step = max(1, ceil(bar_index.size / max_rows))
    return np.flatnonzero(np.isin(bar_index, bars[::step]))


def _fold(panel: Panel, train: Ints, test: Ints, columns: Ints, config: TrainingConfig) -> _Fold:
    # What is judged is weighted by uniqueness alone.
    plain = replace(config, decay_half_life_bars=0.0, class_balance="none")
    weights, judged = window_weights(panel, train, config), window_weights(panel, test, plain)
    early, late = split_by_time(
        panel.bar_index[train],
        panel.label_end[train],
        later_share=config.early_stopping_share,
        gap_bars=config.gap_bars,
    )

    def sample(of: Ints) -> Sample:
        return Sample(rows=train[of], weight=weights.weight[of], class_weight=weights.class_weight)

    return _Fold(
        everything=sample(np.arange(train.size)),
        early=sample(early),
        late=sample(late),
        scaler=fit_scaler(panel.X, train, columns),
        test=test,
        weight=judged.weight,
    )
