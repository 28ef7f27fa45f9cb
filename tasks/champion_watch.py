"""Does the champion still deserve to serve, and if not, who takes it back?

Every check is stored with its numbers. Where one fires, the champion before comes back by itself (settings
``rollback``), and the row says so; evidence begins anew with each change of champion, so the same rows never act twice
and no bundle that was left comes back. With nothing sound to return to, trading halts instead.
"""

from collections.abc import Sequence
from dataclasses import asdict

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import insert, select

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from infra.tables import trigger_checks
from market.errors import LockstepError
from market.timeframe import Timeframe
from registry.deployments import Deployment, current_champion
from registry.errors import PromotionError
from registry.load import LoadedBundle
from serving.halt import set_halt
from serving.outcomes import resolve_outcomes
from tasks.champion_checks import Check, degraded_check, harm_check, parity_check
from tasks.lineups import bundle_symbols, train_end_index
from tasks.rolling_back import roll_back
from tasks.stores import bundle_cache

__all__ = ["check_champion", "watch", "watch_champion"]

WHO = "automatic"


@task(cache_policy=NO_CACHE)
def watch_champion(home: str) -> dict[str, object]:
    """Check the champion of a home by stored rows; roll it back, or halt, where a check fires."""
    with open_app(home) as app:
        return watch(app)


def watch(app: App) -> dict[str, object]:
    """The same for an open home; one at a time, and never during a promotion."""
    with exclusive(app.engine, f"promotion of {app.settings.registry.model_name}"):
        champion = current_champion(app.engine, app.settings.registry.model_name)
        if champion is None:
            return {"verdict": "none", "reason": "There is no champion to watch.", "checks": [], "action": None}
        checks = check_champion(app, champion)
        action = _act(app, [one for one in checks if one.verdict == "fired"])
        _store(app, champion, checks, action)
        return {
            "verdict": "fired" if any(one.verdict == "fired" for one in checks) else "quiet",
            "version": champion.version,
            "bundle_hash": champion.bundle_hash,
            "checks": [asdict(one) for one in checks],
            "action": action,
        }


def check_champion(app: App, champion: Deployment) -> tuple[Check, ...]:
    """Every check of this champion now; changes nothing but outcomes that can be resolved."""
    limits = app.settings.rollback
    return (
        _harm(app, champion),
        parity_check(app.engine, champion, least=limits.min_parity),
        degraded_check(app.engine, champion, limits),
    )


def _harm(app: App, champion: Deployment) -> Check:
    try:
        bundle = bundle_cache(app).load(champion.bundle_hash)
        _resolve(app, bundle)
        return harm_check(
            app.engine,
            champion,
            horizon_bars=bundle.label_spec.horizon_bars,
            label_spec=bundle.label_spec.fingerprint,
            timeframe=Timeframe(bundle.contract.timeframe_ms),
            limit=app.settings.rollback.harm_e_value,
        )
    except LockstepError as bad:  # told with the other checks, which still count
        return Check(name="harm", verdict="unknown", reason=f"it could not be measured: {bad.what}", inputs={})


def _resolve(app: App, bundle: LoadedBundle) -> None:
    symbols, timeframe = bundle_symbols(bundle), Timeframe(bundle.contract.timeframe_ms)
    marks = [mark for mark in (app.lake.watermark(symbol, timeframe) for symbol in symbols) if mark is not None]
    if marks:
        resolve_outcomes(
            app.engine,
            app.lake,
            label_spec=bundle.label_spec,
            contract=bundle.contract,
            symbols=symbols,
            start_index=train_end_index(bundle),
            end_index=timeframe.index_of(max(marks)) + 1,
        )


def _act(app: App, fired: Sequence[Check]) -> str | None:
    if not fired:
        return None
    why = "; ".join(f"{one.name}: {one.reason}" for one in fired)
    if not app.settings.rollback.automatic:
        return "told only, as rollback.automatic is off"
    try:
        done = roll_back(app, why=why, who=WHO)
    except PromotionError as bad:
        set_halt(app.engine, on=True, why=f"{why}. No rollback: {bad.what}", who=WHO)
        return f"halted: {bad.what}"
    return f"rolled back to version {done.target.version}"


def _store(app: App, champion: Deployment, checks: Sequence[Check], action: str | None) -> None:
    """One row a check, unless the last of its name found the same of the same champion and nothing was done."""
    t = trigger_checks.c
    with app.engine.begin() as connection:
        for one in checks:
            row = {
                "bundle_hash": champion.bundle_hash,
                "verdict": one.verdict,
                "reason": one.reason,
                "inputs": {**one.inputs, "deployment": champion.id},
                "action": action if one.verdict == "fired" else None,
            }
            query = select(*(t[name] for name in row)).where(t.model_name == champion.model_name, t.name == one.name)
            last = connection.execute(query.order_by(t.id.desc()).limit(1)).mappings().one_or_none()
            if last is None or dict(last) != row:
                connection.execute(insert(trigger_checks).values(model_name=champion.model_name, name=one.name, **row))
