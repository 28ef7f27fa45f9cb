"""How do MLflow's aliases come to show what PostgreSQL has decided?

``champion``, ``previous`` and ``challenger`` are moved in an order that leaves ``champion`` resolvable at every step,
and the deployment they show is noted on the model last: what a crash or a dead registry left undone, the next call
does. Only one process at a time moves them. It holds no lock of the champion meanwhile, so a slow registry keeps nobody
from promoting or rolling back; whoever changes the champion then waits here and shows the newest.
"""

from contextlib import suppress

from sqlalchemy import Engine, text

from infra.locks import lock_key
from registry.deployments import Deployment, deployment_history, rollback_target
from registry.errors import StoreError
from registry.mlflow_store import Alias, ModelStore

__all__ = ["show_champion", "sync_aliases"]


def sync_aliases(engine: Engine, store: ModelStore, *, model_name: str) -> Deployment | None:
    """Let MLflow's aliases show the champion if they do not yet, or no longer; returns the champion.

    An alias deleted by hand is put back. One moved by hand after the last deployment was shown stays visible to
    ``adopt_alias``. Safe to run at any time and twice.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(f"aliases {model_name}")})
        history = deployment_history(engine, model_name)
        if not history:
            return None
        champion = history[-1]
        if store.synced_deployment() == champion.id and "champion" in store.aliases():
            return champion
        _point(store, "previous", rollback_target(history))
        shown = _point(store, "champion", champion)
        if shown is not None and store.get_alias("challenger") == shown:
            store.remove_alias("challenger")
        store.mark_synced(champion.id)
        return champion


def show_champion(engine: Engine, store: ModelStore, *, model_name: str) -> None:
    """``sync_aliases`` after a change that is made already: a registry that is down takes nothing of it back."""
    with suppress(StoreError):
        sync_aliases(engine, store, model_name=model_name)


def _point(store: ModelStore, alias: Alias, row: Deployment | None) -> int | None:
    """Point an alias at the version of a deployment, or at another one of the same bundle; without any it goes."""
    version = None
    if row is not None:
        # A registry that was made anew counts from 1 again: the number alone says nothing about what it holds.
        holds = store.bundle_of(row.version) == row.bundle_hash
        version = row.version if holds else store.find_version_by_hash(row.bundle_hash)
    if version is None:
        store.remove_alias(alias)
    else:
        store.set_alias(alias, version)
    return version
