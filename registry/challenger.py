"""Who challenges, told without asking MLflow?

The alias ``challenger`` is the truth. Whoever sets it or looks at it writes down what it said, so that ``lockstep
status`` names the version that shadow and promotion would take.
"""

from sqlalchemy import Engine

from infra.heartbeats import beat, read_heartbeats
from registry.mlflow_store import ModelStore

__all__ = ["challenge", "last_challenger", "note_challenger"]


def challenge(engine: Engine, store: ModelStore, version: int) -> None:
    """Make a version the challenger."""
    store.set_alias("challenger", version)
    _note(engine, store.model_name, version)


def note_challenger(engine: Engine, store: ModelStore) -> None:
    """Write down whom the alias names now; raises ``StoreError``."""
    _note(engine, store.model_name, store.get_alias("challenger"))


def last_challenger(engine: Engine, model_name: str) -> int | None:
    """The version the alias named when somebody last looked, 0 for nobody; None where nobody ever looked."""
    beaten = read_heartbeats(engine).get(_component(model_name))
    return None if beaten is None else int(str(beaten.detail["version"] or 0))


def _note(engine: Engine, model_name: str, version: int | None) -> None:
    beat(engine, _component(model_name), {"version": version})


def _component(model_name: str) -> str:
    return f"challenger {model_name}"
