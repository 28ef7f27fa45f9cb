"""How does another bundle become champion, and how does the old one come back?

Each change is one PostgreSQL transaction under the model's lock: compare-and-swap on the champion the caller saw, one
row in ``deployments``. Only then are MLflow's aliases moved (``registry.alias_sync``). Killed anywhere, or with MLflow
gone, either the old or the new champion is the truth, and ``sync_aliases`` finishes what was begun; a ``champion``
alias deleted by hand it puts back. An alias moved by hand differs from the truth although nothing is pending:
``adopt_alias`` takes it over after the same integrity checks, or refuses and says why. What is refused has changed
nothing.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine

from market.errors import LockstepError
from registry.alias_sync import show_champion, sync_aliases
from registry.cache import BundleCache
from registry.cards import load_card
from registry.catalog import known_bundle, record_bundle
from registry.deployments import (
    Deployment,
    append,
    changing_champion,
    current_champion,
    deployment_history,
    rollback_target,
)
from registry.errors import BundleError, PromotionError, RegistryDownError, StoreError
from registry.load import load_bundle
from registry.mlflow_store import ModelStore

__all__ = [
    "Deployment",
    "ServingMode",
    "adopt_alias",
    "current_champion",
    "deployment_history",
    "fetch_version",
    "find_rollback",
    "promote",
    "rollback",
    "rollback_target",
    "sync_aliases",
]

ServingMode = Literal["observe", "paper", "live"]


def promote(
    engine: Engine,
    store: ModelStore,
    *,
    model_name: str,
    bundle_hash: str,
    version: int,
    expected_champion: str | None,
    card_id: int,
    why: str,
    who: str,
    serving_mode: ServingMode = "paper",
) -> Deployment:
    """Make a registered version champion on the strength of its decision card.

    ``expected_champion`` is the bundle hash the gates compared with (None: there was none). Raises ``PromotionError``,
    and ``StoreError`` for a registry that cannot say what the version holds. Once the row stands the promotion is made:
    a registry that goes down then only leaves the aliases behind.
    """
    card = load_card(engine, card_id)
    if card.model_name != model_name or card.bundle_hash != bundle_hash:
        raise _refused(
            f"card {card_id} judged bundle {card.bundle_hash[:12]}", "its numbers say nothing about this one"
        )
    if card.verdict not in ("promote", "force"):
        raise _refused(f"card {card_id} says {card.verdict}", card.reason)
    if card.champion_hash != expected_champion:
        seen, asked = _short(card.champion_hash), _short(expected_champion)
        raise _refused(f"card {card_id} compared with {seen}", f"the champion to replace is {asked}")
    registered = store.version(version)
    if registered.bundle_hash != bundle_hash:
        raise _refused(f"version {version} holds bundle {registered.bundle_hash[:12]}", "another one was judged")
    _check_mode(synthetic=registered.synthetic, serving_mode=serving_mode)
    with changing_champion(engine, model_name) as (connection, champion, _):
        _check_swap(champion, expected_champion=expected_champion, bundle_hash=bundle_hash)
        made = append(
            connection,
            model_name=model_name,
            bundle_hash=bundle_hash,
            version=version,
            previous=champion,
            action="promote",
            card_id=card_id,
            why=why,
            who=who,
        )
    show_champion(engine, store, model_name=model_name)
    return made


def rollback(
    engine: Engine,
    store: ModelStore,
    *,
    model_name: str,
    why: str,
    who: str,
    to_version: int | None = None,
    seen: Deployment | None = None,
    serving_mode: ServingMode = "paper",
) -> Deployment:
    """Return to the champion before this one, or to a version that was champion before.

    Needs PostgreSQL alone: with MLflow down the change is made and the aliases follow at the next ``sync_aliases``.
    Look first whether the bundle that ``find_rollback`` names can be loaded, and pass the champion of then as ``seen``.
    Raises ``PromotionError`` when there is nothing to return to, nothing would change, or another change came between.
    """
    with changing_champion(engine, model_name) as (connection, champion, history):
        target = find_rollback(history, to_version)
        if seen is not None and history[-1].id != seen.id:
            raise _refused(
                "somebody else changed the champion meanwhile", "what was looked at is no longer what serves"
            )
        known = known_bundle(engine, target.bundle_hash)
        _check_mode(synthetic=True if known is None else known.synthetic, serving_mode=serving_mode)
        made = append(
            connection,
            model_name=model_name,
            bundle_hash=target.bundle_hash,
            version=target.version,
            previous=champion,
            action="rollback",
            card_id=target.card_id,
            why=why,
            who=who,
        )
    show_champion(engine, store, model_name=model_name)
    return made


def adopt_alias(
    engine: Engine,
    store: ModelStore,
    cache: BundleCache,
    *,
    model_name: str,
    who: str = "mlflow",
    serving_mode: ServingMode = "paper",
) -> Deployment | None:
    """Take over a ``champion`` alias that somebody moved in MLflow; None when there is nothing to take over.

    The bundle is downloaded, loaded with every check and put into the cache first. Raises ``PromotionError`` when it
    must not serve: the champion stays what it was, and the alias stays where the person put it. ``RegistryDownError``
    when MLflow cannot be asked, which says nothing about the version.
    """
    champion = sync_aliases(engine, store, model_name=model_name)
    version = store.get_alias("champion")
    if version is None or (champion is not None and version == champion.version):
        return None
    try:
        registered = store.version(version)
        now = current_champion(engine, model_name)
        if now is not None and now.bundle_hash == registered.bundle_hash:
            return None  # the same bundle under another number, or a promotion of this moment
        fetch_version(store, cache, version, registered.bundle_hash)
        bundle = cache.load(registered.bundle_hash)
    except RegistryDownError:
        raise
    except (BundleError, StoreError) as bad:
        raise _not_adopted(version, champion, bad) from bad
    record_bundle(engine, bundle, model_name=model_name, version=version)
    try:
        _check_mode(synthetic=bool(bundle.facts["synthetic"]), serving_mode=serving_mode)
        expected = None if champion is None else champion.bundle_hash
        with changing_champion(engine, model_name) as (connection, now, _):
            _check_swap(now, expected_champion=expected, bundle_hash=bundle.hash)
            made = append(
                connection,
                model_name=model_name,
                bundle_hash=bundle.hash,
                version=version,
                previous=now,
                action="adopt",
                card_id=None,
                why="the champion alias was moved in MLflow",
                who=who,
            )
    except PromotionError as bad:
        raise _not_adopted(version, champion, bad) from bad
    show_champion(engine, store, model_name=model_name)
    return made


def fetch_version(store: ModelStore, cache: BundleCache, version: int, bundle_hash: str) -> None:
    """Put a version's bundle into the cache if it is not there, loaded once with every check before it counts."""
    if cache.has(bundle_hash):
        return
    with tempfile.TemporaryDirectory(prefix="lockstep-adopt-") as scratch:
        made = Path(scratch) / "bundle"
        store.download(version, made)
        load_bundle(made, expected_hash=bundle_hash)
        cache.put(made, bundle_hash)


