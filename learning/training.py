"""What comes out when models are trained walk-forward, and how good would it have been?

Each fold's models predict a test window they never saw; what combines them in a fold is fitted on earlier folds
only. The first test windows feed that combination and are not scored. The final models are one more fold: trained on
everything that had resolved before ``train_end_index``, combined by what all folds' out-of-fold predictions teach, to
be judged on bars from ``train_end_index`` on that nothing here has seen. Equal arguments give equal bytes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from features.contract import FeatureContract
from learning.backtest import TradeTable, equity_curve
from learning.combination import Combination, OutOfFold, fit_combination
from learning.config import OnProgress, TrainingConfig, silent
from learning.errors import HistoryError
from learning.evaluation import ScoredFold, ScoredRows, score_fold, scored_rows, strategies
from learning.evaluation_facts import Facts, evaluation_facts
from learning.fold_models import RunJobs, TrainingWindow, WindowModels, fit_windows, one_blas_thread, prepare_window
from learning.judged import JudgedTrades, judged_rows
from learning.labels import UNRESOLVED
from learning.metrics import Reliability, reliability
from learning.panel import Panel, known_by
from learning.tuning import Tuning, WindowTuning, tuning_facts
from learning.walk_forward import Fold, WalkForward, fewest_test_bars, training_rows, walk_forward
from market.barriers import BarrierSpec
from market.candles import Floats, Ints
from registry.policy import DecisionPolicy
from registry.predictors import ModelPart
from registry.scaler import Scaler

__all__ = ["TrainingResult", "train"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingResult:
    """What a bundle is sealed from, and the evidence beside it.

    ``models`` carry their calibration; ``weights (M,)``; ``policy`` has its thresholds. ``evaluation`` is JSON-ready
    and equal for equal inputs. ``scored`` and ``trades`` are out of fold, ``trades_by`` those of every strategy;
    ``equity (T,)`` of the ensemble over bars ``equity_index (T,)``; ``bar_returns`` ``(T,)`` per strategy;
    ``importance (folds + 1, F)`` mean gain share per window, the final one last; ``training_rows`` panel rows of the
    final fit; ``timings`` seconds per stage.
    """

    models: tuple[ModelPart, ...]
    scaler: Scaler
    weights: Floats
    policy: DecisionPolicy
    evaluation: Facts
    scored: ScoredRows
    trades: TradeTable
    trades_by: dict[str, JudgedTrades]
    equity_index: Ints
    equity: Floats
    bar_returns: dict[str, Floats]
    reliability: Reliability
    importance: Floats
    training_rows: Ints
    timings: dict[str, float]


def train(
    panel: Panel,
    contract: FeatureContract,
    spec: BarrierSpec,
    config: TrainingConfig,
    *,
    train_end_index: int,
    on_progress: OnProgress = silent,
    run_jobs: RunJobs | None = None,
    tuning: Tuning | None = None,
) -> TrainingResult:
    """Train, evaluate out of fold and fit the final models on what was known when ``train_end_index`` opened.

    ``run_jobs`` fits the models elsewhere than in this process's threads, and changes no byte; ``tuning`` searches
    hyper-parameters inside training windows first. Raises ``HistoryError``
    when the history is too short, ``LabelError`` for a window without enough of a class.
    """
    _require_scorable(config)
    run = _Run(
        panel=known_by(panel, train_end_index),
        contract=contract,
        spec=spec,
        config=replace(config, threads=config.threads or os.cpu_count() or 1),
        end_index=train_end_index,
        report=on_progress,
        run_jobs=run_jobs,
    )
    with one_blas_thread():
        folds = run.folds()
        prepared = run.prepare(folds)
        tuned = run.tune(prepared, tuning)
        windows = run.fit(prepared, tuned)
        oof = OutOfFold(
            rows=np.concatenate([fold.test_rows for fold in folds]),
            raw=np.concatenate([window.raw for window in windows[:-1]], axis=1),
            first_index=folds[0].test_first_index,
        )
        scored = run.score(folds, windows, oof)
        combination = run.combine(oof, before_index=train_end_index)
        return run.result(folds, windows, tuned, scored, combination)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """The fixed inputs of one training, so that its steps read as a story."""

    panel: Panel
    contract: FeatureContract
    spec: BarrierSpec
    config: TrainingConfig
    end_index: int
    report: OnProgress
    run_jobs: RunJobs | None
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def plan(self) -> WalkForward:
        return WalkForward(
            folds=self.config.folds,
            min_train_bars=self.config.min_train_bars,
            min_test_bars=fewest_test_bars(self.spec.horizon_bars),
            gap_bars=self.config.gap_bars,
            mode=self.config.mode,
        )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + perf_counter() - began

    def folds(self) -> tuple[Fold, ...]:
        """The folds that are tested, and last the final window, which has nothing to be tested on."""
        bar_index, label_end = self.panel.bar_index, self.panel.label_end
        judged = self.panel.event
        trainable = judged & (self.panel.y != UNRESOLVED)
        folds = walk_forward(
            bar_index, label_end, trainable=trainable, judged=judged, end_index=self.end_index, plan=self.plan
        )
        final = Fold(
            number=len(folds),
            train_rows=training_rows(
                bar_index, label_end, trainable=trainable, before_index=self.end_index, plan=self.plan
            ),
            test_rows=np.zeros(0, dtype=np.int64),
            test_first_index=self.end_index,
            test_end_index=self.end_index,
        )
        return (*folds, final)

    def prepare(self, folds: tuple[Fold, ...]) -> list[TrainingWindow]:
        with self.timed("prepare"):
            return [self._prepared(fold) for fold in folds]

    def fit(self, windows: Sequence[TrainingWindow], tuned: Sequence[WindowTuning]) -> tuple[WindowModels, ...]:
        with self.timed("fit"):
            return fit_windows(
                self.panel,
                windows,
                contract=self.contract,
                config=self.config,
                on_model=lambda done, total: self.report("fit", done, total),
                run_jobs=self.run_jobs,
                replaced=[one.used() for one in tuned],
            )

    def tune(self, windows: Sequence[TrainingWindow], tuning: Tuning | None) -> tuple[WindowTuning, ...]:
        """What was chosen for each window; nothing where nobody tunes."""
        if tuning is None:
            return (WindowTuning(models={}),) * len(windows)
        with self.timed("tune"):
            if tuning.windows == "first":
                return (tuning.tune(self.panel, windows[0], 0),) * len(windows)
            return tuple(tuning.tune(self.panel, one, k) for k, one in enumerate(windows))

    def _prepared(self, fold: Fold) -> TrainingWindow:
        return prepare_window(
            self.panel,
            fold.train_rows,
            predict=fold.test_rows,
            contract=self.contract,
            config=self.config,
            name=f"the training window before bar {fold.test_first_index}",
        )

    def combine(self, oof: OutOfFold, *, before_index: int) -> Combination:
        with self.timed("combine"):
            return fit_combination(self.panel, oof, before_index=before_index, config=self.config)

    def score(
        self, folds: tuple[Fold, ...], windows: tuple[WindowModels, ...], oof: OutOfFold
    ) -> tuple[ScoredFold, ...]:
        scored: list[ScoredFold] = []
        judged = folds[self.config.warmup_folds : -1]
        for fold in judged:
            combination = self.combine(oof, before_index=fold.test_first_index)
            models = windows[fold.number]
            with self.timed("score"):
                one = score_fold(
                    self.panel,
                    fold,
                    models.raw,
                    combination=combination,
                    climatology=models.window.climatology,
                    config=self.config,
                )
            scored.append(one)
            self.report("score", len(scored), len(judged))
        return tuple(scored)

    def result(
        self,
        folds: tuple[Fold, ...],
        windows: tuple[WindowModels, ...],
        tuned: Sequence[WindowTuning],
        scored: tuple[ScoredFold, ...],
        combination: Combination,
    ) -> TrainingResult:
        with self.timed("score"):
            decided = judged_rows(self.panel, [one.fold for one in scored], self.contract.names)
            judged = scored_rows(self.panel, scored, decided, model_names=self.config.models)
            compared = strategies(
                self.panel, scored, judged, decided, contract=self.contract, spec=self.spec, config=self.config
            )
            facts = evaluation_facts(
                self.panel, folds[:-1], windows, scored, combination, judged, compared, config=self.config
            ) | {"tuning": tuning_facts(tuned)}
        final = windows[-1]
        parts = zip(final.fitted, combination.calibrations, strict=True)
        return TrainingResult(
            models=tuple(replace(one.part, calibration=kept.scaling) for one, kept in parts),
            scaler=final.window.scaler,
            weights=combination.weights,
            policy=combination.policy(self.config.policy),
            evaluation=facts,
            scored=judged,
            trades=compared.trades["ensemble"].table,
            trades_by=compared.trades,
            equity_index=np.arange(compared.first_index, compared.end_index, dtype=np.int64),
            equity=equity_curve(compared.bar_returns["ensemble"]),
            bar_returns=compared.bar_returns,
            reliability=reliability(judged.ensemble, judged.y),
            importance=np.stack([np.mean([one.gain for one in window.fitted], axis=0) for window in windows]),
            training_rows=final.window.rows,
            timings=self.timings,
        )


def _require_scorable(config: TrainingConfig) -> None:
    if 1 <= config.warmup_folds < config.folds:
        return
    raise HistoryError(
        f"{config.folds} folds with {config.warmup_folds} of them to warm up calibration",
        why="at least one fold must feed the combination and at least one must be judged by it",
        remedy="use at least two folds",
    )
