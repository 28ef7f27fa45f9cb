"""How does an earlier champion come back, checked before anything changes?

The bundle to return to is loaded with every check, from this machine's cache or, where it lacks it, from MLflow; only
then does the champion change. With MLflow down the cache is enough. One function for a person and for the watch.
"""

from dataclasses import dataclass
from time import perf_counter

from infra.bootstrap import App
from market.errors import LockstepError
from registry.deployments import Deployment, deployment_history
from registry.errors import BundleError, PromotionError
from registry.promotion import fetch_version, find_rollback, rollback
from tasks.stores import bundle_cache, model_store

__all__ = ["RolledBack", "roll_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """From which champion to which; ``done`` None for a dry run. ``check_s`` and ``change_s`` are seconds."""

    before: Deployment
    target: Deployment
    done: Deployment | None
    check_s: float
    change_s: float


def roll_back(app: App, *, why: str, who: str, to_version: int | None = None, dry_run: bool = False) -> RolledBack:
    """Return to the champion before this one, or to a former champion by version.

    Raises ``PromotionError`` where nothing would change or the bundle to return to cannot be loaded: then what serves
    goes on serving.
    """
    if not why.strip():
        raise PromotionError(
            "a rollback without a reason",
            why="whoever reads it later must know what went wrong",
            remedy="give --reason",
        )
    name, began = app.settings.registry.model_name, perf_counter()
    history = deployment_history(app.engine, name)
    target = find_rollback(history, to_version)
    before = history[-1]
    _require_loadable(app, target)
    checked = perf_counter()
    done = None
    if not dry_run:
        done = rollback(
            app.engine,
            model_store(app),
            model_name=name,
            why=why,
            who=who,
            to_version=to_version,
            seen=before,
            serving_mode=app.settings.serving.mode,
        )
    return RolledBack(
        before=before, target=target, done=done, check_s=checked - began, change_s=perf_counter() - checked
    )


def _require_loadable(app: App, target: Deployment) -> None:
    cache = bundle_cache(app)
    try:
        if not cache.has(target.bundle_hash):
            fetch_version(model_store(app), cache, target.version, target.bundle_hash)
        cache.load(target.bundle_hash)
    except (BundleError, LockstepError) as bad:
        raise PromotionError(
            f"version {target.version} cannot serve here ({bad.what})",
            why=f"{bad.why}; the champion stays what it is",
            remedy="roll back to another version with --to, or stop trading with lockstep halt",
        ) from bad
