"""Who is champion now, and may it serve here?

``adopt`` compares what is loaded with the last row of ``deployments`` and swaps one reference when it differs. The new
champion comes from the content-addressed cache through every check of ``registry.load``. Refused, it leaves the last
good one serving (LAST_GOOD) and says why; what was refused is not tried again until the deployment changes, what was
merely absent is. MLflow is not on this path: what a look at it found (``registry.look``) is handed in, and is a cause
while the champion itself is sound.
"""

from dataclasses import replace

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from features.contract import FeatureContract
from market.errors import LockstepError
from registry.cache import BundleCache
from registry.deployments import disputed
from registry.look import NOTHING_WRONG, RegistryLook
from registry.promotion import Deployment, current_champion
from serving.lineup import Lineup, ServedBundle
from serving.states import OK, State, cause_of_error, state_of

__all__ = ["adopt"]


def adopt(
    engine: Engine,
    cache: BundleCache,
    *,
    model_name: str,
    contract: FeatureContract,
    loaded: Lineup | None,
    challengers: tuple[ServedBundle, ...] = (),
    look: RegistryLook = NOTHING_WRONG,
) -> Lineup:
    """The lineup for the next bar; the very object ``loaded`` when nothing has changed.

    Never raises for a bundle that is refused or a database that is down: both are causes of the lineup.
    """
    held = loaded or Lineup(cause="no_champion")
    try:
        deployed = current_champion(engine, model_name)
        two = disputed(engine, model_name)
    except (LockstepError, SQLAlchemyError) as error:
        return _keep(held, "registry_down", str(error), None, challengers)
    if two:
        look = RegistryLook(cause="two_champions", detail=two)
    if two and held.champion is not None:  # it goes on predicting, and nothing is said until a person decided
        made = Lineup(champion=held.champion, challengers=challengers, cause=look.cause, detail=look.detail)
    elif deployed is None:
        made = Lineup(challengers=challengers, cause="no_champion", detail=look.detail)
    elif held.champion is not None and held.champion.bundle.hash == deployed.bundle_hash:
        champion = ServedBundle(bundle=held.champion.bundle, version=deployed.version)
        made = Lineup(champion=champion, challengers=challengers, cause=look.cause, detail=look.detail)
    elif held.refused == deployed.bundle_hash:
        made = replace(held, challengers=challengers)
    else:
        ready = next(
            (one for one in (*challengers, *held.challengers) if one.bundle.hash == deployed.bundle_hash), None
        )
        if ready is None:
            return _load(cache, deployed, contract, held, challengers, look)
        # It was loaded with every check when it began to challenge: the swap costs no bar anything.
        champion = ServedBundle(bundle=ready.bundle, version=deployed.version)
        made = Lineup(champion=champion, challengers=challengers, cause=look.cause, detail=look.detail)
    return _same_or(held, made)


def _load(
    cache: BundleCache,
    deployed: Deployment,
    contract: FeatureContract,
    held: Lineup,
    challengers: tuple[ServedBundle, ...],
    look: RegistryLook,
) -> Lineup:
    if deployed.bundle_hash not in cache.hashes():
        detail = f"bundle {deployed.bundle_hash[:12]} is not in the local cache"
        return _keep(held, "bundle_refused", detail, None, challengers)
    try:
        bundle = cache.load(deployed.bundle_hash, running=contract)
    except Exception as error:  # noqa: BLE001  fail closed: whatever stops the load keeps the last good champion
        return _keep(held, cause_of_error(error), str(error), deployed.bundle_hash, challengers)
    champion = ServedBundle(bundle=bundle, version=deployed.version)
    return Lineup(champion=champion, challengers=challengers, cause=look.cause, detail=look.detail)


def _keep(held: Lineup, cause: str, detail: str, refused: str | None, challengers: tuple[ServedBundle, ...]) -> Lineup:
    """The last good champion, or none; a graver cause than LAST_GOOD applies only where there is no last good one."""
    if held.champion is not None and state_of(cause) >= State.FLAT:
        cause = "bundle_refused"
    made = Lineup(champion=held.champion, challengers=challengers, cause=cause, detail=detail, refused=refused)
    return _same_or(held, made)


def _same_or(held: Lineup, made: Lineup) -> Lineup:
    """``held`` itself where ``made`` says the same."""
    same = (
        (held.champion is None) == (made.champion is None)
        and (held.champion is None or made.champion is None or _seat(held.champion) == _seat(made.champion))
        and [_seat(one) for one in held.challengers] == [_seat(one) for one in made.challengers]
        and (held.cause or OK, held.detail, held.refused) == (made.cause or OK, made.detail, made.refused)
    )
    return held if same else made


def _seat(one: ServedBundle) -> tuple[str, int | None]:
    return one.bundle.hash, one.version
