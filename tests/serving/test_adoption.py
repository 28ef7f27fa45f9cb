"""Taking over a new champion, or keeping the last good one."""

from dataclasses import replace

import pytest
from sqlalchemy import insert

from infra.tables import deployments
from registry.cache import BundleCache
from registry.deployments import append, changing_champion
from registry.look import RegistryLook
from serving.adoption import adopt
from serving.lineup import ServedBundle


@pytest.fixture
def cache(tmp_path, bundle_dirs):
    """A bundle cache that holds both bundles."""
    made = BundleCache(tmp_path / "bundles")
    for bundle_hash, where in bundle_dirs.items():
        made.put(where, bundle_hash)
    return made


def deploy(engine, bundle_hash: str, version: int) -> None:
    with changing_champion(engine, "m") as (connection, champion, _):
        append(
            connection,
            model_name="m",
            bundle_hash=bundle_hash,
            version=version,
            previous=champion,
            action="promote",
            card_id=None,
            why="t",
            who="t",
        )


def look(engine, cache, market, loaded, **options):
    return adopt(engine, cache, model_name="m", contract=market.contract, loaded=loaded, **options)


def damage(cache: BundleCache, bundle_hash: str) -> None:
    target = next(path for path in sorted((cache.root / bundle_hash).iterdir()) if path.name != "manifest.json")
    target.write_bytes(target.read_bytes() + b" ")


def test_the_deployed_bundle_is_loaded_and_kept_while_nothing_changes(engine, cache, market, bundles):
    """First look loads, second returns the very same object, a promotion swaps the whole of it."""
    assert look(engine, cache, market, None).cause == "no_champion"
    deploy(engine, bundles[0].hash, 1)
    first = look(engine, cache, market, None)
    assert first.champion is not None
    assert (first.champion.bundle.hash, first.champion.version, first.cause) == (bundles[0].hash, 1, "ok")
    assert look(engine, cache, market, first) is first
    deploy(engine, bundles[1].hash, 2)
    second = look(engine, cache, market, first)
    assert second.champion is not None
    assert (second.champion.bundle.hash, second.champion.version) == (bundles[1].hash, 2)
    assert first.champion.bundle.hash == bundles[0].hash


def test_a_refused_champion_leaves_the_last_good_one_serving(engine, cache, market, bundles):
    """LAST_GOOD with the refusal in words, not tried again, until somebody deploys something else."""
    deploy(engine, bundles[0].hash, 1)
    good = look(engine, cache, market, None)
    damage(cache, bundles[1].hash)
    deploy(engine, bundles[1].hash, 2)
    kept = look(engine, cache, market, good)
    assert (kept.champion, kept.cause, kept.refused) == (good.champion, "bundle_refused", bundles[1].hash)
    assert bundles[1].hash in kept.detail
    assert "it was cut or grew" in kept.detail
    assert look(engine, cache, market, kept) is kept
    deploy(engine, bundles[0].hash, 1)
    assert look(engine, cache, market, kept).cause == "ok"


def test_a_refused_first_champion_leaves_nothing(engine, cache, market, bundles):
    """Without a last good one there is no champion, and no fallback."""
    damage(cache, bundles[0].hash)
    deploy(engine, bundles[0].hash, 1)
    found = look(engine, cache, market, None)
    assert (found.champion, found.cause) == (None, "bundle_refused")


def test_another_contract_is_refused_by_name(engine, cache, market, bundles):
    """A sound bundle made for other features does not serve."""
    deploy(engine, bundles[0].hash, 1)
    other = replace(market.contract, max_filled=3)
    found = adopt(engine, cache, model_name="m", contract=other, loaded=None)
    assert (found.champion, found.cause) == (None, "contract_mismatch")


