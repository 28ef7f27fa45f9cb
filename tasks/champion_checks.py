"""What speaks against the champion, from stored rows alone?

Three checks since it became champion: harm (its forecasts are worse than class shares, or than its predecessor's on the
same bars), parity (served features are not what batch computes), degraded bars (signals it could not give itself). Each
says ``fired``, ``quiet`` or ``unknown`` with its numbers; what cannot be measured fires nothing and is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sqlalchemy import Engine, and_, func, or_, select

from infra.settings_groups import RollbackSettings
from infra.tables import bundles, parity_runs, predictions, signals
from learning.climatology import Climatology
from learning.e_process import checkpoint_bars, e_process
from learning.metrics import log_loss_rows
from learning.significance import BarSeries, bar_series
from market.candles import Floats
from market.timeframe import Timeframe
from registry.deployments import Deployment
from tasks.decision_evidence import climatology_in
from tasks.shadow_evidence import ShadowRows, shadow_rows

__all__ = ["CHAMPION_FAULTS", "Check", "degraded_check", "harm_check", "parity_check"]

CHAMPION_FAULTS = ("constant_output", "contract_mismatch", "model_error", "no_quorum")
"""Reasons of the fail-closed table that another bundle could do away with; a refused bundle counts beside them."""
_BOUND = 0.25
Verdict = Literal["fired", "quiet", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its name, verdict, reason in a sentence and the numbers it rests on."""

    name: str
    verdict: Verdict
    reason: str
    inputs: Mapping[str, object]


def harm_check(
    engine: Engine,
    champion: Deployment,
    *,
    horizon_bars: int,
    label_spec: str,
    timeframe: Timeframe,
    limit: float,
) -> Check:
    """Bet that the champion's forecasts lose to class shares, and to its predecessor's where both predicted."""
    rows = _rows_since(engine, champion, label_spec=label_spec, timeframe=timeframe, horizon_bars=horizon_bars)
    if rows is None or rows.y.size == 0:
        return _unknown("harm", "none of its predictions has an outcome yet", {"resolved": 0})
    shares = _climatology(engine, champion.bundle_hash).forecast(rows.sides)
    found: dict[str, float] = {"class shares": _harm(rows, shares, horizon_bars)}
    if np.isfinite(rows.champion).all(axis=1).any():
        found["its predecessor"] = _harm(rows, rows.champion, horizon_bars)
    against = max(found, key=lambda name: found[name])
    first, last = int(rows.bar_index.min()), int(rows.bar_index.max())
    looks = checkpoint_bars(first_index=first, last_index=last, horizon_bars=horizon_bars).size
    inputs = {"resolved": int(rows.y.size), "checkpoints": int(looks), "e_values": found, "limit": limit}
    if not looks:
        return _unknown("harm", "the first checkpoint of the comparison is not reached yet", inputs)
    text = f"e-value {found[against]:.2f} that it is worse than {against}, limit {limit:g}"
    return Check(name="harm", verdict="fired" if found[against] >= limit else "quiet", reason=text, inputs=inputs)


def parity_check(engine: Engine, champion: Deployment, *, least: float) -> Check:
    """The last audit of served features since the champion's promotion."""
    runs = parity_runs.c
    query = select(runs.id, runs.rows, runs.identical).where(
        runs.model_name == champion.model_name, runs.created_at >= champion.created_at
    )
    with engine.connect() as connection:
        last = connection.execute(query.order_by(runs.id.desc()).limit(1)).one_or_none()
    if last is None or last.rows == 0:
        return _unknown("parity", "no audit since it became champion: run lockstep parity", {})
    share = last.identical / last.rows
    inputs = {"parity_run": last.id, "rows": last.rows, "identical": last.identical, "least": least}
    text = (
        f"{last.identical:,} of {last.rows:,} served feature rows are what batch computes, at least {least:.2%} asked"
    )
    return Check(name="parity", verdict="fired" if share < least else "quiet", reason=text, inputs=inputs)


def degraded_check(engine: Engine, champion: Deployment, settings: RollbackSettings) -> Check:
    """The share of signals on the newest bars that the champion itself could not give."""
    s = signals.c
    mine = and_(s.model_name == champion.model_name, s.decided_at >= champion.created_at)
    newest = select(s.bar_ms).where(mine).distinct().order_by(s.bar_ms.desc()).limit(settings.window_bars).subquery()
    at_fault = or_(
        s.reason.in_(CHAMPION_FAULTS),
        and_(s.reason == "bundle_refused", or_(s.bundle_hash.is_(None), s.bundle_hash != champion.bundle_hash)),
    )
    query = select(
        func.count().label("all"), func.count().filter(at_fault).label("bad"), func.count(s.bar_ms.distinct())
    ).where(mine, s.bar_ms.in_(select(newest.c.bar_ms)))
    with engine.connect() as connection:
        total, bad, bars = connection.execute(query).one()
    inputs = {"signals": total, "degraded": bad, "bars": bars, "limit": settings.max_degraded}
    if total == 0:
        return _unknown("degraded", "nothing was served since it became champion", inputs)
    text = f"{bad:,} of {total:,} signals of the last {bars} bars it could not give, limit {settings.max_degraded:.1%}"
    fired = bad / total > settings.max_degraded
    return Check(name="degraded", verdict="fired" if fired else "quiet", reason=text, inputs=inputs)


def _rows_since(
    engine: Engine, champion: Deployment, *, label_spec: str, timeframe: Timeframe, horizon_bars: int
) -> ShadowRows | None:
    """Resolved predictions it made as champion, beside its predecessor's of the same bars."""
    p = predictions.c
    query = select(func.min(p.bar_ms), func.max(p.bar_ms)).where(
        p.bundle_hash == champion.bundle_hash, p.role == "champion", p.decided_at >= champion.created_at
    )
    with engine.connect() as connection:
        first, last = connection.execute(query).one()
    if first is None:
        return None
    return shadow_rows(
        engine,
        bundle_hash=champion.bundle_hash,
        champion_hash=champion.previous_hash,
        label_spec=label_spec,
        timeframe=timeframe,
        first=first // timeframe.ms,
        end=last // timeframe.ms + horizon_bars + 2,
    )


def _harm(rows: ShadowRows, reference: Floats, horizon_bars: int) -> float:
    both = np.isfinite(reference).all(axis=1)
    worse = log_loss_rows(rows.ours[both], rows.y[both]) - log_loss_rows(reference[both], rows.y[both])
    series: BarSeries = bar_series(worse, bar_index=rows.bar_index[both])
    return e_process(series, horizon_bars=horizon_bars, bound=_BOUND, origin=int(rows.bar_index.min())).largest


def _climatology(engine: Engine, bundle_hash: str) -> Climatology:
    with engine.connect() as connection:
        facts: Any = connection.execute(select(bundles.c.facts).where(bundles.c.bundle_hash == bundle_hash)).scalar()
    return climatology_in(facts or {}, bundle_hash)


def _unknown(name: str, reason: str, inputs: Mapping[str, object]) -> Check:
    return Check(name=name, verdict="unknown", reason=reason, inputs=inputs)
