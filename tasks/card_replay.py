"""Does a decision, taken again from what is stored, come out the same?

The gates are computed anew from stored rows and from the facts on the card, and compared with it number by number.
Evidence that was edited, added or removed since shows in its fingerprint, whether or not it changes the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

from sqlalchemy import Engine

from learning.gates import evaluate_gates, gates_verdict
from registry.cards import DecisionCard, Gate, load_card
from registry.errors import CardError
from tasks.decision_evidence import evidence_digests, gate_inputs, profile_in, restored_facts

__all__ = ["CardReplay", "ReplayedGate", "replay_card"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedGate:
    """One gate then and now; None where the other side does not have it."""

    name: str
    then: Gate | None
    now: Gate | None

    @property
    def same(self) -> bool:
        """Whether both measured the same, against the same threshold, with the same answer."""
        if self.then is None or self.now is None:
            return False
        numbers = ((self.then.measured, self.now.measured), (self.then.threshold, self.now.threshold))
        return self.then.passed == self.now.passed and all(_same(*pair) for pair in numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardReplay:
    """A decision taken again: ``verdict`` is what the gates say now, ``changed`` the evidence that differs."""

    card_id: int
    card: DecisionCard
    verdict: str
    gates: tuple[ReplayedGate, ...]
    changed: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether verdict, every gate and all evidence are what they were."""
        said = "refuse" if self.card.verdict == "force" else self.card.verdict
        return self.verdict == said and not self.changed and all(gate.same for gate in self.gates)


def replay_card(engine: Engine, card_id: int) -> CardReplay:
    """Take a stored decision again; raises ``CardError`` for a card that is absent, edited or without its facts."""
    card = load_card(engine, card_id)
    stored: Any = card.evidence
    if "facts" not in stored or "digests" not in stored:
        raise CardError(
            f"decision card {card_id} cannot be replayed",
            why="it was written by a release that did not keep what a replay needs",
            remedy="judge the challenger again with lockstep promote --dry-run",
        )
    facts = restored_facts(stored["facts"])
    digests = evidence_digests(engine, facts, bundle_hash=card.bundle_hash, champion_hash=card.champion_hash)
    inputs, _ = gate_inputs(engine, facts, bundle_hash=card.bundle_hash, champion_hash=card.champion_hash)
    gates = evaluate_gates(inputs, profile_in(facts))
    return CardReplay(
        card_id=card_id,
        card=card,
        verdict=gates_verdict(gates)[0],
        gates=_side_by_side(card.gates, gates),
        changed=tuple(name for name, digest in digests.items() if stored["digests"].get(name) != digest),
    )


def _side_by_side(then: Sequence[Gate], now: Sequence[Gate]) -> tuple[ReplayedGate, ...]:
    before, after = ({gate.name: gate for gate in gates} for gates in (then, now))
    return tuple(ReplayedGate(name=name, then=before.get(name), now=after.get(name)) for name in {**before, **after})


def _same(then: float | None, now: float | None) -> bool:
    """Equal but for the last bits, in which another machine's sums may differ."""
    if then is None or now is None:
        return then is now
    return isclose(then, now, rel_tol=1e-9, abs_tol=1e-12)
