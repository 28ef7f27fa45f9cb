"""How much of the capital do signals use, by the champion's stage?

In live mode every size is multiplied by the stage's share of the capital, and no more positions are said at once than
the stage allows; the most confident come first. A stage without capital says nothing (``no_capital``). Book, paper
trades and the record they make stay whole: the ramp looks at them.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Engine

from serving.bar import Seat
from serving.lineup import ServePlan
from serving.ramp import Stage, position_cap, size_share
from serving.records import BarRecord, SignalRow
from serving.stages import current_stage
from serving.states import OK

__all__ = ["NO_CAPITAL", "capital_cause", "stage_of", "with_capital"]

NO_CAPITAL = "no_capital"
HELD_BY_CAPITAL = "CAPITAL"


def stage_of(engine: Engine, plan: ServePlan) -> Stage | None:
    """The stage that holds now; None where capital is not ramped: in a replay, in observe and in paper mode."""
    return None if plan.ramp is None else current_stage(engine, plan.model_name)


def capital_cause(stage: Stage | None) -> str:
    """``no_capital`` at a stage that has none."""
    return OK if stage is None or size_share(stage) > 0.0 else NO_CAPITAL


def with_capital(record: BarRecord, plan: ServePlan, stage: Stage | None, seats: Sequence[Seat]) -> BarRecord:
    """The bar with sizes in capital; the very record where nothing is ramped."""
    if plan.ramp is None or stage is None:
        return record
    acting = sorted(
        (row for row in record.signals if row.action), key=lambda row: (-(row.confidence or 0.0), row.symbol)
    )
    cap = position_cap(stage, plan.ramp)
    free = len(acting) if cap is None else max(cap - _open_before(seats, len(acting)), 0)
    spoken = {row.symbol for row in acting[:free]}
    rows = tuple(_in_capital(row, stage, spoken=row.symbol in spoken) for row in record.signals)
    return replace(record, signals=rows)


def _open_before(seats: Sequence[Seat], now: int) -> int:
    """Positions of the champion that were said before this bar and are open still."""
    champion = next((seat for seat in seats if seat.role == "champion"), None)
    return 0 if champion is None else max(int(np.count_nonzero(champion.state.said)) - now, 0)


def _in_capital(row: SignalRow, stage: Stage, *, spoken: bool) -> SignalRow:
    if not row.action or row.size is None:
        return row
    steps = {**json.loads(row.steps), "capital": stage.value, "capital_share": size_share(stage)}
    if not spoken:
        held = _json({**steps, "step": HELD_BY_CAPITAL})
        return replace(row, action=0, confidence=None, size=None, steps=held)
    return replace(row, size=row.size * size_share(stage), steps=_json(steps))


def _json(steps: dict[str, object]) -> str:
    return json.dumps(steps, allow_nan=False, separators=(",", ":"))
