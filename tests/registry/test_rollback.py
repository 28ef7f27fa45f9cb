"""Going back to an earlier champion, on real PostgreSQL and MLflow."""

from pathlib import Path

import pytest

from registry.deployments import Deployment
from registry.errors import PromotionError
from registry.mlflow_store import ModelStore
from registry.promotion import rollback, rollback_target, sync_aliases
from tests.registry.desk import Desk
from tests.registry.kinds import BOTH

pytestmark = pytest.mark.integration


@BOTH
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
