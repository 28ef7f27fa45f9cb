"""How does a home train a model, once per data and settings?

Reads the training stretch, trains walk-forward, seals the bundle, proves it in a fresh process, registers it as one
MLflow version and makes it challenger. The key of a training hashes the data snapshot, every number that shapes the
result, the code and the libraries: asked again, the finished training answers; killed anywhere, it starts over and ends
in the same bundle.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from time import perf_counter

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import Engine, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert

from infra.bootstrap import App, open_app
from infra.lake_snapshot import Snapshot
from infra.locks import exclusive
from infra.provenance import code_commit, library_versions
from infra.scratch import scratch_directory
from infra.tables import snapshots, training_runs
from learning.device import require_device
from learning.panel import Panel, SymbolHistory, build_panel
from learning.plausibility import plausibility
from learning.training import TrainingResult, train
from market.timeframe import DAY_MS
from registry.bundle_parts import BundleParts
from registry.challenger import challenge
from registry.deployments import deployment_history
from registry.golden import make_golden
from registry.predictors import load_predictor
from registry.reference import ReferenceDistributions, reference_distributions
from registry.seal import seal
from registry.verify import fresh_process_check
from serving.lake_inputs import warm_up_index
from tasks.histories import load_histories, load_inputs
from tasks.lookahead import require_causal
from tasks.plan import barrier_spec, config_facts, event_rule, training_config
from tasks.progress import report
from tasks.registration import Registration, register_training
from tasks.runner import fit_runner, require_runner
from tasks.stores import block_cache, bundle_cache, model_store
from tasks.training_choice import require_trials
from tasks.training_evidence import json_ready, ledger_rows, own_trials, training_evidence
from tasks.training_report import report_path
from tasks.trials import count_trials, enter_trial, tuning_trials
from tasks.tuning import tuning_of, without_budget
from tasks.windows import Window, current_window

__all__ = ["TrainingRequest", "train_and_register", "training_panel", "training_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What identifies a training: data, settings, libraries and committed code; equal keys give equal bundles.

    ``study_key`` leaves out how long tuning may search, so that a larger budget continues the studies of a smaller one.
    """

    key: str
    study_key: str
    window: Window
    snapshot: Snapshot
    config: Mapping[str, object]
    universe: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trained:
    result: TrainingResult
    evidence: dict[str, object]
    reference: ReferenceDistributions


@task(cache_policy=NO_CACHE)
def train_and_register(home: str, overrides: Mapping[str, object] | None = None) -> dict[str, object]:
    """Train on the home's training stretch unless that was done before; returns the run's facts.

    ``overrides`` replace settings for this training alone.
    """
    with (
        open_app(home, overrides=overrides) as app,
        exclusive(app.engine, f"training of {app.settings.registry.model_name}"),
    ):
        require_trials(overrides or {}, trials=app.settings.tuning.trials)
        require_device(app.settings.training.device)
        require_runner(app.settings)
        request = training_request(app)
        finished = _finished(app, request.key)
        if finished is not None:
            _challenge_again(app, finished)
            return {**finished, **_beside(app, finished, {})}
        _begin(app.engine, request, app.settings.registry.model_name)
        timings: dict[str, float] = {}
        trained = _train(app, request, timings)
        result, evidence = trained.result, trained.evidence
        facts = _bundle_facts(app, request, trained)
        with scratch_directory(app.settings.home / "tmp", prefix="sealing-") as scratch:
            directory = scratch / "bundle"
            with _timed(timings, "seal"):
                bundle_hash = seal(_parts(app, request, trained, facts), directory)
            report("register", 1, 3)
            with _timed(timings, "verify"):
                fresh = fresh_process_check(directory, bundle_hash)
            report("register", 2, 3)
            bundle_cache(app).put(directory, bundle_hash)
            made = Registration(
                directory=directory,
                bundle_hash=bundle_hash,
                training_key=request.key,
                facts=facts,
                evidence=evidence,
                result=result,
                features=request.window.contract.names,
                timings=dict(timings),
                trials=tuning_trials(app.engine, request.study_key),
            )
            with _timed(timings, "register"):
                version = register_training(app, made, scratch=scratch)
            _forget_old_bundles(app, bundle_hash)
            report("register", 3, 3)
        evaluation = {
            **result.evaluation,
            "evidence": evidence,
            "left_out": request.window.left_out,
            "universe": dict(request.universe),
            "fresh_process_digest": fresh.golden_digest,
        }
        run = _finish(app.engine, request, bundle_hash=bundle_hash, version=version, evaluation=evaluation)
        return {**run, **_beside(app, run, timings)}


