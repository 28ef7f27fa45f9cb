"""A running worker hears what a look at the registry finds, while it waits for nobody."""

from dataclasses import replace
from threading import Event

import pytest

from infra.bootstrap import App
from registry.look import last_look
from tasks.plan import contract_of
from tasks.registry_watch import watching_registry
from tasks.stores import model_store

pytestmark = pytest.mark.integration


def with_server(app: App, address: str) -> App:
    registry = app.settings.registry.model_copy(update={"tracking_uri": address, "timeout_s": 1.5})
    return replace(app, settings=app.settings.model_copy(update={"registry": registry}))


def test_a_registry_that_is_down_is_said_once_and_becomes_a_cause(app: App) -> None:
    """And it is written down for ``lockstep status``."""
    said: list[str] = []
    heard = Event()

    def say(words: str) -> None:
        said.append(words)
        heard.set()

    away = with_server(app, "http://127.0.0.1:1")
    contract = contract_of(app.settings)
    with watching_registry(away, every_s=0.02, contract=contract, say=say) as seen:
        assert seen().look.cause == "ok"
        assert heard.wait(20)
        for _ in range(1000):
            if seen().look.cause != "ok":
                break
            Event().wait(0.01)
        assert seen().look.cause == "registry_down"
        Event().wait(0.2)
    assert len(said) == 1
    assert said[0].startswith("registry_down: MLflow failed at")
    assert "connection refused" in said[0]
    told = last_look(app.engine, app.settings.registry.model_name)
    assert told is not None
    assert told["cause"] == "registry_down"


def test_a_server_keeps_artifacts_itself_a_database_leaves_them_in_the_home(app: App) -> None:
    """A path of this machine means nothing to a server, nor to whoever asks it from elsewhere."""
    assert model_store(app).artifact_root == app.settings.home / "mlflow-artifacts"
    served = model_store(with_server(app, "https://mlflow.example:5000"))
    assert (served.artifact_root, served.patience_s) == (None, 1.5)
