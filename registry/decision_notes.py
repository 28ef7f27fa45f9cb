"""How does a model card lead to the decisions about its model?

Three tags of the version tell the last decision (card, verdict, reason), and a section at the end of its description
lists the last few, newest first. The card in PostgreSQL is the truth, this is where people look; the same decision
noted twice stands there once.

    >>> print(with_decision("A model.", NotedDecision(card_id=7, verdict="refuse", reason="Too few trades.")))
    A model.
    <BLANKLINE>
    ### Decisions
    <BLANKLINE>
    - card 7, refuse: Too few trades. (`lockstep cards show 7`)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.errors import StoreError

if TYPE_CHECKING:
    from registry.cards import DecisionCard
    from registry.mlflow_store import ModelStore

__all__ = ["NotedDecision", "decision_in_words", "decision_tags", "note_decision", "with_decision"]

_HEAD = "\n\n### Decisions\n\n"
_LONGEST = 5000  # of a description in MLflow's database
_LONGEST_REASON = 300
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedDecision:
    """What a decision card says in short; ``card_id`` is its number in PostgreSQL."""

    card_id: int
    verdict: str
    reason: str


def note_decision(store: "ModelStore", version: int, card_id: int, card: "DecisionCard") -> bool:
    """Show a stored card on the version it judged; False where the registry cannot, which undoes no decision."""
    try:
        store.add_decision(version, NotedDecision(card_id=card_id, verdict=card.verdict, reason=card.reason))
    except StoreError:
        return False
    return True


def decision_tags(decision: NotedDecision) -> dict[str, str]:
    """The tags of the version that was judged."""
    return {
        "decision_card": str(decision.card_id),
        "decision": decision.verdict,
        "decision_reason": _short(decision.reason),
    }


def decision_in_words(tags: Mapping[str, str]) -> str | None:
    """``promote (card 7)`` from a version's tags; None where nothing was decided about it."""
    if "decision" not in tags:
        return None
    return f"{tags['decision']} (card {tags.get('decision_card', 'unknown')})"


def with_decision(description: str, decision: NotedDecision) -> str:
    """The description with this decision first in its section, in no more characters than MLflow keeps."""
    card, _, section = description.rstrip().partition(_HEAD)
    number = decision.card_id
    line = f"- card {number}, {decision.verdict}: {_short(decision.reason)} (`lockstep cards show {number}`)"
    earlier = [one for one in section.splitlines() if one.startswith("- ") and not _about(one, number)]
    lines = [line, *earlier][:_SHOWN]
    told = _HEAD + "\n".join(lines)
    return card[: _LONGEST - len(told)] + told


def _about(line: str, card_id: int) -> bool:
    return re.match(rf"- card {card_id},", line) is not None


def _short(reason: str) -> str:
    flat = " ".join(reason.split())
    return flat if len(flat) <= _LONGEST_REASON else f"{flat[: _LONGEST_REASON - 3]}..."
