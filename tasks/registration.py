"""How does a sealed bundle become the challenger, with everything that a person wants to see of its training?

Writes the page of the training, logs one run to MLflow with the trades and predictions behind every score, registers
the version, records it and makes it challenger. Each step can be repeated: killed anywhere, a second call ends in the
same version.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.bootstrap import App
from learning.stored_evaluation import write_evaluation
from learning.training import TrainingResult
from learning.training_report import render_training
from market.timeframe import Timeframe
from registry.catalog import record_bundle
from registry.challenger import challenge
from tasks.report import write_atomically
from tasks.stores import bundle_cache, model_store
from tasks.training_record import training_record
from tasks.training_report import report_path, training_report

__all__ = ["Registration", "register_training"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registration:
    """What is registered: a sealed bundle (``directory``, ``bundle_hash``) and its training.

    ``facts`` were sealed into it, ``evidence`` was measured beside them; ``features`` name the columns; ``trials`` are
    those of the tuning with ``name``, ``params``, ``metrics`` and ``state``; ``timings`` seconds per stage so far.
    """

    directory: Path
    bundle_hash: str
    training_key: str
    facts: Mapping[str, Any]
    evidence: Mapping[str, Any]
    result: TrainingResult
    features: Sequence[str]
    timings: Mapping[str, float]
    trials: Sequence[Mapping[str, Any]] = ()


def register_training(app: App, made: Registration, *, scratch: Path) -> int:
    """Write the page, log, register, record and make challenger; returns the version. Files are made in ``scratch``."""
    model_name = app.settings.registry.model_name
    page = _write_page(app, made)
    store = model_store(app)
    record = training_record(
        made.facts,
        made.evidence,
        bundle_hash=made.bundle_hash,
        training_key=made.training_key,
        timings=made.timings,
        artifacts={"reports": (page,), "evaluation": _evaluation_files(made, scratch)},
        trials=made.trials,
    )
    version = store.log_and_register(made.directory, made.bundle_hash, record)
    record_bundle(app.engine, bundle_cache(app).load(made.bundle_hash), model_name=model_name, version=version)
    if store.get_alias("champion") != version:
        challenge(app.engine, store, version)
    return version


def _write_page(app: App, made: Registration) -> Path:
    page = report_path(app.settings.home, model_name=app.settings.registry.model_name, bundle_hash=made.bundle_hash)
    inputs = training_report(
        made.facts,
        made.evidence,
        made.result,
        bundle_hash=made.bundle_hash,
        features=made.features,
        made_ms=time.time_ns() // 1_000_000,
        timings=made.timings,
        trials=made.trials,
    )
    write_atomically(page, render_training(inputs))
    return page


def _evaluation_files(made: Registration, scratch: Path) -> tuple[Path, ...]:
    written = scratch / "evaluation.json"
    facts = {"evaluation": made.facts["evaluation"], "evidence": made.evidence}
    written.write_text(json.dumps(facts, indent=1, allow_nan=False))
    timeframe = Timeframe.parse(made.facts["timeframe"])
    return (written, *write_evaluation(made.result, scratch, symbols=made.facts["symbols"], timeframe=timeframe))
