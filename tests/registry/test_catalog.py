"""Which bundles does a home know, and how many were tried before one?"""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, insert

from infra.tables import bundles, deployments, predictions
from registry.catalog import challengers_before

pytestmark = pytest.mark.integration


def test_who_was_tried_before_in_the_same_year_counts(engine: Engine) -> None:
    """Only bundles of the same model and year that have predictions; a promotion, forced or not, counts as one."""
    at = {"old": (2024, 12, 31), "won": (2025, 1, 2), "unseen": (2025, 1, 3), "lost": (2025, 2, 1), "me": (2025, 3, 1)}
    with engine.begin() as connection:
        for name, day in (*at.items(), ("later", (2025, 4, 1))):
            connection.execute(insert(bundles).values(_bundle(name, "m", day)))
            if name != "unseen":
                connection.execute(insert(predictions).values(_prediction(name)))
        connection.execute(insert(bundles).values(_bundle("other", "n", (2025, 1, 5))))
        connection.execute(insert(predictions).values(_prediction("other")))
        connection.execute(
            insert(deployments).values(
                model_name="m", bundle_hash="won", version=1, action="promote", why="better", who="test"
            )
        )
    assert challengers_before(engine, "me") == (2, 1)
    assert challengers_before(engine, "old") == (0, 0)
    assert challengers_before(engine, "other") == (0, 0)


def _bundle(name: str, model: str, day: tuple[int, int, int]) -> dict[str, object]:
    made = datetime(*day, 23, 30, tzinfo=UTC)
    return {
        "bundle_hash": name, "model_name": model, "version": 1, "contract": "c", "label_spec": "l", "synthetic": True,
        "train_end_ms": 0, "facts": {}, "created_at": made,
    }  # fmt: skip


def _prediction(name: str) -> dict[str, object]:
    return {
        "model_name": "m", "bundle_hash": name, "symbol": "S", "bar_ms": 0, "role": "challenger", "run": "shadow",
        "contract": "c", "model_probabilities": [1.0, 0.0, 0.0], "probabilities": [1.0, 0.0, 0.0], "votes": [0],
        "action": 0, "confidence": 1.0, "size": 0.0, "steps": [], "output_hash": "h",
    }  # fmt: skip
