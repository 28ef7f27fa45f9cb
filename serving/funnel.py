"""Where did each symbol of each bar end on its way to a signal?

Counted from the stored signals, once each: at a cause of the fail-closed table, at a rule of the decision, or SAID. So
the three parts sum to the signals, and those to bars times symbols.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from infra.tables import signals
from serving.states import State, state_of

__all__ = ["SignalFunnel", "read_funnel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFunnel:
    """``blocked`` counts signals by cause, ``held`` by the rule that kept a symbol back, ``said`` those that act."""

    bars: int
    signals: int
    blocked: dict[str, int]
    held: dict[str, int]
    said: int

    @property
    def adds_up(self) -> bool:
        """Whether every signal is counted exactly once."""
        return sum(self.blocked.values()) + sum(self.held.values()) + self.said == self.signals


def read_funnel(
    engine: Engine, *, model_name: str, since_ms: int | None = None, until_ms: int | None = None
) -> SignalFunnel:
    """The signals of bars that open in ``[since_ms, until_ms)``; None takes all there are."""
    s = signals.c
    step, acted = s.steps["step"].astext, s.action != 0
    query = select(s.reason, step.label("step"), acted.label("acted"), func.count().label("n")).where(
        s.model_name == model_name,
        *(() if since_ms is None else (s.bar_ms >= since_ms,)),
        *(() if until_ms is None else (s.bar_ms < until_ms,)),
    )
    bars = select(func.count(s.bar_ms.distinct())).where(*query._where_criteria)  # noqa: SLF001  the same bars
    blocked: dict[str, int] = {}
    held: dict[str, int] = {}
    said = total = 0
    with engine.connect() as connection:
        for row in connection.execute(query.group_by(s.reason, step, acted)):
            total += row.n
            if row.acted:
                said += row.n
                continue
            into, name = (blocked, row.reason) if state_of(row.reason) >= State.FLAT else (held, row.step or row.reason)
            into[name] = into.get(name, 0) + row.n
        return SignalFunnel(
            bars=int(connection.scalar(bars) or 0),
            signals=total,
            blocked=dict(sorted(blocked.items(), key=lambda one: -one[1])),
            held=dict(sorted(held.items(), key=lambda one: -one[1])),
            said=said,
        )
