"""Where tests of promotion stand: three registered bundles, and what is needed to promote them."""

from dataclasses import dataclass

from sqlalchemy import Engine

from registry.cards import DecisionCard, Gate, save_card
from registry.mlflow_store import ModelStore
from registry.promotion import Deployment, current_champion, promote, rollback
from tests.registry.made_bundles import Sealed


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
