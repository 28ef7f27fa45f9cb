"""Changing the champion, on real PostgreSQL and MLflow."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from registry.bundle import load_bundle
from registry.cache import BundleCache
from registry.cards import DecisionCard, Gate, save_card
from registry.catalog import known_bundle, record_bundle
from registry.deployments import Deployment
from registry.errors import CardError, PromotionError
from registry.mlflow_store import ModelStore
from registry.promotion import (
    adopt_alias,
    current_champion,
    deployment_history,
    promote,
    rollback,
    rollback_target,
    sync_aliases,
)
from tests.registry.made_bundles import Sealed

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Desk:
    """Three registered bundles a, b, c (versions 1, 2, 3) and what is needed to promote them."""

    engine: Engine
    store: ModelStore
    bundles: tuple[Sealed, ...]

    @property
    def name(self) -> str:
        """The registered model."""
        return self.store.model_name

    @property
    def champion(self) -> str | None:
        """Bundle hash of the champion."""
        found = current_champion(self.engine, self.name)
        return None if found is None else found.bundle_hash

    @property
    def aliases(self) -> tuple[int | None, ...]:
        """Versions behind champion, previous, challenger."""
        return tuple(self.store.get_alias(alias) for alias in ("champion", "previous", "challenger"))

    def card(self, which: int, *, champion: str | None, verdict: str = "promote", model_name: str | None = None) -> int:
        """Store a card about one of the bundles."""
        gate = Gate(
            name="skill",
            measured=0.1,
            threshold=0.0,
            comparison=">=",
            passed=verdict == "promote",
            detail="",
        )
        return save_card(
            self.engine,
            DecisionCard(
                model_name=model_name or self.name,
                bundle_hash=self.bundles[which].hash,
                champion_hash=champion,
                verdict=verdict,
                reason="no better than the champion",
                gates=(gate,),
                evidence={},
            ),
        )

    def promote(self, which: int, **changes: object) -> Deployment:
        """Promote one of the bundles over whoever is champion."""
        champion = self.champion
        given: dict[str, object] = {
            "model_name": self.name,
            "bundle_hash": self.bundles[which].hash,
            "version": which + 1,
            "expected_champion": champion,
            "why": "better",
            "who": "test",
        }
        given |= changes
        if "card_id" not in given:
            given["card_id"] = self.card(which, champion=given["expected_champion"])
        return promote(self.engine, self.store, **given)

    def rollback(self, **changes: object) -> Deployment:
        """Roll back."""
        return rollback(self.engine, self.store, **({"model_name": self.name, "why": "harm", "who": "test"} | changes))


@pytest.fixture
def desk(engine: Engine, store: ModelStore, sealed: Sealed, others: tuple[Sealed, ...]) -> Desk:
    bundles = (sealed, *others)
    for at, one in enumerate(bundles):
        assert store.log_and_register(one.directory, one.hash, params={}, metrics={}, tags={}) == at + 1
        loaded = load_bundle(one.directory, expected_hash=one.hash)
        record_bundle(engine, loaded, model_name=store.model_name, version=at + 1)
    return Desk(engine=engine, store=store, bundles=bundles)


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "bundles")


def test_the_first_champion_and_the_next(desk: Desk) -> None:
    """The row is the truth, the aliases show it, and the challenger that won is challenger no more."""
    assert current_champion(desk.engine, desk.name) is None
    desk.store.set_alias("challenger", 1)
    first = desk.promote(0)
    assert (first.action, first.previous_hash, first.version) == ("promote", None, 1)
    assert desk.aliases == (1, None, None)
    second = desk.promote(1)
    assert second.previous_hash == first.bundle_hash
    assert desk.champion == desk.bundles[1].hash
    assert desk.aliases == (2, 1, None)


def test_another_challenger_stays_challenger(desk: Desk) -> None:
    """Only the promoted version loses that alias."""
    desk.store.set_alias("challenger", 3)
    desk.promote(0)
    assert desk.aliases == (1, None, 3)


def refused(desk: Desk, which: int, reason: str, **changes: object) -> None:
    before = (deployment_history(desk.engine, desk.name), desk.aliases)
    with pytest.raises(PromotionError, match=reason):
        desk.promote(which, **changes)
    assert (deployment_history(desk.engine, desk.name), desk.aliases) == before


def test_a_champion_that_moved_meanwhile_refuses(desk: Desk) -> None:
    """Compare-and-swap: the numbers compared with somebody who no longer serves."""
    desk.promote(0)
    refused(desk, 1, "expected no champion", expected_champion=None)
    seen = desk.champion
    desk.promote(1)
    refused(desk, 2, "somebody else changed it", expected_champion=seen)


def test_a_card_that_says_no_refuses(desk: Desk) -> None:
    """The card's own reason is shown."""
    refused(desk, 0, "no better than the champion", card_id=desk.card(0, champion=None, verdict="refuse"))