def training_request(app: App) -> TrainingRequest:
    """The training this home would run now."""
    window = current_window(app)
    stretch = {"first": window.stretches.first, "end": window.stretches.train_end}
    window.universe.require_covered(**stretch, warmup_bars=window.contract.warmup_bars)
    universe = window.universe.facts(**stretch)
    names = {*window.symbols, window.contract.reference_symbol}
    end_ms = window.timeframe.open_time(window.stretches.train_end)
    # Features of the newest days are warmed up on the bars before them: those are data of this training too.
    warm = warm_up_index(window.contract, window.stretches.first)
    start_ms = window.timeframe.open_time(warm) - DAY_MS if app.settings.training.max_days else None
    snapshot = app.lake.snapshot(sorted(names), window.timeframe, start_ms=start_ms, end_ms=end_ms)
    config = {
        **config_facts(app.settings),
        "symbols": list(window.symbols),
        "train_end_ms": end_ms,
        "universe": {name: universe[name] for name in ("mode", "id")},
    }
    identity = {
        "model": app.settings.registry.model_name,
        "snapshot": snapshot.id,
        "config": config,
        "commit": code_commit(),
        "versions": library_versions(),
    }
    return TrainingRequest(
        key=_digest(identity),
        study_key=_digest({**identity, "config": without_budget(config)}),
        window=window,
        snapshot=snapshot,
        config=config,
        universe=universe,
    )


def _digest(identity: Mapping[str, object]) -> str:
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def training_panel(app: App, request: TrainingRequest) -> Panel:
    """Every row this training may learn from or judge on."""
    window = request.window
    histories = load_histories(
        app.lake,
        window.symbols,
        window.contract,
        first_index=window.stretches.first,
        end_index=window.stretches.train_end,
        cache=block_cache(app),
    )
    require_causal(app.lake, histories, window.contract)
    members = [_while_member(one, window) for one in histories]
    spec, events = barrier_spec(app.settings), event_rule(app.settings)
    return build_panel(members, contract=window.contract, spec=spec, events=events)


def _while_member(history: SymbolHistory, window: Window) -> SymbolHistory:
    """The same history, learnt from only at the bars at which its market belonged to the universe."""
    block = history.features
    member = window.universe.mask(history.symbol, first_index=block.first_index, n=block.reason.size)
    return replace(history, member=member)


def _train(app: App, request: TrainingRequest, timings: dict[str, float]) -> _Trained:
    window, settings = request.window, app.settings
    spec = barrier_spec(settings)
    config, contract = training_config(settings), window.contract
    with _timed(timings, "panel"):
        panel = training_panel(app, request)
    with tuning_of(app, key=request.study_key, snapshot=request.snapshot, contract=contract, config=config) as tuning:
        result = train(
            panel,
            contract,
            spec,
            config,
            train_end_index=window.stretches.train_end,
            on_progress=lambda stage, done, total: report(f"train: {stage}", done, total),
            tuning=tuning,
            run_jobs=fit_runner(settings),
        )
    timings |= result.timings
    count = _record_trials(app.engine, request, result)
    with _timed(timings, "evidence"):
        evidence = training_evidence(
            result,
            timeframe=window.timeframe,
            horizon_bars=spec.horizon_bars,
            seed=settings.training.seed,
            trials=count,
            alpha=settings.shadow.alpha,
        )
    evidence["training_rows"] = int(result.training_rows.size)
    evidence["panel_rows"] = int(panel.y.size)
    evidence["plausibility"] = json_ready(asdict(plausibility(result, panel, names=window.contract.names)))
    reference = reference_distributions(panel.X[result.training_rows], result.scored.ensemble)
    return _Trained(result=result, evidence=evidence, reference=reference)


def _bundle_facts(app: App, request: TrainingRequest, trained: _Trained) -> dict[str, object]:
    """What the bundle says of itself; no clock, so equal trainings seal equal bytes."""
    window, settings = request.window, app.settings
    result, evidence = trained.result, trained.evidence
    return {
        "model_name": settings.registry.model_name,
        "training_key": request.key,
        "snapshot_id": request.snapshot.id,
        "sources": list(request.snapshot.sources),
        "symbols": list(window.symbols),
        "universe": dict(request.universe),
        "timeframe": window.timeframe.name,
        "train_start_ms": window.timeframe.open_time(window.stretches.first),
        "train_end_ms": window.timeframe.open_time(window.stretches.train_end),
        "training_rows": evidence["training_rows"],
        "seed": settings.training.seed,
        "synthetic": request.snapshot.synthetic,
        "trial_count": own_trials(result),
        "class_shares": result.evaluation["class_shares"],
        "climatology": result.evaluation["climatology"],
        "class_map": {"0": "HOLD", "1": "BUY", "2": "SELL"},
        "metrics": result.evaluation["strategies"],
        "evaluation": result.evaluation,
        "versions": library_versions(),
        "commit": code_commit(),
        "config": dict(request.config),
    }


