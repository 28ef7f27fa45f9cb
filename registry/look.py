"""What does MLflow say about the champion, and who is told?

A look lets the aliases show what was decided, takes over a ``champion`` alias that somebody moved, fetches the
champion's bundle where this machine lacks it, and writes down what it found, so that ``lockstep status`` can tell it
without asking MLflow. It never raises for a registry that is down or a version that is refused: what serves keeps
serving.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Engine

from infra.heartbeats import beat, read_heartbeats
from registry.cache import BundleCache
from registry.challenger import note_challenger
from registry.deployments import current_champion, disputed
from registry.errors import BundleError, PromotionError, StoreError
from registry.mlflow_store import ModelStore
from registry.promotion import ServingMode, adopt_alias, fetch_version

__all__ = ["NOTHING_WRONG", "RegistryLook", "last_look", "look_at_registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLook:
    """What one look found: a cause of the fail-closed table and its reason, or a ``note`` that stops nothing."""

    cause: str = "ok"
    detail: str = ""
    note: str = ""


NOTHING_WRONG = RegistryLook()


def look_at_registry(
    engine: Engine, store: ModelStore, cache: BundleCache, *, model_name: str, serving_mode: ServingMode
) -> RegistryLook:
    """Look once, act on it, and write it down."""
    try:
        adopt_alias(engine, store, cache, model_name=model_name, serving_mode=serving_mode)
        note_challenger(engine, store)
        two = disputed(engine, model_name) or _same_number_other_bundle(engine, store, model_name)
        if two:
            found = RegistryLook(cause="two_champions", detail=two)
        else:
            found = RegistryLook(note=_champion_in_mlflow(engine, store, cache, model_name))
    except StoreError as error:
        found = RegistryLook(cause="registry_down", detail=str(error))
    except (PromotionError, BundleError) as error:
        found = RegistryLook(cause="bundle_refused", detail=str(error))
    beat(engine, _component(model_name), asdict(found))
    return found


def last_look(engine: Engine, model_name: str) -> Mapping[str, object] | None:
    """The last look at this model's registry with its ``age_s``, or None before the first one."""
    beaten = read_heartbeats(engine).get(_component(model_name))
    return None if beaten is None else {**beaten.detail, "age_s": beaten.age_s}


def _champion_in_mlflow(engine: Engine, store: ModelStore, cache: BundleCache, model_name: str) -> str:
    champion = current_champion(engine, model_name)
    if champion is None:
        return ""
    here = champion.bundle_hash in cache.hashes()
    holds = store.bundle_of(champion.version) == champion.bundle_hash
    version = champion.version if holds else store.find_version_by_hash(champion.bundle_hash)
    if version is not None:
        if not here:
            fetch_version(store, cache, version, champion.bundle_hash)
        return ""
    serves = "it serves from the local cache" if here else "nothing can load it here"
    return f"champion version {champion.version} was deleted in MLflow; {serves}. Promote another version, or roll back"


def _same_number_other_bundle(engine: Engine, store: ModelStore, model_name: str) -> str:
    """MLflow's champion has the number of ours and another bundle: whether it was meant, its number cannot say."""
    champion = current_champion(engine, model_name)
    if champion is None or store.get_alias("champion") != champion.version:
        return ""
    holds = store.bundle_of(champion.version)
    if holds in (None, champion.bundle_hash):
        return ""
    return (
        f"version {champion.version} is champion with bundle {champion.bundle_hash[:12]} in PostgreSQL "
        f"and with {str(holds)[:12]} in MLflow"
    )


def _component(model_name: str) -> str:
    return f"registry {model_name}"
