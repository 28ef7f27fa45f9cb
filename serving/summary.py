"""What did a run of serving do, in numbers?

Counts only; they are sums over bars and symbols, so ``signals`` is ``bars * symbols`` and the reasons sum to it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from serving.records import BarRecord
from serving.store import unforeseen_in

__all__ = ["ServeSummary", "SummaryCount", "combined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSummary:
    """One run: bars served now, bars found already served, bars passed over because they were too long ago.

    ``reasons`` counts signals per fail-closed cause, ``actions`` per action of the champion, ``funnel`` its decisions
    per step, ``errors`` bars per bundle hash on which that bundle failed, ``unforeseen`` errors that nobody foresaw per
    kind. ``first_index`` and ``last_index`` are None when nothing was served.
    """

    bars: int
    already_served: int
    passed_over: int
    first_index: int | None
    last_index: int | None
    signals: int
    predictions: int
    opened: int
    closed: int
    reasons: dict[str, int]
    actions: dict[int, int]
    funnel: dict[str, int]
    errors: dict[str, int]
    unforeseen: dict[str, int]


@dataclass(slots=True, kw_only=True)
class SummaryCount:
    """Adds up bar records."""

    timeframe_ms: int
    already_served: int = 0
    passed_over: int = 0
    bars: list[int] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    actions: Counter[int] = field(default_factory=Counter)
    funnel: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unforeseen: Counter[str] = field(default_factory=Counter)

    def add(self, record: BarRecord) -> None:
        """Count one bar."""
        self.bars.append(record.bar_ms // self.timeframe_ms)
        self.totals.update(
            signals=len(record.signals),
            predictions=len(record.predictions),
            opened=len(record.opened),
            closed=len(record.closed),
        )
        self.reasons.update(row.reason for row in record.signals)
        self.actions.update(row.action for row in record.signals)
        self.funnel.update(_counts(record.detail.get("funnel")))
        self.errors.update(_names(record.detail.get("errors")))
        self.unforeseen.update(unforeseen_in([record]))

    def summary(self) -> ServeSummary:
        """The numbers so far."""
        return ServeSummary(
            bars=len(self.bars),
            already_served=self.already_served,
            passed_over=self.passed_over,
            first_index=self.bars[0] if self.bars else None,
            last_index=self.bars[-1] if self.bars else None,
            signals=self.totals["signals"],
            predictions=self.totals["predictions"],
            opened=self.totals["opened"],
            closed=self.totals["closed"],
            reasons=dict(self.reasons),
            actions=dict(self.actions),
            funnel=dict(self.funnel),
            errors=dict(self.errors),
            unforeseen=dict(self.unforeseen),
        )


def combined(parts: Iterable[ServeSummary]) -> ServeSummary:
    """The run of several shares as one: counts of what was made add up, bars are those of the share with the most."""
    found = list(parts)
    firsts = [one.first_index for one in found if one.first_index is not None]
    lasts = [one.last_index for one in found if one.last_index is not None]

    def sums(name: str) -> Counter[Any]:
        return sum((Counter(getattr(one, name)) for one in found), Counter[Any]())

    return ServeSummary(
        bars=max((one.bars for one in found), default=0),
        already_served=min((one.already_served for one in found), default=0),
        passed_over=max((one.passed_over for one in found), default=0),
        first_index=min(firsts, default=None),
        last_index=max(lasts, default=None),
        signals=sum(one.signals for one in found),
        predictions=sum(one.predictions for one in found),
        opened=sum(one.opened for one in found),
        closed=sum(one.closed for one in found),
        reasons=dict(sums("reasons")),
        actions=dict(sums("actions")),
        funnel=dict(sums("funnel")),
        errors=dict(sums("errors")),
        unforeseen=dict(sums("unforeseen")),
    )


def _counts(found: object) -> dict[str, int]:
    return {str(name): int(count) for name, count in found.items()} if isinstance(found, dict) else {}


def _names(found: object) -> list[str]:
    return [str(name) for name in found] if isinstance(found, dict) else []
