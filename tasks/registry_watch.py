"""How does a running worker hear of what somebody does in MLflow?

A thread reads the aliases every second or so, and looks (``registry.look``) when they changed, and now and then: what
it takes over becomes a row that the worker reads before its next bar, what it refuses becomes a cause of the line-up.
It loads challengers too, off the worker's path; one for other features is left out. A registry that is slow or down
keeps this thread waiting, no bar.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event, Thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from features.contract import FeatureContract
from infra.bootstrap import App
from market.errors import LockstepError
from registry.errors import StoreError
from registry.look import NOTHING_WRONG, RegistryLook, look_at_registry
from serving.lineup import ServedBundle
from tasks.lineups import challengers_of
from tasks.stores import bundle_cache, model_store

__all__ = ["Watched", "watching_registry"]

_END_S = 2.0
_LOOK_S = 60.0
_NEVER: Mapping[str, int] = {"never asked": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the last look found, and the loaded challengers."""

    look: RegistryLook = NOTHING_WRONG
    challengers: tuple[ServedBundle, ...] = ()


@contextmanager
def watching_registry(
    app: App, *, every_s: float, contract: FeatureContract, first: Watched | None = None, say: Callable[[str], None]
) -> Iterator[Callable[[], Watched]]:
    """A function that gives what was last seen; ``first`` until there is a look. ``say`` hears of changes."""
    stop = Event()
    seen = [first or Watched()]

    def watch() -> None:
        asked: Mapping[str, int] | None = _NEVER
        looked = 0.0
        told = ""
        while not stop.wait(every_s):
            try:
                aliases = _aliases(app)
                if aliases == asked and monotonic() - looked < _LOOK_S:
                    continue
                asked, looked = aliases, monotonic()
                found = Watched(look=_look(app), challengers=seen[0].challengers)
                if aliases is not None:
                    challengers, left_out = _challengers(app, contract)
                    found = replace(found, challengers=challengers)
                    if left_out and left_out != told:
                        say(left_out)
                    told = left_out
            except (LockstepError, SQLAlchemyError, OSError):
                continue  # the database is away: the worker says so itself
            except Exception as error:  # noqa: BLE001  # whatever else a library raises must not end the watch unheard
                down = RegistryLook(cause="registry_down", detail=f"{type(error).__name__}: {error}")
                found = replace(seen[0], look=down)
            if found.look != seen[0].look:
                say(_in_words(found.look))
            seen[0] = found

    # A look that hangs must not keep the process from ending.
    thread = Thread(target=watch, name="registry-watch", daemon=True)
    thread.start()
    try:
        yield lambda: seen[0]
    finally:
        stop.set()
        thread.join(_END_S)


def _aliases(app: App) -> Mapping[str, int] | None:
    """Every alias with its version; None while the registry cannot be asked."""
    try:
        return model_store(app).aliases()
    except StoreError:
        return None


def _challengers(app: App, contract: FeatureContract) -> tuple[tuple[ServedBundle, ...], str]:
    """Those that predict from the features this worker computes, and why others are left out."""
    found, left_out = challengers_of(app, model_store(app))
    fitting = tuple(one for one in found if one.bundle.contract.fingerprint == contract.fingerprint)
    others = ", ".join(f"version {one.version}" for one in found if one not in fitting)
    if others:
        left_out = left_out or f"challenger {others} is left out: it reads other features than this worker computes"
    return fitting, left_out


def _look(app: App) -> RegistryLook:
    return look_at_registry(
        app.engine,
        model_store(app),
        bundle_cache(app),
        model_name=app.settings.registry.model_name,
        serving_mode=app.settings.serving.mode,
    )


def _in_words(found: RegistryLook) -> str:
    return f"{found.cause}: {found.detail}" if found.detail else f"registry: {found.note or 'as it should be'}"