def find_rollback(history: Sequence[Deployment], to_version: int | None = None) -> Deployment:
    """The deployment a rollback would return to; raises ``PromotionError`` where it would be refused."""
    if not history:
        raise _refused("there is no champion", "a rollback returns from one champion to an earlier one")
    champion = history[-1]
    if to_version is None:
        target = rollback_target(history)
        if target is None:
            raise _refused(f"version {champion.version} has no champion before it", "there is nothing to return to")
        return target
    if to_version == champion.version:
        raise _refused(f"version {to_version} is champion already", "a rollback that changes nothing hides a mistake")
    matching = [row for row in history if row.version == to_version]
    if not matching:
        raise _refused(f"version {to_version} was never champion", "it has passed no gate; promote it instead")
    return matching[-1]


def _check_swap(champion: Deployment | None, *, expected_champion: str | None, bundle_hash: str) -> None:
    found = None if champion is None else champion.bundle_hash
    if found == bundle_hash:
        raise _refused(f"bundle {bundle_hash[:12]} is champion already", "nothing would change")
    if found != expected_champion:
        raise _refused(
            f"the champion is {_short(found)}, expected {_short(expected_champion)}",
            "somebody else changed it meanwhile, so the comparison no longer holds",
        )


def _check_mode(*, synthetic: bool, serving_mode: ServingMode) -> None:
    if synthetic and serving_mode == "live":
        raise _refused(
            "the bundle was trained on a synthetic market (or its origin is unknown)",
            "serving is live, and it knows nothing about a real market",
        )


def _not_adopted(version: int, champion: Deployment | None, bad: LockstepError) -> PromotionError:
    stays = "no champion serves" if champion is None else f"version {champion.version} keeps serving"
    return PromotionError(
        f"version {version}, made champion in MLflow, is not taken over ({bad.what})",
        why=f"{bad.why}; {stays}",
        remedy="move the alias back, or register a version that loads",
    )


def _short(bundle_hash: str | None) -> str:
    return "no champion" if bundle_hash is None else bundle_hash[:12]


def _refused(what: str, why: str) -> PromotionError:
    return PromotionError(what, why=why, remedy="look at lockstep status and at the decision card, then decide again")
