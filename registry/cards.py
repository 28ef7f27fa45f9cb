"""Why was a challenger promoted or refused?

A decision card holds every number of that decision: the gates with what was measured and what was asked, and the
evidence (ids of runs, windows, counts, the smallest effect the test could have seen). Its ``content_hash`` covers
all of it, so an edited card is refused when it is read back.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from infra.tables import decision_cards
from registry.canonical import canonical_json, sha256_hex
from registry.errors import CardError

__all__ = ["INTEGRITY_GATES", "DecisionCard", "Forced", "Gate", "forced", "load_card", "save_card"]

Comparison = Literal[">=", "<=", "is"]
Verdict = Literal["promote", "refuse", "force"]
INTEGRITY_GATES = ("integrity", "fresh_process", "data_origin", "shadow_pairing")
"""Gates that nobody can overrule: they say whether the bundle and the comparison are what they seem to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One question to a challenger: ``measured`` ``comparison`` ``threshold``.

    ``measured`` None means it could not be measured (and cannot have passed by a number); ``is`` marks a yes/no gate.
    ``evidence`` is JSON: ids and counts that let the number be found again.
    """

    name: str
    measured: float | None
    threshold: float | None
    comparison: Comparison
    passed: bool
    detail: str
    evidence: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCard:
    """The whole decision about one challenger; ``champion_hash`` None where there was no champion."""

    model_name: str
    bundle_hash: str
    champion_hash: str | None
    verdict: Verdict
    reason: str
    gates: tuple[Gate, ...]
    evidence: dict[str, object]

    def __post_init__(self) -> None:
        """Refuse a promotion that a gate speaks against, and a card without a reason."""
        failed = [gate.name for gate in self.gates if not gate.passed]
        if self.verdict == "promote" and (failed or not self.gates):
            lacking = " and ".join(failed) + " did not pass" if failed else "nothing was tested"
            raise CardError(
                f"a card promotes although {lacking}",
                why="the verdict must follow from the gates",
                remedy="let the gates decide, or change their thresholds in the settings",
            )
        untrue = [name for name in failed if name in INTEGRITY_GATES]
        if self.verdict == "force" and (untrue or not self.gates):
            lacking = " and ".join(untrue) + " failed" if untrue else "nothing was tested"
            raise CardError(
                f"a card forces a promotion although {lacking}",
                why="statistics can be overruled by a person, a bundle or comparison that is not what it seems cannot",
                remedy="mend what the gate names (lockstep cards show, lockstep models verify, lockstep shadow)",
            )
        if self.verdict not in ("promote", "refuse", "force") or not self.reason:
            raise CardError(
                f"a card with verdict {self.verdict!r} and reason {self.reason!r}",
                why="a decision nobody can explain is no decision",
                remedy="give verdict promote, refuse or force, and a reason",
            )

    @property
    def content_hash(self) -> str:
        """SHA-256 (64 hex digits) over every field; 1 and 1.0 are the same number, as they are to PostgreSQL."""
        return sha256_hex(canonical_json(_plain(asdict(self))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """Who promoted past failed gates, and why."""

    who: str
    why: str


def forced(card: DecisionCard, by: Forced) -> DecisionCard:
    """The same decision, overruled by a person; raises ``CardError`` past a gate of integrity or without a reason."""
    if not by.who.strip() or not by.why.strip():
        raise CardError(
            "a forced promotion without a name or a reason",
            why="whoever reads it later must know who overruled the gates, and why",
            remedy="give --why with --force",
        )
    reason = f"Forced by {by.who}: {by.why}. The gates said: {card.reason}"
    return replace(card, verdict="force", reason=reason, evidence={**card.evidence, "forced": asdict(by)})


def save_card(engine: Engine, card: DecisionCard) -> int:
    """Store a card and return its id; the same card again gives the same id."""
    row = {**asdict(card), "content_hash": card.content_hash}
    row["gates"] = [asdict(gate) for gate in card.gates]
    with engine.begin() as connection:
        done = connection.execute(
            insert(decision_cards).values(**row).on_conflict_do_nothing().returning(decision_cards.c.id)
        ).scalar()
        if done is None:
            query = select(decision_cards.c.id).where(decision_cards.c.content_hash == card.content_hash)
            done = connection.execute(query).scalar_one()
    return int(done)


def load_card(engine: Engine, card_id: int) -> DecisionCard:
    """Read a card back; raises ``CardError`` when it is absent or was edited."""
    with engine.connect() as connection:
        row = connection.execute(select(decision_cards).where(decision_cards.c.id == card_id)).mappings().one_or_none()
    if row is None:
        raise CardError(
            f"there is no decision card {card_id}",
            why="a promotion without its reasons cannot be explained later",
            remedy="list the cards with lockstep cards list",
        )
    card = DecisionCard(
        model_name=row["model_name"],
        bundle_hash=row["bundle_hash"],
        champion_hash=row["champion_hash"],
        verdict=row["verdict"],
        reason=row["reason"],
        gates=tuple(Gate(**gate) for gate in row["gates"]),
        evidence=row["evidence"],
    )
    if card.content_hash != row["content_hash"]:
        raise CardError(
            f"decision card {card_id} is not what was decided",
            why=f"its content has hash {card.content_hash[:12]}, it was stored with {row['content_hash'][:12]}",
            remedy="find out who changed the row, and judge the challenger again",
        )
    return card


def _plain(value: Any) -> Any:
    """Whole floats as integers, tuples as lists: what a round trip through JSON in PostgreSQL keeps."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
