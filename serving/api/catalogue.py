"""Which models are registered, who serves, and what was decided about each?

Read from PostgreSQL alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, select

from infra.tables import bundles, decision_cards
from registry.challenger import last_challenger
from registry.deployments import current_champion
from serving.api.answers import CardNote, Model, ModelsAnswer
from serving.status import named_challenger

__all__ = ["models_answer", "trained_on"]

_MOST_MODELS = 200
_MOST_CARDS = 20


def models_answer(engine: Engine, model_name: str) -> ModelsAnswer:
    """Every registered bundle of this name with its role and its decision cards."""
    champion = current_champion(engine, model_name)
    serves = None if champion is None else champion.bundle_hash
    named = last_challenger(engine, model_name)
    query = (
        select(bundles)
        .where(bundles.c.model_name == model_name)
        .order_by(bundles.c.version.desc(), bundles.c.bundle_hash)
        .limit(_MOST_MODELS)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
        challenger = named_challenger(connection, model_name, serves, named)
        cards = _cards(connection, model_name, [row["bundle_hash"] for row in rows])
    challenges = None if challenger is None else challenger["bundle_hash"]
    return ModelsAnswer(
        model_name=model_name,
        champion=serves,
        models=tuple(
            Model.model_validate(
                {
                    **{name: row[name] for name in ("version", "bundle_hash", "contract", "label_spec", "synthetic")},
                    "train_end_ms": row["train_end_ms"],
                    "registered_at": row["created_at"],
                    "role": {serves: "champion", challenges: "challenger"}.get(row["bundle_hash"], "none"),
                    "cards": cards[row["bundle_hash"]][:_MOST_CARDS],
                }
            )
            for row in rows
        ),
    )


def trained_on(engine: Engine, model_name: str) -> list[str]:
    """The symbols the champion was trained on; empty where nobody serves or nobody wrote them down."""
    champion = current_champion(engine, model_name)
    if champion is None:
        return []
    query = select(bundles.c.facts["symbols"]).where(bundles.c.bundle_hash == champion.bundle_hash)
    with engine.connect() as connection:
        found: Any = connection.scalar(query)
    return list(found) if isinstance(found, list) else []


def _cards(connection: Connection, model_name: str, hashes: Sequence[str]) -> dict[str, list[CardNote]]:
    card = decision_cards.c
    query = (
        select(card.id, card.bundle_hash, card.verdict, card.reason, card.created_at)
        .where(card.model_name == model_name, card.bundle_hash.in_(hashes))
        .order_by(card.id.desc())
    )
    found: dict[str, list[CardNote]] = defaultdict(list)
    for row in connection.execute(query):
        note = CardNote(id=row.id, verdict=row.verdict, reason=row.reason, at=row.created_at)
        found[row.bundle_hash].append(note)
    return found