def _parts(app: App, request: TrainingRequest, trained: _Trained, facts: dict[str, object]) -> BundleParts:
    window, settings, result = request.window, app.settings, trained.result
    width = len(window.contract.names)
    predictors = [load_predictor(part, result.scaler, width) for part in result.models]
    stretch = {"first_index": window.stretches.first, "end_index": window.stretches.train_end}
    inputs = load_inputs(app.lake, window.symbols, window.contract, **stretch)
    return BundleParts(
        contract=window.contract,
        label_spec=barrier_spec(settings),
        events=event_rule(settings),
        scaler=result.scaler,
        models=result.models,
        weights=result.weights,
        policy=result.policy,
        reference=trained.reference,
        golden=make_golden(inputs, contract=window.contract, predictors=predictors),
        facts=facts,
    )


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    began = perf_counter()
    yield
    timings[stage] = perf_counter() - began


def _beside(app: App, run: Mapping[str, object], timings: Mapping[str, float]) -> dict[str, object]:
    """What a run returns besides what is stored: its page, if that is still there, and the seconds of its stages."""
    page = report_path(app.settings.home, model_name=str(run["model_name"]), bundle_hash=str(run["bundle_hash"]))
    return {
        "report": str(page) if page.exists() else None,
        "timings_s": {stage: round(seconds, 3) for stage, seconds in timings.items()},
    }


def _challenge_again(app: App, run: Mapping[str, object]) -> None:
    """Make the finished training the challenger that was asked for; what was ever champion stays: a rollback holds."""
    name, version = app.settings.registry.model_name, int(str(run["version"]))
    store = model_store(app)
    served = {one.bundle_hash for one in deployment_history(app.engine, name)}
    if run["bundle_hash"] not in served and store.get_alias("challenger") != version and store.has_version(version):
        challenge(app.engine, store, version)


def _forget_old_bundles(app: App, newest: str) -> None:
    """Keep the last bundles and whatever was ever champion; the registry still holds the others."""
    served = {one.bundle_hash for one in deployment_history(app.engine, app.settings.registry.model_name)}
    bundle_cache(app).prune(keep=app.settings.registry.keep, pinned=served | {newest})


def _finished(app: App, key: str) -> dict[str, object] | None:
    """The facts of a training that was registered before, if its bundle is still sound on this machine."""
    with app.engine.connect() as connection:
        row = connection.execute(select(training_runs).where(training_runs.c.key == key)).mappings().one_or_none()
    if row is None or row["status"] != "registered" or not bundle_cache(app).has(row["bundle_hash"]):
        return None
    return _facts(row, trained_now=False)


def _facts(row: RowMapping, *, trained_now: bool) -> dict[str, object]:
    return {
        "key": row["key"],
        "model_name": row["model_name"],
        "snapshot_id": row["snapshot_id"],
        "bundle_hash": row["bundle_hash"],
        "version": row["version"],
        "evaluation": row["evaluation"],
        "trained_now": trained_now,
    }


def _begin(engine: Engine, request: TrainingRequest, model_name: str) -> None:
    s = request.snapshot
    with engine.begin() as connection:
        connection.execute(
            insert(snapshots)
            .values(
                id=s.id,
                symbols=list(s.symbols),
                timeframe=s.timeframe.name,
                rows=s.rows,
                first_ms=s.first_ms,
                last_ms=s.last_ms,
                sources=list(s.sources),
                synthetic=s.synthetic,
            )
            .on_conflict_do_nothing()
        )
        connection.execute(
            insert(training_runs)
            .values(
                key=request.key,
                model_name=model_name,
                snapshot_id=s.id,
                status="running",
                config=dict(request.config),
            )
            .on_conflict_do_update(
                index_elements=["key"], set_={"status": "running", "started_at": func.now(), "finished_at": None}
            )
        )


def _record_trials(engine: Engine, request: TrainingRequest, result: TrainingResult) -> int:
    """Enter every configuration into the ledger once; return how many were ever tried on this snapshot."""
    for name, metrics in ledger_rows(result, timeframe=request.window.timeframe).items():
        enter_trial(
            engine,
            snapshot_id=request.snapshot.id,
            run_key=request.key,
            name=name,
            params=request.config,
            metrics=metrics,
        )
    return count_trials(engine, request.snapshot.id)


def _finish(
    engine: Engine, request: TrainingRequest, *, bundle_hash: str, version: int, evaluation: Mapping[str, object]
) -> dict[str, object]:
    with engine.begin() as connection:
        row = connection.execute(
            update(training_runs)
            .where(training_runs.c.key == request.key)
            .values(
                status="registered",
                bundle_hash=bundle_hash,
                version=version,
                evaluation=dict(evaluation),
                finished_at=func.now(),
            )
            .returning(training_runs)
        )
        return _facts(row.mappings().one(), trained_now=True)
