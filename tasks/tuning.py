"""Where do the studies of a training live, and what becomes of a killed one?

Optuna keeps them in a database of its own beside Lockstep's. A study is named after what shapes its trials (data,
settings, code), its window and its kind of model, but not after how many may be tried: a larger budget goes on where a
smaller one ended. The lock of the training keeps two processes out of one study. Every trial that counts is entered
into the ledger after it was told to Optuna; what a kill left out in between is entered when the study is opened again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from features.contract import FeatureContract
from infra.bootstrap import App
from infra.database import database_url
from infra.lake_snapshot import Snapshot
from infra.locks import lock_key
from learning.config import TrainingConfig
from learning.fold_models import TrainingWindow
from learning.panel import Panel
from learning.tuning import Tuning, WindowTuning, tune_window
from learning.tuning_study import Trial
from registry.predictors import ModelKind
from tasks.plan import tuning_plan
from tasks.progress import report
from tasks.trials import enter_tuning_trial

__all__ = ["tuning_of", "without_budget"]


@contextmanager
def tuning_of(
    app: App, *, key: str, snapshot: Snapshot, contract: FeatureContract, config: TrainingConfig
) -> Iterator[Tuning | None]:
    """How this training tunes; None where the settings ask for no trials. Open while the block runs."""
    plan = tuning_plan(app.settings)
    if plan is None:
        yield None
        return
    with _storage(app) as storage, _failures_of_the_database():

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


def without_budget(config: Mapping[str, object]) -> dict[str, object]:
    """The configuration of a training, less how long tuning may search.

    >>> without_budget({"tuning": {"trials": 20, "seconds": 0.0, "max_rows": 500}})
    {'tuning': {'max_rows': 500}}
    """
    tuning = config["tuning"]
    kept = {} if not isinstance(tuning, Mapping) else tuning
    return {**config, "tuning": {name: kept[name] for name in kept if name not in {"trials", "seconds"}}}


@contextmanager
def _storage(app: App) -> Iterator[Any]:
    """Optuna's storage in its database, both made if missing, by one process at a time."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = database_url(app.engine, "optuna")
    options = {
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": app.settings.database.connect_timeout_s, "application_name": "lockstep"},
    }
    with app.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("tables of tuning")})
        storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _failures_of_the_database() -> Iterator[None]:
    """Let what PostgreSQL said come through Optuna's wrapping, to be told like any other failure of it."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


def _study(storage: Any, name: str) -> Any:
    import optuna

    return optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=0),
        load_if_exists=True,
    )
