"""How does a running worker hear of what somebody does in MLflow?

A thread reads the aliases every second or so, and looks (``registry.look``) when they changed, and now and then: what
it takes over becomes a row that the worker reads before its next bar, what it refuses becomes a cause of the line-up. A
registry that is slow or down keeps this thread waiting, no bar.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from infra.bootstrap import App
from market.errors import LockstepError
from registry.errors import StoreError
from registry.look import NOTHING_WRONG, RegistryLook, look_at_registry
from tasks.stores import bundle_cache, model_store

__all__ = ["watching_registry"]

_END_S = 2.0
_LOOK_S = 60.0
_NEVER: Mapping[str, int] = {"never asked": 0}


@contextmanager
def watching_registry(
    app: App, *, every_s: float, first: RegistryLook = NOTHING_WRONG, say: Callable[[str], None]
) -> Iterator[Callable[[], RegistryLook]]:
    """A function that gives the last look; ``first`` until there is one. ``say`` hears of changes."""
    stop = Event()
    seen = [first]

    def watch() -> None:
        asked: Mapping[str, int] | None = _NEVER
        looked = 0.0
        while not stop.wait(every_s):
            try:
                aliases = _aliases(app)
                if aliases == asked and monotonic() - looked < _LOOK_S:
                    continue
                asked, looked = aliases, monotonic()
                found = _look(app)
            except (LockstepError, SQLAlchemyError, OSError):
                continue  # the database is away: the worker says so itself
            except Exception as error:  # noqa: BLE001  # whatever else a library raises must not end the watch unheard
                found = RegistryLook(cause="registry_down", detail=f"{type(error).__name__}: {error}")
            if found != seen[0]:
                say(_in_words(found))
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
