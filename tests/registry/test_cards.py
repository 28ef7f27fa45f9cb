"""Decision cards in PostgreSQL."""

import pytest
from sqlalchemy import Engine, update

from infra.tables import decision_cards
from registry.cards import DecisionCard, Gate, load_card, save_card
from registry.errors import CardError

pytestmark = pytest.mark.integration


def card(reason: str) -> DecisionCard:
    numbers = {"rows": 1000, "share": 1.0, "tiny": 1e-12, "huge": 1e20, "half": 0.1 + 0.2, "none": None, "ids": [1, 2]}
    gate = Gate(
        name="skill", measured=-0.0, threshold=1e-300, comparison="<=", passed=True, detail="ok", evidence={"n": 2.0}
    )
    open_gate = Gate(name="sound", measured=None, threshold=None, comparison="is", passed=True, detail="it loads")
    return DecisionCard(
        model_name="m",
        bundle_hash="b",
        champion_hash=None,
        verdict="promote",
        reason=reason,
        gates=(gate, open_gate),
        evidence=numbers,
    )


def test_a_card_comes_back_as_it_was_decided(engine: Engine) -> None:
    """Awkward numbers survive PostgreSQL, and the hash with them."""
    made = card("comes back")
    found = load_card(engine, save_card(engine, made))
    assert found == made
    assert found.content_hash == made.content_hash


def test_the_same_card_is_stored_once(engine: Engine) -> None:
    """A second save gives the first id; another card gets its own."""
    first = save_card(engine, card("once"))
    assert save_card(engine, card("once")) == first
    assert save_card(engine, card("another")) != first


def test_an_edited_card_is_refused(engine: Engine) -> None:
    """Somebody improved a number afterwards."""
    card_id = save_card(engine, card("edited"))
    with engine.begin() as connection:
        connection.execute(update(decision_cards).where(decision_cards.c.id == card_id).values(evidence={"rows": 1001}))
    with pytest.raises(CardError, match="not what was decided"):
        load_card(engine, card_id)


def test_an_absent_card_is_refused(engine: Engine) -> None:
    """No promotion without its reasons."""
    with pytest.raises(CardError, match="no decision card 999999"):
        load_card(engine, 999_999)
