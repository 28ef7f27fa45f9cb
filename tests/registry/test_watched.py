"""A running worker hears within two seconds of what somebody does to MLflow's aliases."""

import time
from collections.abc import Callable, Iterator

import pytest

from infra.bootstrap import App
from registry.load import load_bundle
from serving.adoption import adopt
from serving.lineup import Lineup
from tasks.registry_watch import Watched, watching_registry
from tasks.stores import bundle_cache
from tests.registry.desk import Desk

pytestmark = pytest.mark.integration

PATIENCE_S = 30.0


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watched(desk: Desk, app: App, said: list[str]) -> Iterator[Callable[[], Watched]]:
    """The watch of a worker that computes the features of these bundles."""
    desk.promote(0)
    with watching_registry(app, every_s=0.05, contract=contract_of(desk), say=said.append) as seen:
        yield seen


def contract_of(desk: Desk):
    return load_bundle(desk.bundles[0].directory, expected_hash=desk.bundles[0].hash).contract


def until(happened: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.02)


def test_challengers_come_and_go_while_it_runs(desk: Desk, watched: Callable[[], Watched]) -> None:
    """The one whom the gates will judge first, then any other whose alias begins so."""
    client = desk.store._client
    client.set_registered_model_alias(desk.name, "challenger-other-seed", "3")
    until(lambda: [one.version for one in watched().challengers] == [3])
    desk.store.set_alias("challenger", 2)
    until(lambda: [one.version for one in watched().challengers] == [2, 3])
    client.delete_registered_model_alias(desk.name, "challenger-other-seed")
    until(lambda: [one.version for one in watched().challengers] == [2])


def test_a_moved_champion_serves_with_everything_of_its_own(
    desk: Desk, app: App, watched: Callable[[], Watched]
) -> None:
    """Moved by MLflow's own client, taken over by the watch, loaded by the worker before its next bar."""
    held = [Lineup()]

    def serves() -> str | None:
        held[0] = adopt(
            app.engine, bundle_cache(app), model_name=desk.name, contract=contract_of(desk), loaded=held[0],
            look=watched().look,
        )  # fmt: skip
        return None if held[0].champion is None else held[0].champion.bundle.hash

    assert serves() == desk.bundles[0].hash
    until(lambda: desk.store.synced_deployment() is not None)
    desk.store._client.set_registered_model_alias(desk.name, "champion", "3")
    until(lambda: serves() == desk.bundles[2].hash)
    assert held[0].cause == "ok"


def test_a_challenger_for_other_features_is_left_out_with_the_reason(desk: Desk, app: App, said: list[str]) -> None:
    """It would stop every bar of a worker that computes other features."""
    from dataclasses import replace

    other = replace(contract_of(desk), max_filled=3)
    desk.store.set_alias("challenger", 2)
    with watching_registry(app, every_s=0.05, contract=other, say=said.append) as seen:
        until(lambda: any("other features" in words for words in said))
        assert seen().challengers == ()