def test_a_card_about_something_else_refuses(desk: Desk) -> None:
    """Another bundle, another model, another champion."""
    refused(desk, 0, "judged bundle", card_id=desk.card(1, champion=None))
    refused(desk, 0, "judged bundle", card_id=desk.card(0, champion=None, model_name="other"))
    refused(desk, 0, "compared with ffff", card_id=desk.card(0, champion="f" * 64))


def test_no_card_no_promotion(desk: Desk) -> None:
    """A card that does not exist is no permission."""
    with pytest.raises(CardError):
        desk.promote(0, card_id=10**9)
    assert desk.champion is None


def test_a_version_that_holds_another_bundle_refuses(desk: Desk) -> None:
    """Version and hash must name the same thing."""
    refused(desk, 0, "version 2 holds bundle", version=2)


def test_a_synthetic_bundle_never_serves_live(desk: Desk) -> None:
    """Neither by promotion nor by rollback."""
    refused(desk, 0, "synthetic", serving_mode="live")
    desk.promote(0)
    desk.promote(1)
    with pytest.raises(PromotionError, match="synthetic"):
        desk.rollback(serving_mode="live")
    assert desk.champion == desk.bundles[1].hash


def test_promoting_the_champion_refuses(desk: Desk) -> None:
    """A change that changes nothing hides a mistake."""
    desk.promote(0)
    refused(desk, 0, "champion already")


def test_rollback_returns_to_the_champion_before_and_never_to_the_one_left(desk: Desk) -> None:
    """After a, b, c: back to b, then to a, and then there is nothing."""
    for which in range(3):
        desk.promote(which)
    assert desk.aliases == (3, 2, None)
    back = desk.rollback()
    assert (back.action, back.bundle_hash, back.previous_hash) == (
        "rollback",
        desk.bundles[1].hash,
        desk.bundles[2].hash,
    )
    assert desk.aliases == (2, 1, None)
    desk.rollback()
    assert desk.aliases == (1, None, None)
    with pytest.raises(PromotionError, match="nothing to return to"):
        desk.rollback()
    assert desk.champion == desk.bundles[0].hash


def test_rollback_to_a_version(desk: Desk) -> None:
    """Any former champion, not the present one, and nothing that passed no gate."""
    with pytest.raises(PromotionError, match="there is no champion"):
        desk.rollback()
    desk.promote(0)
    desk.promote(1)
    with pytest.raises(PromotionError, match="version 2 is champion already"):
        desk.rollback(to_version=2)
    with pytest.raises(PromotionError, match="version 3 was never champion"):
        desk.rollback(to_version=3)
    assert desk.rollback(to_version=1).version == 1
    assert desk.aliases == (1, None, None)


def test_rollback_works_with_mlflow_down_and_the_aliases_follow(desk: Desk, tmp_path: Path) -> None:
    """The truth changes at once; the pointers later."""
    desk.promote(0)
    desk.promote(1)
    gone = ModelStore(f"postgresql+psycopg://nobody@/mlflow?host={tmp_path}", artifact_root=None, model_name=desk.name)
    made = rollback(desk.engine, gone, model_name=desk.name, why="harm", who="test")
    assert desk.champion == made.bundle_hash == desk.bundles[0].hash
    assert desk.aliases == (2, 1, None)
    sync_aliases(desk.engine, desk.store, model_name=desk.name)
    assert desk.aliases == (1, None, None)


def test_rollback_target_by_hand() -> None:
    """Promote a, b; back to a; promote c; the way back is a, not b."""

    def row(at: int, action: str, bundle: str) -> Deployment:
        return Deployment(
            id=at,
            model_name="m",
            bundle_hash=bundle,
            version=at,
            previous_hash=None,
            action=action,
            card_id=None,
            why="",
            who="",
            created_at=None,
        )

    history = [row(1, "promote", "a"), row(2, "promote", "b"), row(3, "rollback", "a"), row(4, "promote", "c")]
    assert rollback_target([]) is None
    assert rollback_target(history[:1]) is None
    assert rollback_target(history[:2]).bundle_hash == "a"
    assert rollback_target(history[:3]) is None
    assert rollback_target(history).bundle_hash == "a"
    assert rollback_target([*history, row(5, "promote", "b")]).bundle_hash == "c"


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


def test_an_alias_moved_to_touched_artifacts_is_refused(desk: Desk, cache: BundleCache, tmp_path: Path) -> None:
    """The last good one keeps serving, and the message says so."""
    desk.promote(0)
    source = next((tmp_path / "artifacts").rglob("model_lightgbm.txt"))
    touched = source.parent
    hashes = {one.hash: at + 1 for at, one in enumerate(desk.bundles)}
    from registry.manifest import read_sealed

    version = hashes[read_sealed(touched, expected_hash=None)[0]]
    if version == 1:
        desk.promote(1)
    desk.store.set_alias("champion", version)
    source.write_bytes(source.read_bytes() + b" ")
    keeps = current_champion(desk.engine, desk.name)
    with pytest.raises(PromotionError, match=f"version {keeps.version} keeps serving"):
        adopt_alias(desk.engine, desk.store, cache, model_name=desk.name)
    assert current_champion(desk.engine, desk.name) == keeps
    assert desk.store.get_alias("champion") == version