def test_a_bundle_that_is_only_absent_is_tried_again(engine, cache, market, bundles, bundle_dirs, tmp_path):
    """Until it is downloaded the last good one serves; then it takes over by itself."""
    empty = BundleCache(tmp_path / "empty")
    empty.put(bundle_dirs[bundles[0].hash], bundles[0].hash)
    deploy(engine, bundles[0].hash, 1)
    good = look(engine, empty, market, None)
    deploy(engine, bundles[1].hash, 2)
    waiting = look(engine, empty, market, good)
    assert (waiting.champion, waiting.cause) == (good.champion, "bundle_refused")
    empty.put(bundle_dirs[bundles[1].hash], bundles[1].hash)
    taken = look(engine, empty, market, waiting)
    assert taken.champion is not None
    assert taken.champion.bundle.hash == bundles[1].hash


def test_two_rows_that_claim_the_same_place_stop_signals_until_a_person_decides(engine, cache, market, bundles):
    """What serves goes on predicting, a fresh process loads the newest, both in HALT; the next promotion settles it."""
    deploy(engine, bundles[0].hash, 1)
    good = look(engine, cache, market, None)
    forked = {"bundle_hash": bundles[1].hash, "version": 2, "previous_hash": None}
    with engine.begin() as connection:
        connection.execute(insert(deployments).values(model_name="m", action="promote", why="t", who="t", **forked))
    disputed = look(engine, cache, market, good)
    assert (disputed.champion, disputed.cause) == (good.champion, "two_champions")
    assert "in place of none, but the champion was " + bundles[0].hash[:12] in disputed.detail
    assert look(engine, cache, market, disputed) is disputed
    fresh = look(engine, cache, market, None)
    assert fresh.champion is not None
    assert (fresh.champion.bundle.hash, fresh.cause) == (bundles[1].hash, "two_champions")
    deploy(engine, bundles[0].hash, 1)
    settled = look(engine, cache, market, disputed)
    assert settled.champion is not None
    assert (settled.champion.bundle.hash, settled.cause) == (bundles[0].hash, "ok")


def test_challengers_come_and_go_without_touching_the_champion(engine, cache, market, bundles):
    """A new challenger makes a new lineup with the same champion."""
    deploy(engine, bundles[0].hash, 1)
    alone = look(engine, cache, market, None)
    both = look(engine, cache, market, alone, challengers=(ServedBundle(bundle=bundles[1], version=2),))
    assert [role for role, _ in both.seats()] == ["champion", "challenger"]
    assert alone.champion is not None
    assert both.champion is not None
    assert both.champion.bundle is alone.champion.bundle


def test_what_a_look_at_the_registry_found_is_a_cause_while_the_champion_is_sound(engine, cache, market, bundles):
    """LAST_GOOD with the reason, for as long as the look says so; the champion itself is the same object."""
    deploy(engine, bundles[0].hash, 1)
    trouble = RegistryLook(cause="bundle_refused", detail="version 9 is not taken over")
    first = look(engine, cache, market, None, look=trouble)
    assert (first.cause, first.detail) == ("bundle_refused", "version 9 is not taken over")
    assert look(engine, cache, market, first, look=trouble) is first
    clear = look(engine, cache, market, first)
    assert (clear.cause, clear.detail, clear.champion.bundle) == ("ok", "", first.champion.bundle)


def test_a_promoted_challenger_is_swapped_in_as_it_was_loaded(engine, cache, market, bundles):
    """The very object that challenged serves, under the version that was promoted; nothing is loaded for it."""
    deploy(engine, bundles[0].hash, 1)
    challenger = ServedBundle(bundle=bundles[1], version=2)
    first = look(engine, cache, market, None, challengers=(challenger,))
    deploy(engine, bundles[1].hash, 2)
    damage(cache, bundles[1].hash)  # whoever loads now is refused
    for challengers in ((challenger,), ()):
        found = look(engine, cache, market, first, challengers=challengers)
        assert found.champion is not None
        assert found.champion.bundle is bundles[1]
        assert (found.champion.version, found.cause) == (2, "ok")
    assert [role for role, _ in found.seats()] == ["champion"]
