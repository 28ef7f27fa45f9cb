"""What must hold of a bar that is decided, before it may be said?

The market moves, the champion tells bars apart, and nobody was kept waiting. Each check is a pure function in a file of
its own; here they are asked, bar after bar, and what they find is taken out of the signals (``serving.withholding``).
Also told here: that a venue changed an earlier bar, and what sort of error nobody foresaw.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine

from infra.lake import Lake
from market.timeframe import Timeframe
from serving.constant_output import OutputRing, recall_outputs
from serving.lineup import Lineup, ServePlan
from serving.market_view import MarketView
from serving.records import BarRecord, SignalRow
from serving.revisions import Revisions, read_revisions
from serving.states import OK, UNKNOWN, gravest
from serving.withholding import withheld

__all__ = ["Guards", "open_guards", "too_slow"]


@dataclass(slots=True, kw_only=True, eq=False)
class Guards:
    """The checks of one run of bars; ``ring`` holds the champion's last answers, None where nobody is champion."""

    plan: ServePlan
    champion: str | None
    ring: OutputRing
    revisions: Revisions

    def check(self, record: BarRecord, view: MarketView, *, after_ms: int, until_ms: int) -> BarRecord:
        """The bar as it may be said; bars before it were decided at ``after_ms``, this one at ``until_ms``."""
        index = record.bar_ms // self.plan.contract.timeframe_ms
        answers = [row for row in record.predictions if row.bundle_hash == self.champion]
        self.ring.add(sorted(answers, key=lambda row: row.symbol, reverse=True))  # as ``recall_outputs`` puts them
        everywhere = "constant_output" if self.ring.is_constant() else OK
        frozen = view.standing_still(index, bars=self.plan.frozen_bars)
        revised = self.revisions.between(after_ms, until_ms, before_ms=record.bar_ms)
        causes = {
            symbol: gravest(
                (
                    everywhere,
                    "frozen_feed" if symbol in frozen else OK,
                    "revised_bar" if symbol in revised else OK,
                )
            )
            for symbol in self.plan.symbols
        }
        return _named(withheld(record, causes), self.champion)


def open_guards(
    engine: Engine,
    lake: Lake,
    lineup: Lineup,
    plan: ServePlan,
    *,
    first_index: int,
    end_index: int,
    changed: Sequence[str] | None = None,
    ring: OutputRing | None = None,
) -> Guards:
    """The checks for the bars ``[first_index, end_index)``, with the memory of the bars before them.

    ``changed``: the only markets of which an earlier bar can have changed since the last decision; None for all.
    ``ring``: the champion's last answers, where the caller still has them.
    """
    timeframe = Timeframe(plan.contract.timeframe_ms)
    champion = None if lineup.champion is None else lineup.champion.bundle.hash
    recalled = ring is None
    ring = OutputRing(plan.constant_predictions) if ring is None else ring
    if champion is not None and recalled:
        with engine.connect() as connection:
            ring = recall_outputs(
                connection,
                model_name=plan.model_name,
                bundle_hash=champion,
                symbols=plan.symbols,
                before_ms=timeframe.open_time(first_index),
                size=plan.constant_predictions,
            )
    asked = plan.symbols if changed is None else changed
    revisions = read_revisions(lake, asked, timeframe, first_index=first_index, end_index=end_index)
    return Guards(plan=plan, champion=champion, ring=ring, revisions=revisions)


def too_slow(record: BarRecord, plan: ServePlan, *, took_ms: int) -> BarRecord:
    """The bar, silent where its decision took longer than allowed."""
    if took_ms <= plan.max_decision_ms:
        return record
    return withheld(record, dict.fromkeys(plan.symbols, "slow_decision"))


def _named(record: BarRecord, champion: str | None) -> BarRecord:
    """The kind of error in the steps of each signal that one nobody foresaw kept back."""
    kinds = record.detail.get("unforeseen")
    if not isinstance(kinds, dict):
        return record
    rows = tuple(_with_kind(row, kinds, champion) for row in record.signals)
    return replace(record, signals=rows)


def _with_kind(row: SignalRow, kinds: Mapping[str, str], champion: str | None) -> SignalRow:
    kind = kinds.get(row.symbol) or kinds.get(champion or "")
    if row.reason != UNKNOWN or kind is None:
        return row
    steps = {**json.loads(row.steps), "error": kind}
    return replace(row, steps=json.dumps(steps, allow_nan=False, separators=(",", ":")))
