"""What somebody does to aliases and versions in MLflow while a champion serves: each has an outcome that is told."""

from pathlib import Path

import pytest
from sqlalchemy import insert

from infra.tables import deployments
from registry.cache import BundleCache
from registry.challenger import challenge, last_challenger
from registry.look import RegistryLook, last_look, look_at_registry
from registry.manifest import MANIFEST
from registry.run_record import RunRecord
from tests.registry.desk import Desk
from tests.registry.kinds import BOTH

pytestmark = pytest.mark.integration


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "bundles")


def look(desk: Desk, cache: BundleCache, mode: str = "paper") -> RegistryLook:
    found = look_at_registry(desk.engine, desk.store, cache, model_name=desk.name, serving_mode=mode)
    told = last_look(desk.engine, desk.name)
    assert told is not None
    assert (told["cause"], told["detail"], told["note"]) == (found.cause, found.detail, found.note)
    return found


def test_an_alias_moved_in_mlflow_is_taken_over_and_nothing_is_wrong(desk: Desk, cache: BundleCache) -> None:
    """The row follows the alias after every check of the bundle."""
    desk.promote(0)
    desk.store._client.set_registered_model_alias(desk.name, "champion", "2")
    assert look(desk, cache) == RegistryLook()
    assert desk.champion == desk.bundles[1].hash
    assert desk.aliases == (2, 1, None)


def test_an_alias_moved_to_a_refused_version_is_told_at_every_look_and_stays(desk: Desk, cache: BundleCache) -> None:
    """Until somebody moves it; then nothing is wrong any more."""
    desk.promote(0)
    desk.store._client.create_model_version(desk.name, source="s3://somebody/else")
    desk.store.set_alias("champion", 4)
    for _ in range(2):
        found = look(desk, cache)
        assert found.cause == "bundle_refused"
        assert "version 4, made champion in MLflow, is not taken over" in found.detail
        assert "is not a Lockstep bundle" in found.detail
        assert "version 1 keeps serving" in found.detail
    assert (desk.champion, desk.aliases[0]) == (desk.bundles[0].hash, 4)
    desk.store.set_alias("champion", 1)
    assert look(desk, cache).cause == "ok"


@BOTH
def test_the_champions_version_deleted_while_it_serves(desk: Desk, cache: BundleCache) -> None:
    """It goes on from the cache and the look says so; the list, a promotion and a rollback go on as well."""
    desk.promote(0)
    desk.promote(1)
    assert look(desk, cache) == RegistryLook()
    desk.store._client.delete_model_version(desk.name, "2")
    found = look(desk, cache)
    assert found.cause == "ok"
    assert "champion version 2 was deleted in MLflow; it serves from the local cache" in found.note
    assert desk.champion == desk.bundles[1].hash
    assert desk.aliases == (None, 1, None)
    assert [one.version for one in desk.store.versions()] == [1, 3]
    desk.promote(2)
    assert desk.aliases == (3, None, None)
    assert look(desk, cache) == RegistryLook()
    assert desk.rollback().version == 2
    assert desk.champion == desk.bundles[1].hash
    assert "was deleted in MLflow; it serves" in look(desk, cache).note


def test_a_deleted_version_that_no_cache_holds_is_told_as_that(desk: Desk, cache: BundleCache) -> None:
    """Nothing can load it here: the note does not promise otherwise."""
    desk.promote(0)
    desk.store._client.delete_model_version(desk.name, "1")
    assert "was deleted in MLflow; nothing can load it here" in look(desk, cache).note


def test_the_same_bundle_registered_again_is_the_champion_again(desk: Desk, cache: BundleCache) -> None:
    """Under its new number, without a change of champion."""
    deployed = desk.promote(0)
    desk.store._client.delete_model_version(desk.name, "1")
    again = desk.store.log_and_register(desk.bundles[0].directory, desk.bundles[0].hash, RunRecord())
    assert look(desk, cache) == RegistryLook()
    assert desk.aliases == (again, None, None)
    assert look(desk, cache) == RegistryLook()
    assert desk.champion == deployed.bundle_hash


