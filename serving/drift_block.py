"""Does a verdict of drift keep the champion from speaking?

Only if asked to, and only while the verdict is young. Predictions, paper trades and the shadow go on and are recorded
as ever, so the next check has rows to judge and its verdict lifts the block; nobody has to throw a switch.
"""

from sqlalchemy import Engine, select

from infra.tables import drift_runs
from market.timeframe import HOUR_MS
from serving.states import OK

__all__ = ["CRITICAL_DRIFT", "drift_cause", "is_drift_blocking"]

CRITICAL_DRIFT = "HIGH"
_NOT_JUDGED = "UNKNOWN"


def is_drift_blocking(verdict: str, *, last_bar_ms: int, now_ms: int, max_age_hours: int) -> bool:
    """Whether this verdict about bars up to ``last_bar_ms`` blocks at ``now_ms``.

    >>> is_drift_blocking("HIGH", last_bar_ms=0, now_ms=2 * HOUR_MS, max_age_hours=2)
    True
    >>> is_drift_blocking("HIGH", last_bar_ms=0, now_ms=2 * HOUR_MS + 1, max_age_hours=2)
    False
    """
    return verdict == CRITICAL_DRIFT and now_ms - last_bar_ms <= max_age_hours * HOUR_MS


def drift_cause(
    engine: Engine, *, model_name: str, bundle_hash: str | None, now_ms: int, max_age_hours: int | None
) -> str:
    """``drift_block`` while the newest verdict about this bundle blocks, else ``ok``; None hours switch it off.

    A check that could not judge is no verdict and lifts nothing.
    """
    if max_age_hours is None or bundle_hash is None:
        return OK
    runs = drift_runs.c
    query = select(runs.verdict, runs.last_ms).where(
        runs.model_name == model_name, runs.bundle_hash == bundle_hash, runs.verdict != _NOT_JUDGED
    )
    with engine.connect() as connection:
        newest = connection.execute(query.order_by(runs.id.desc()).limit(1)).one_or_none()
    if newest is None:
        return OK
    blocks = is_drift_blocking(newest.verdict, last_bar_ms=newest.last_ms, now_ms=now_ms, max_age_hours=max_age_hours)
    return "drift_block" if blocks else OK
