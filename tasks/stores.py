"""Where are models registered, and where are sealed bundles kept on this machine?"""

from urllib.parse import urlsplit

from infra.block_cache import BlockCache
from infra.bootstrap import App
from infra.database import database_url
from registry.cache import BundleCache
from registry.mlflow_store import ModelStore

__all__ = ["block_cache", "bundle_cache", "model_store", "tracking_uri"]


def tracking_uri(app: App) -> str:
    """MLflow's address: the one in the settings, or a database of its own beside Lockstep's."""
    return app.settings.registry.tracking_uri or database_url(app.engine, "mlflow")


def model_store(app: App) -> ModelStore:
    """The registry of this home; a server keeps the artifacts itself, where other machines reach them too."""
    uri = tracking_uri(app)
    return ModelStore(
        uri,
        artifact_root=None if urlsplit(uri).scheme in ("http", "https") else app.settings.home / "mlflow-artifacts",
        model_name=app.settings.registry.model_name,
        patience_s=app.settings.registry.timeout_s,
    )


def bundle_cache(app: App) -> BundleCache:
    """Sealed bundles by hash, which the worker loads from."""
    return BundleCache(app.settings.home / "bundles")


def block_cache(app: App) -> BlockCache:
    """Finished feature blocks."""
    return BlockCache(app.settings.home / "lake" / "features")
