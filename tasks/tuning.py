"""Where do the studies of a training live, and what becomes of a killed one?

Optuna keeps them in a database of its own beside Lockstep's. A study is named after its training, window and kind of
model: the same training finds it again and goes on; another training never touches it. Every trial is entered into the
ledger after it was told to Optuna; what a kill left out in between is entered when the study is opened again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from features.contract import FeatureContract
from infra.bootstrap import App
from infra.database import database_url
from infra.lake_snapshot import Snapshot
from learning.config import TrainingConfig
from learning.fold_models import TrainingWindow
from learning.panel import Panel
from learning.tuning import Trial, Tuning, WindowTuning, tune_window
from registry.predictors import ModelKind
from tasks.plan import tuning_plan
from tasks.progress import report
from tasks.trials import enter_tuning_trial

__all__ = ["tuning_of"]


@contextmanager
def tuning_of(
    app: App, *, key: str, snapshot: Snapshot, contract: FeatureContract, config: TrainingConfig
) -> Iterator[Tuning | None]:
    """How this training tunes; None where the settings ask for no trials. Open while the block runs."""
    plan = tuning_plan(app.settings)
    if plan is None:
        yield None
        return
    with _storage(database_url(app.engine, "optuna")) as storage:

        def tune(panel: Panel, window: TrainingWindow, number: int) -> WindowTuning:
            def study(kind: ModelKind) -> Any:
                return _study(storage, f"{app.settings.registry.model_name} {key[:24]} window {number + 1} {kind}")

            def enter(trial: Trial) -> None:
                enter_tuning_trial(app.engine, snapshot_id=snapshot.id, run_key=key, window=number, trial=trial)

            return tune_window(
                panel,
                window,
                contract=contract,
                config=config,
                plan=plan,
                open_study=study,
                on_trial=enter,
                tick=lambda done, total: report("train: tune", done, total),
            )

        yield Tuning(windows=plan.windows, tune=tune)


@contextmanager
def _storage(url: str) -> Iterator[Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _study(storage: Any, name: str) -> Any:
    import optuna

    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
        load_if_exists=True,
    )