def test_a_champion_this_machine_lacks_is_fetched(desk: Desk, cache: BundleCache) -> None:
    """A promotion or rollback made elsewhere reaches the worker here."""
    desk.promote(0)
    assert cache.hashes() == ()
    assert look(desk, cache) == RegistryLook()
    assert (cache.path(desk.bundles[0].hash) / MANIFEST).is_file()


def test_whoever_challenges_is_written_down_as_the_alias_says(desk: Desk, cache: BundleCache) -> None:
    """Never looked is not nobody; an older version made challenger again is the one that is named."""
    assert last_challenger(desk.engine, desk.name) is None
    look(desk, cache)
    assert last_challenger(desk.engine, desk.name) == 0
    for version in (3, 1):
        challenge(desk.engine, desk.store, version)
        assert last_challenger(desk.engine, desk.name) == version == desk.aliases[2]
    desk.store.remove_alias("challenger")
    look(desk, cache)
    assert last_challenger(desk.engine, desk.name) == 0


def test_one_number_for_two_bundles_is_told_until_it_is_settled(desk: Desk, cache: BundleCache) -> None:
    """MLflow's champion has our version's number and another bundle: nobody can tell which was meant."""
    desk.promote(0)
    client, other = desk.store._client, desk.bundles[1].hash
    client.set_model_version_tag(desk.name, "1", "bundle_hash", other)
    for _ in range(2):
        found = look(desk, cache)
        assert found.cause == "two_champions"
        ours, theirs = desk.bundles[0].hash[:12], other[:12]
        assert f"version 1 is champion with bundle {ours} in PostgreSQL and with {theirs} in MLflow" in found.detail
    assert desk.champion == desk.bundles[0].hash
    client.set_model_version_tag(desk.name, "1", "bundle_hash", desk.bundles[0].hash)
    assert look(desk, cache) == RegistryLook()
    client.set_model_version_tag(desk.name, "1", "bundle_hash", other)
    desk.promote(2)
    assert look(desk, cache) == RegistryLook()


def test_in_a_registry_made_anew_the_aliases_go_by_bundle_and_not_by_number(desk: Desk, cache: BundleCache) -> None:
    """Its versions count from 1 in another order: the champion is shown where its bundle is, or not at all."""
    desk.promote(0)
    client = desk.store._client
    held = {at: client.get_model_version(desk.name, str(at)) for at in (1, 2, 3)}
    client.delete_registered_model(desk.name)
    client.create_registered_model(desk.name)
    for at in (2, 3):
        client.create_model_version(desk.name, source=held[at].source, run_id=held[at].run_id, tags=held[at].tags)
    found = look(desk, cache)
    assert (found.cause, desk.aliases[0]) == ("ok", None)
    assert "champion version 1 was deleted in MLflow; nothing can load it here" in found.note
    client.create_model_version(desk.name, source=held[1].source, run_id=held[1].run_id, tags=held[1].tags)
    assert look(desk, cache) == RegistryLook()
    assert (desk.champion, desk.aliases[0]) == (desk.bundles[0].hash, 3)


def test_a_deployment_written_past_the_lock_is_told_until_it_is_settled(desk: Desk, cache: BundleCache) -> None:
    """It replaces a champion that was not there; the next promotion over it is the word of a person."""
    desk.promote(0)
    row = {"bundle_hash": desk.bundles[1].hash, "version": 2, "previous_hash": None}
    with desk.engine.begin() as connection:
        connection.execute(insert(deployments).values(model_name=desk.name, action="promote", why="t", who="t", **row))
    found = look(desk, cache)
    assert found.cause == "two_champions"
    assert f"but the champion was {desk.bundles[0].hash[:12]}" in found.detail
    desk.promote(2)
    assert look(desk, cache) == RegistryLook()
    assert desk.rollback().bundle_hash == desk.bundles[1].hash
    assert look(desk, cache) == RegistryLook()
