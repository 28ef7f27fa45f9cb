"""Is what was served what batch would compute, and does it still look like training?

Parity recomputes every served feature row and compares bytes. Drift compares the served rows with the bundle's
reference, with limits calibrated on training windows of the same length, so the false-alarm rate is stated.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import insert, select

from features.contract import FeatureContract
from infra.bootstrap import App, open_app
from infra.tables import drift_runs, feature_rows, parity_runs
from learning.drift import calibrate_thresholds, check_drift, feature_reference
from learning.drift_report import evidently_html
from learning.errors import DriftError
from market.errors import LockstepError
from registry.load import LoadedBundle
from serving.parity import ParityResult, parity_audit, record_parity
from tasks.histories import load_histories
from tasks.lineups import bundle_symbols, champion_lineup, first_seat, train_end_index
from tasks.plan import contract_of
from tasks.progress import report
from tasks.report import write_atomically
from tasks.stores import block_cache
from tasks.windows import Window, current_window

__all__ = ["audit_parity", "measure_drift"]

_CALIBRATION_WINDOWS = 40


@task(cache_policy=NO_CACHE)
def audit_parity(home: str) -> dict[str, object]:
    """Recompute all served rows of the running contract; returns rows, identical and the first mismatch."""
    with open_app(home) as app:
        contract = contract_of(app.settings)
        bounds = _served_bounds(app, contract)
        if bounds is None:
            raise LockstepError(
                "nothing was served with the running features yet",
                why="parity compares served rows with recomputed ones",
                remedy="run lockstep shadow or lockstep serve first",
            )
        report("parity", 0, 1)
        result = parity_audit(app.engine, app.lake, contract=contract, first_index=bounds[0], last_index=bounds[1])
        if not _audited_before(app, result):
            record_parity(app.engine, result, model_name=app.settings.registry.model_name)
        report("parity", 1, 1)
        return asdict(result)


@task(cache_policy=NO_CACHE)
def measure_drift(home: str, *, html: bool = False) -> dict[str, object]:
    """Compare the last served stretch with the reference of the serving (or challenging) bundle.

    ``html`` also writes Evidently's page to look at; the verdict never depends on it.
    """
    with open_app(home) as app:
        window = current_window(app)
        lineup = champion_lineup(app)
        seat = first_seat(lineup)
        if seat is None:
            raise LockstepError(
                "there is no bundle to compare with" + (f" ({lineup.detail})" if lineup.detail else ""),
                why="drift is measured against the data a model was trained on",
                remedy="run lockstep train first",
            )
        first, end = window.stretches.shadow_end, window.stretches.serve_end
        current = _served_rows(app, window.contract, first=first, end=end)
        reference = feature_reference(seat.bundle.reference, names=window.contract.names)
        report("drift", 0, 1)
        windows = _past_windows(app, window, seat.bundle, length=end - first)
        try:
            thresholds = calibrate_thresholds(windows, reference)
        except DriftError:
            thresholds = None  # too short a history to calibrate on: numbers without a verdict, said as UNKNOWN
        check = check_drift(current, reference, thresholds)
        report("drift", 1, 1)
        answer: dict[str, object] = {
            "bundle_hash": seat.bundle.hash,
            "first_ms": window.timeframe.open_time(first),
            "last_ms": window.timeframe.open_time(end - 1),
            "rows": check.rows,
            "verdict": check.verdict.value,
            "reason": check.reason,
            "false_alarm_rate": check.false_alarm_rate,
            "calibration_windows": check.calibration_windows,
            "features": [_plain(asdict(column)) for column in check.columns],
        }
        _record(app, answer)
        if html:
            answer["page"] = str(_page(app, np.concatenate(windows), current, window.contract.names))
        return answer


def _page(app: App, before: NDArray[np.float32], now: NDArray[np.float32], names: tuple[str, ...]) -> Path:
    report("evidently page", 0, 1)
    path = app.settings.home / "reports" / f"{app.settings.registry.model_name}-drift.html"
    write_atomically(path, evidently_html(before, now, names=names))
    report("evidently page", 1, 1)
    return path


def _served_bounds(app: App, contract: FeatureContract) -> tuple[int, int] | None:
    column = feature_rows.c.bar_ms
    query = select(column).where(feature_rows.c.contract == contract.fingerprint)
    with app.engine.connect() as connection:
        first = connection.scalar(query.order_by(column).limit(1))
        last = connection.scalar(query.order_by(column.desc()).limit(1))
    return None if first is None or last is None else (first // contract.timeframe_ms, last // contract.timeframe_ms)


def _served_rows(app: App, contract: FeatureContract, *, first: int, end: int) -> NDArray[np.float32]:
    """The exact bytes that were predicted on, ``(rows, F)``."""
    query = select(feature_rows.c.features).where(
        feature_rows.c.contract == contract.fingerprint,
        feature_rows.c.reason == 0,
        feature_rows.c.bar_ms >= first * contract.timeframe_ms,
        feature_rows.c.bar_ms < end * contract.timeframe_ms,
    )
    with app.engine.connect() as connection:
        rows = connection.scalars(query).all()
    return np.frombuffer(b"".join(rows), dtype="<f4").reshape(-1, len(contract.names))


def _past_windows(app: App, window: Window, bundle: LoadedBundle, *, length: int) -> list[NDArray[np.float32]]:
    """Windows of the served length that follow each other in the training stretch, all symbols together."""
    end = train_end_index(bundle)
    symbols = bundle_symbols(bundle)
    histories = load_histories(
        app.lake, symbols, window.contract, first_index=window.stretches.first, end_index=end, cache=block_cache(app)
    )
    windows = []
    for k in range(_CALIBRATION_WINDOWS):
        lo, hi = end - (k + 1) * length, end - k * length
        if lo < window.stretches.first + window.contract.warmup_bars:
            break
        rows = []
        for one in histories:
            start = one.features.first_index
            part = slice(max(lo - start, 0), max(hi - start, 0))
            rows.append(one.features.values[part][one.features.reason[part] == 0])
        windows.append(np.concatenate(rows))
    return windows


def _audited_before(app: App, result: ParityResult) -> bool:
    """Whether the last audit of this model looked at the same rows and found the same."""
    runs = parity_runs.c
    query = select(runs.contract, runs.first_ms, runs.last_ms, runs.rows, runs.identical)
    query = query.where(runs.model_name == app.settings.registry.model_name).order_by(runs.id.desc()).limit(1)
    with app.engine.connect() as connection:
        last = connection.execute(query).one_or_none()
    found = (result.contract, result.first_ms, result.last_ms, result.rows, result.identical)
    return last is not None and tuple(last) == found


def _record(app: App, answer: dict[str, object]) -> None:
    """Keep the check, unless the last one of this model looked at the same rows and found the same."""
    stored = {name: answer[name] for name in ("bundle_hash", "first_ms", "last_ms", "rows", "verdict", "features")}
    runs = drift_runs.c
    query = select(*(runs[name] for name in stored)).where(runs.model_name == app.settings.registry.model_name)
    with app.engine.begin() as connection:
        last = connection.execute(query.order_by(runs.id.desc()).limit(1)).mappings().one_or_none()
        if last is not None and dict(last) == stored:
            return
        connection.execute(insert(drift_runs).values(model_name=app.settings.registry.model_name, **stored))


def _plain(column: dict[str, object]) -> dict[str, object]:
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in column.items()
    }
