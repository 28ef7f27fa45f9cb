"""Decision cards in PostgreSQL."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from infra.tables import decision_cards
from registry.cards import INTEGRITY_GATES, DecisionCard, Forced, Gate, forced, load_card, save_card
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


def refused(failing: str) -> DecisionCard:
    gate = Gate(name=failing, measured=None, threshold=None, comparison="is", passed=False, detail="it failed")
    return replace(card("refused"), verdict="refuse", gates=(gate,))


def test_a_person_may_overrule_statistics(engine: Engine) -> None:
    """Who and why are on the card, beside what the gates said; it comes back as it was decided."""
    made = forced(refused("shadow_sharpe_min"), Forced(who="ada", why="the exchange changed its fees"))
    assert made.verdict == "force"
    assert all(word in made.reason for word in ("ada", "changed its fees", "refused"))
    assert load_card(engine, save_card(engine, made)) == made


@pytest.mark.parametrize("gate", INTEGRITY_GATES)
def test_nobody_overrules_integrity(gate: str) -> None:
    """A bundle or a comparison that is not what it seems stays refused."""
    with pytest.raises(CardError, match=f"although {gate} failed"):
        forced(refused(gate), Forced(who="ada", why="I want it"))


@pytest.mark.parametrize(("who", "why"), [("", "because"), ("ada", " ")])
def test_nobody_overrules_without_name_and_reason(who: str, why: str) -> None:
    """It would be found in a year and understood by nobody."""
    with pytest.raises(CardError, match="without a name or a reason"):
        forced(refused("skill"), Forced(who=who, why=why))
