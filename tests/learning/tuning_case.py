"""One small training window to tune inside, and studies in memory."""

import numpy as np
import optuna

from learning.combinatorial import Combinatorial
from learning.fold_models import one_blas_thread, prepare_window
from learning.labels import UNRESOLVED
from learning.panel import Panel, known_by
from learning.tuning import TuningPlan, tune_window
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config

WINDOW_END = FIRST + 1400
PLAN = TuningPlan(trials=4, splits=Combinatorial(groups=3, test_groups=1, embargo_bars=SPEC.horizon_bars))


def made_panel() -> Panel:
    """A market with an edge, as known well after the window."""
    return known_by(planted_panel(edge=1.0, bars=2000, symbols=2), FIRST + 2000)


def window_of(panel, config):
    """The training window of everything that had resolved before ``WINDOW_END``."""
    rows = np.flatnonzero(panel.event & (panel.y != UNRESOLVED) & (panel.label_end < WINDOW_END))
    return prepare_window(
        panel, rows, predict=np.zeros(0, np.int64), contract=CONTRACT, config=config, name="the window"
    )


def memory_study(name="s", storage=None):
    """A study as production opens it, in memory unless told otherwise."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
        load_if_exists=storage is not None,
    )


def tuned(panel, *, plan=PLAN, open_study=None, on_trial=lambda _trial: None, tick=lambda _d, _t: None, **changes):
    """Tune the window; returns the choices."""
    changes = {"models": ("lightgbm", "logistic"), "threads": 2} | changes
    clock = changes.pop("clock", lambda: 0.0)
    config = tiny_config(**changes)
    with one_blas_thread():
        return tune_window(
            panel,
            window_of(panel, config),
            contract=CONTRACT,
            config=config,
            plan=plan,
            open_study=open_study or (lambda kind: memory_study(f"study {kind}")),
            on_trial=on_trial,
            tick=tick,
            clock=clock,
        )