def test_a_synthetic_bundle_is_not_adopted_live(desk: Desk, cache: BundleCache) -> None:
    """An alias is no way around the rule."""
    desk.store.set_alias("champion", 1)
    with pytest.raises(PromotionError, match=r"synthetic.*no champion serves"):
        adopt_alias(desk.engine, desk.store, cache, model_name=desk.name, serving_mode="live")
    assert desk.champion is None


def test_a_missing_alias_comes_to_nothing(desk: Desk, cache: BundleCache) -> None:
    """An alias deleted by hand is no new champion."""
    desk.promote(0)
    desk.store.remove_alias("champion")
    assert adopt_alias(desk.engine, desk.store, cache, model_name=desk.name) is None
    assert desk.champion == desk.bundles[0].hash


def test_two_promotions_at_once_have_one_winner(desk: Desk) -> None:
    """Both saw the same champion; the second to come learns it moved."""
    desk.promote(0)
    cards = {which: desk.card(which, champion=desk.champion) for which in (1, 2)}
    expected = desk.champion
    results: dict[int, object] = {}

    def attempt(which: int) -> None:
        try:
            results[which] = desk.promote(which, expected_champion=expected, card_id=cards[which])
        except PromotionError as refusal:
            results[which] = refusal

    threads = [threading.Thread(target=attempt, args=(which,)) for which in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [which for which, result in results.items() if isinstance(result, Deployment)]
    assert len(won) == 1
    assert desk.champion == desk.bundles[won[0]].hash
    assert desk.aliases == (won[0] + 1, 1, None)


_KILLED = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from sqlalchemy import create_engine
from registry import promotion
from registry.mlflow_store import ModelStore
database, uri, name, bundle_hash, version, expected, card_id, step = sys.argv[1:]
engine = create_engine(database)
store = ModelStore(uri, artifact_root=None, model_name=name)
kill = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if step == "in transaction":
    plain = promotion.append
    promotion.append = lambda *a, **k: (plain(*a, **k), kill())
elif step == "after commit":
    promotion.sync_aliases = kill
else:
    kind, alias = step.split()
    plain_alias = store.set_alias
    def set_alias(which, at):
        if kind == "before" and which == alias:
            kill()
        plain_alias(which, at)
        if kind == "after" and which == alias:
            kill()
    store.set_alias = set_alias
promotion.promote(engine, store, model_name=name, bundle_hash=bundle_hash, version=int(version),
                  expected_champion=expected, card_id=int(card_id), why="better", who="killed")
"""


@pytest.mark.parametrize(
    ("step", "committed"),
    [
        ("in transaction", False),
        ("after commit", True),
        ("after previous", True),
        ("before champion", True),
        ("after champion", True),
    ],
)
def test_killed_at_any_step_one_champion_serves_and_a_rerun_converges(desk: Desk, step: str, committed: bool) -> None:  # noqa: FBT001
    """SIGKILL: the row says old or new, the alias resolves to a real version, and the next call finishes the rest."""
    desk.promote(0)
    old, new = desk.bundles[0], desk.bundles[1]
    card_id = desk.card(1, champion=old.hash)
    arguments = [
        desk.engine.url.render_as_string(hide_password=False),
        desk.store.tracking_uri,
        desk.name,
        new.hash,
        "2",
        old.hash,
        str(card_id),
        step,
    ]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, *arguments],
        capture_output=True,
        check=False,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert desk.champion == (new if committed else old).hash
    assert desk.store.get_alias("champion") in (1, 2)
    if committed:
        refused_again = pytest.raises(PromotionError, match=r"champion already|compared with|expected")
        with refused_again:
            desk.promote(1, expected_champion=old.hash, card_id=card_id)
        sync_aliases(desk.engine, desk.store, model_name=desk.name)
    else:
        desk.promote(1, card_id=card_id)
    assert desk.champion == new.hash
    assert desk.aliases == (2, 1, None)
    assert [row.bundle_hash for row in deployment_history(desk.engine, desk.name)] == [old.hash, new.hash]


def test_a_crash_is_not_taken_for_a_hand_moved_alias(desk: Desk, cache: BundleCache) -> None:
    """The alias still shows the old champion because nobody moved it yet: repaired, not adopted."""
    desk.promote(0)
    desk.promote(1)
    desk.store.mark_synced(0)
    desk.store.set_alias("champion", 1)
    assert adopt_alias(desk.engine, desk.store, cache, model_name=desk.name) is None
    assert desk.champion == desk.bundles[1].hash
    assert desk.aliases == (2, 1, None)


def test_a_recorded_bundle_is_known_without_mlflow(desk: Desk) -> None:
    """The worker asks PostgreSQL."""
    found = known_bundle(desk.engine, desk.bundles[0].hash)
    assert found is not None
    assert (found.synthetic, found.contract) == (True, desk.bundles[0].parts.contract.fingerprint)
    assert known_bundle(desk.engine, "0" * 64) is None
