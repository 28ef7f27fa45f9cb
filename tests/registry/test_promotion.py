"""Changing the champion, on real PostgreSQL and MLflow."""

import signal
import threading

import pytest

from registry.cards import Forced, forced, load_card, save_card
from registry.catalog import known_bundle
from registry.deployments import Deployment
from registry.errors import CardError, PromotionError
from registry.promotion import current_champion, deployment_history, sync_aliases
from tests.forked import ForkServer
from tests.registry.desk import Desk
from tests.registry.kinds import BOTH

pytestmark = pytest.mark.integration


@BOTH
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


def test_a_forced_card_promotes_and_the_row_says_who_and_why(desk: Desk) -> None:
    """What a person decided is kept where every promotion is kept."""
    card = load_card(desk.engine, desk.card(0, champion=None, verdict="refuse"))
    made = forced(card, Forced(who="ada", why="fees changed"))
    deployed = desk.promote(0, card_id=save_card(desk.engine, made), why=made.reason, who="ada")
    assert desk.champion == desk.bundles[0].hash
    assert (deployed.who, deployed.action) == ("ada", "promote")
    assert "fees changed" in deployed.why


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
import os, signal, sys
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
    promotion.show_champion = kill
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
def test_killed_at_any_step_one_champion_serves_and_a_rerun_converges(
    desk: Desk,
    forks: ForkServer,
    step: str,
    committed: bool,  # noqa: FBT001
) -> None:
    """SIGKILL: the row says old or new, the alias resolves to a real version, and the next call finishes the rest."""
    desk.promote(0)
    old, new = desk.bundles[0], desk.bundles[1]
    card_id = desk.card(1, champion=old.hash)
    database = desk.engine.url.render_as_string(hide_password=False)
    done = forks.run(_KILLED, database, desk.store.tracking_uri, desk.name, new.hash, 2, old.hash, card_id, step)
    assert done.code == -signal.SIGKILL, done.err
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


def test_a_recorded_bundle_is_known_without_mlflow(desk: Desk) -> None:
    """The worker asks PostgreSQL."""
    found = known_bundle(desk.engine, desk.bundles[0].hash)
    assert found is not None
    assert (found.synthetic, found.contract) == (True, desk.bundles[0].parts.contract.fingerprint)
    assert known_bundle(desk.engine, "0" * 64) is None
