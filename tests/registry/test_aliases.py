"""Aliases that somebody moved or deleted in MLflow: taken over, refused or put back."""

from pathlib import Path

import pytest

from registry.cache import BundleCache
from registry.errors import PromotionError
from registry.promotion import adopt_alias, current_champion, sync_aliases
from tests.registry.desk import Desk
from tests.registry.kinds import BOTH, Tracking

pytestmark = pytest.mark.integration


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "bundles")


@BOTH
def test_an_alias_moved_by_hand_is_taken_over(desk: Desk, cache: BundleCache) -> None:
    """Fetched, checked, cached, and written down as what it is."""
    desk.promote(0)
    assert adopt_alias(desk.engine, desk.store, cache, model_name=desk.name) is None
    desk.store.set_alias("champion", 3)
    made = adopt_alias(desk.engine, desk.store, cache, model_name=desk.name, who="ui")
    assert (made.action, made.version, made.previous_hash) == ("adopt", 3, desk.bundles[0].hash)
    assert desk.champion == desk.bundles[2].hash
    assert desk.aliases == (3, 1, None)
    assert cache.has(desk.bundles[2].hash)
    assert adopt_alias(desk.engine, desk.store, cache, model_name=desk.name) is None


def test_an_alias_moved_to_touched_artifacts_is_refused(desk: Desk, tracking: Tracking, cache: BundleCache) -> None:
    """The last good one keeps serving, and the message says so."""
    desk.promote(0)
    source = tracking.model_directory(desk.store, 2) / "artifacts" / "bundle" / "model_lightgbm.txt"
    sound = source.read_bytes()
    desk.store.set_alias("champion", 2)
    keeps = current_champion(desk.engine, desk.name)
    source.write_bytes(sound + b" ")
    try:
        with pytest.raises(PromotionError, match="version 1 keeps serving"):
            adopt_alias(desk.engine, desk.store, cache, model_name=desk.name)
    finally:
        source.write_bytes(sound)
    assert current_champion(desk.engine, desk.name) == keeps
    assert desk.store.get_alias("champion") == 2


def test_a_synthetic_bundle_is_not_adopted_live(desk: Desk, cache: BundleCache) -> None:
    """An alias is no way around the rule."""
    desk.store.set_alias("champion", 1)
    with pytest.raises(PromotionError, match=r"synthetic.*no champion serves"):
        adopt_alias(desk.engine, desk.store, cache, model_name=desk.name, serving_mode="live")
    assert desk.champion is None


@BOTH
def test_an_alias_deleted_by_hand_is_put_back(desk: Desk, cache: BundleCache) -> None:
    """The row is the truth: the next look shows it again, and nobody new is champion."""
    desk.promote(0)
    desk.promote(1)
    desk.store.remove_alias("champion")
    assert adopt_alias(desk.engine, desk.store, cache, model_name=desk.name) is None
    assert desk.champion == desk.bundles[1].hash
    assert desk.aliases == (2, 1, None)


def test_an_alias_of_a_deleted_version_stays_away_and_the_next_promotion_works(desk: Desk) -> None:
    """A version deleted in MLflow takes its alias along; the row still holds and nothing is stuck."""
    first = desk.promote(0)
    desk.store._client.delete_model_version(desk.name, "1")
    assert sync_aliases(desk.engine, desk.store, model_name=desk.name) == first
    assert desk.aliases == (None, None, None)
    desk.promote(1)
    assert desk.aliases == (2, None, None)


@BOTH
def test_an_alias_moved_to_something_else_than_a_bundle_is_refused(desk: Desk, cache: BundleCache) -> None:
    """A version that was not registered by Lockstep never serves."""
    desk.promote(0)
    desk.store._client.create_model_version(desk.name, source="s3://somebody/else")
    desk.store.set_alias("champion", 4)
    with pytest.raises(PromotionError, match=r"version 4 .* is not a Lockstep bundle.*version 1 keeps serving"):
        adopt_alias(desk.engine, desk.store, cache, model_name=desk.name)
    assert desk.champion == desk.bundles[0].hash


def test_a_crash_is_not_taken_for_a_hand_moved_alias(desk: Desk, cache: BundleCache) -> None:
    """The alias still shows the old champion because nobody moved it yet: repaired, not adopted."""
    desk.promote(0)
    desk.promote(1)
    desk.store.mark_synced(0)
    desk.store.set_alias("champion", 1)
    assert adopt_alias(desk.engine, desk.store, cache, model_name=desk.name) is None
    assert desk.champion == desk.bundles[1].hash
    assert desk.aliases == (2, 1, None)
