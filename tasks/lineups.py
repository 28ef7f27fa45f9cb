"""Who is champion and who is challenger in this home, loaded and verified?

The champion is what the last deployment row says; the challenger is MLflow's alias. A champion moved by hand in the
MLflow UI is taken over through the same checks, or refused with the reason while the last good one goes on.
"""

from infra.bootstrap import App
from infra.scratch import scratch_directory
from market.errors import LockstepError
from registry.deployments import current_champion
from registry.errors import BundleContractError, StoreError
from registry.load import LoadedBundle
from registry.look import look_at_registry
from registry.mlflow_store import ModelStore
from serving.lineup import Lineup, ServedBundle
from tasks.stores import bundle_cache, model_store

__all__ = [
    "bundle_symbols",
    "challenger_of",
    "challengers_of",
    "champion_lineup",
    "fetch_bundle",
    "first_seat",
    "local_lineup",
    "train_end_index",
]


def champion_lineup(app: App) -> Lineup:
    """The line-up of this home now, with what is wrong with it, if anything."""
    store, name = model_store(app), app.settings.registry.model_name
    look = look_at_registry(
        app.engine, store, bundle_cache(app), model_name=name, serving_mode=app.settings.serving.mode
    )
    cause, detail = look.cause, look.detail
    deployed = current_champion(app.engine, name)
    champion = None
    if deployed is not None:
        try:
            champion = ServedBundle(
                bundle=fetch_bundle(app, store, deployed.bundle_hash, deployed.version), version=deployed.version
            )
        except BundleContractError as error:
            cause, detail = "contract_mismatch", str(error)
        except LockstepError as error:
            cause, detail = "bundle_refused", str(error)
    challengers, left_out = ((), "") if cause == "registry_down" else challengers_of(app, store)
    return Lineup(champion=champion, challengers=challengers, cause=cause, detail=detail or left_out)


def local_lineup(app: App) -> Lineup | None:
    """The champion from this machine's cache alone, without a question to MLflow; None where that is not enough."""
    deployed = current_champion(app.engine, app.settings.registry.model_name)
    cache = bundle_cache(app)
    if deployed is None or not cache.has(deployed.bundle_hash):
        return None
    try:
        bundle = cache.load(deployed.bundle_hash)
    except LockstepError:
        return None
    return Lineup(champion=ServedBundle(bundle=bundle, version=deployed.version))


def first_seat(lineup: Lineup) -> ServedBundle | None:
    """The champion, the first challenger where there is none, or nobody."""
    return next((one for _, one in lineup.seats()), None)


def challenger_of(app: App, store: ModelStore) -> ServedBundle | None:
    """The loaded challenger, or None when nobody challenges."""
    version = store.get_alias("challenger")
    if version is None:
        return None
    registered = store.version(version)
    return ServedBundle(bundle=fetch_bundle(app, store, registered.bundle_hash, version), version=version)


def challengers_of(app: App, store: ModelStore) -> tuple[tuple[ServedBundle, ...], str]:
    """Whoever is shadow-tested: the alias ``challenger``, which the gates will judge, then ``challenger-...`` by name.

    One that does not load is left out, with the words for it: whoever serves goes on without it.
    """
    found: list[ServedBundle] = []
    left_out = ""
    try:
        aliases = store.aliases()
    except StoreError as error:
        return (), f"the challengers are left out: {error}"
    for alias in sorted(name for name in aliases if name == "challenger" or name.startswith("challenger-")):
        try:
            version = store.version(aliases[alias])
            bundle = fetch_bundle(app, store, version.bundle_hash, version.version)
            found.append(ServedBundle(bundle=bundle, version=version.version))
        except LockstepError as error:
            left_out = left_out or f"the {alias} is left out: {error}"
    return tuple(found), left_out


def fetch_bundle(app: App, store: ModelStore, bundle_hash: str, version: int) -> LoadedBundle:
    """A verified bundle from the cache, downloaded first when this machine does not have it."""
    cache = bundle_cache(app)
    if not cache.has(bundle_hash):
        with scratch_directory(app.settings.home / "tmp", prefix="download-") as scratch:
            made = scratch / "bundle"
            store.download(version, made)
            cache.put(made, bundle_hash)
    return cache.load(bundle_hash)


def bundle_symbols(bundle: LoadedBundle) -> tuple[str, ...]:
    """The symbols a bundle was trained on, in its order."""
    symbols = bundle.facts["symbols"]
    return tuple(str(name) for name in symbols) if isinstance(symbols, list) else ()


def train_end_index(bundle: LoadedBundle) -> int:
    """The first bar a bundle has not seen."""
    return int(str(bundle.facts["train_end_ms"])) // bundle.contract.timeframe_ms
