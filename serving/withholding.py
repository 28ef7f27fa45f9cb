"""How is a bar that was decided kept from being said?

Some trouble shows only once a bar is decided: it took too long, or the champion says the same to everything. Such a
cause takes the action out of the signals and leaves predictions, decisions and paper trades as they are, so a blocked
system can be judged and recover.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from registry.policy import Action
from serving.records import BarRecord, SignalRow
from serving.states import State, gravest, state_of

__all__ = ["withheld"]


def withheld(record: BarRecord, causes: Mapping[str, str]) -> BarRecord:
    """The bar with these causes by symbol added to what its signals say; the graver one counts, the older of equals.

    The very record where nothing changes.
    """
    rows = tuple(_with_cause(row, causes.get(row.symbol, row.reason)) for row in record.signals)
    if all(new is old for new, old in zip(rows, record.signals, strict=True)):
        return record
    detail = {**record.detail, "reasons": dict(Counter(row.reason for row in rows))}
    return replace(record, signals=rows, detail=detail)


def _with_cause(row: SignalRow, cause: str) -> SignalRow:
    reason = gravest((row.reason, cause))
    if reason == row.reason:
        return row
    state = state_of(reason)
    steps = json.dumps({**json.loads(row.steps), "cause": reason}, allow_nan=False, separators=(",", ":"))
    if state < State.FLAT:
        return replace(row, state=state.name, reason=reason, steps=steps)
    return replace(
        row, state=state.name, reason=reason, steps=steps, action=int(Action.HOLD), confidence=None, size=None
    )
