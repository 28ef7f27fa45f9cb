"""Which hyper-parameters suit one training window, judged inside that window alone?

Nested: a study sees the rows of one training window and nothing of what its models will be judged on. Its own splits
are combinatorial purged ones with an embargo; trees stop early on a purged slice of the inner training rows. The loss
of a trial is the mean over these splits of the log loss, weighted by uniqueness; it is reported split by split, and a
trial that is worse than the median so far is pruned.

The n-th finished trial depends on the seed, the study's name, n and the finished trials before it, so a study that was
killed and goes on ends where it would have ended. The defaults are its first trial: tuning is never worse than they are
on the inner splits. One trial at a time a study; studies of different kinds run side by side.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Literal

import numpy as np

from features.contract import FeatureContract
from learning.binned import BinnedPanel, FitData, Sample
from learning.combinatorial import Combinatorial, combinatorial_splits
from learning.config import TrainingConfig
from learning.fold_models import TrainingWindow, dense_columns, window_weights
from learning.metrics import log_loss_rows
from learning.panel import Panel
from learning.search_space import Params, default_params, distributions, with_params
from learning.trainers import TRAINERS, fit_model, fit_scaler
from learning.walk_forward import split_by_time
from market.candles import Floats, Ints
from registry.predictors import ModelKind, load_predictor
from registry.scaler import Scaler
from registry.sides import restrict_to_sides

__all__ = [
    "OpenStudy",
    "Trial",
    "TunedModel",
    "Tuner",
    "Tuning",
    "TuningPlan",
    "WindowTuning",
    "tune_window",
    "tuning_facts",
]

TuneWindows = Literal["first", "each"]
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
class Trial:
    """One trial as the ledger keeps it; ``state`` complete, pruned or fail; ``loss`` in nats, NaN for a failed one."""

    kind: ModelKind
    number: int
    params: Params
    state: str
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """What a study chose: the best ``params``, their loss and that of the defaults, and how its trials ended."""

    params: Params
    loss: float
    default_loss: float
    complete: int
    pruned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTuning:
    """The choices of one window, by kind; kinds without one keep the defaults."""

    models: Mapping[ModelKind, TunedModel]


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
            gain = chosen.default_loss - chosen.loss
            facts.append({"window": number + 1, "kind": kind, **asdict(chosen), "gain": gain})
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
    trial = _Inner.of(panel, window.rows, contract=contract, config=config, plan=plan)
    deadline = clock() + plan.seconds if plan.seconds else math.inf
    studies = {kind: _Study(study=open_study(kind), kind=kind, inner=trial, plan=plan) for kind in config.models}
    total = plan.trials * len(studies)
    with ThreadPoolExecutor(max(1, min(config.threads, len(studies)))) as pool:
        running = {kind: pool.submit(one.search, on_trial, lambda: clock() < deadline) for kind, one in studies.items()}
        pending = set(running.values())
        while pending:
            _, pending = wait(pending, timeout=0.5)
            tick(min(sum(one.finished for one in studies.values()), total), total)
        found = {kind: future.result() for kind, future in running.items()}
    return WindowTuning(models={kind: one for kind, one in found.items() if one is not None})


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


@dataclass(slots=True, kw_only=True, eq=False)
class _Study:
    """One study at work; ``finished`` is read by whoever shows progress."""

    study: Any
    kind: ModelKind
    inner: _Inner
    plan: TuningPlan
    finished: int = 0

    def search(self, on_trial: OnTrial, go_on: Callable[[], bool]) -> TunedModel | None:
        """Go on until enough trials are finished or the time is over; every trial is told, old ones again."""
        self._bury_the_dead()
        done = _finished(self.study)
        for one in self.study.get_trials(deepcopy=False):
            if one.state.is_finished():
                on_trial(self._told(one))
        self.finished = len(done)
        while self.finished < self.plan.trials and go_on():
            on_trial(self._told(self._next()))
            self.finished += 1
        return self._chosen()

    def _bury_the_dead(self) -> None:
        """A trial of a process that was killed never ended; nobody else can be at work on this study."""
        from optuna.trial import TrialState

        for one in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(one.number, state=TrialState.FAIL)

    def _next(self) -> Any:
        """Ask, run and tell one trial; returns it as stored."""
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        self.study.sampler = TPESampler(seed=_seed(self.inner.config.seed, self.study.study_name, self.finished))
        if self.finished == 0 and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(default_params(self.kind, self.inner.config))
        trial = self.study.ask(fixed_distributions=distributions(self.kind))
        losses: list[float] = []
        for step, fold in enumerate(self.inner.folds):
            losses.append(self.inner.loss(self.kind, trial.params, fold))
            trial.report(float(np.mean(losses)), step)
            if step + 1 < len(self.inner.folds) and trial.should_prune():
                return self.study.tell(trial, state=TrialState.PRUNED)
        return self.study.tell(trial, float(np.mean(losses)))

    def _told(self, one: Any) -> Trial:
        loss = one.value if one.value is not None else math.nan
        return Trial(
            kind=self.kind, number=int(one.number), params=dict(one.params), state=one.state.name.lower(), loss=loss
        )

    def _chosen(self) -> TunedModel | None:
        done = _finished(self.study)
        complete = [one for one in done if one.state.name == "COMPLETE"]
        if not complete:
            return None
        best = min(complete, key=lambda one: one.value)
        return TunedModel(
            params=dict(best.params),
            loss=float(best.value),
            default_loss=float(done[0].value),
            complete=len(complete),
            pruned=len(done) - len(complete),
        )


def _finished(study: Any) -> Sequence[Any]:
    """Complete and pruned trials in order; the first is that of the defaults, which is never pruned."""
    from optuna.trial import TrialState

    found: Sequence[Any] = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return found


def _seed(seed: int, name: str, finished: int) -> int:
    digest = sha256(f"{seed} {name} {finished}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def _thinned(bar_index: Ints, max_rows: int) -> Ints:
    """Positions of the rows of every k-th bar, k as small as ``max_rows`` allows."""
    bars = np.unique(bar_index)
    step = max(1, math.ceil(bar_index.size / max_rows))
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
