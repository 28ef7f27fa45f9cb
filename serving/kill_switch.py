"""When does the worker itself throw the halt switch?

At the champion's drawdown limit, and after so many bars in a row on which the champion failed. What is thrown stays
thrown until a person resumes (``serving.halt``). Read from what was stored, so a worker killed between a bar and its
switch throws it after the next bar.
"""

from sqlalchemy import Connection, Engine, func, select

from infra.tables import signals
from serving.halt import is_halted, set_halt
from serving.records import BarRecord
from serving.states import CAUSES, CHAMPION_ERRORS

__all__ = ["throw_if_due"]

_WHO = "worker"


def throw_if_due(
    engine: Engine, record: BarRecord, *, model_name: str, timeframe_ms: int, max_error_bars: int
) -> str | None:
    """Halt where this stored bar asks for it; the reason, or None where nothing was thrown."""
    reasons = {signal.reason for signal in record.signals}
    if "drawdown" not in reasons and not reasons <= CHAMPION_ERRORS:
        return None
    with engine.connect() as connection:
        why = CAUSES["drawdown"].meaning
        if "drawdown" not in reasons:
            since_ms = record.bar_ms - (max_error_bars - 1) * timeframe_ms
            bad = _failed_bars(connection, model_name, since_ms)
            why = f"the champion failed on {bad} bars in a row (serving.max_error_bars)"
            if bad < max_error_bars:
                return None
        if is_halted(connection):
            return None
    set_halt(engine, on=True, why=why, who=_WHO)
    return why


def _failed_bars(connection: Connection, model_name: str, since_ms: int) -> int:
    """Bars since then on all of whose signals the champion failed; 0 where one of them went well."""
    per_bar = (
        select(func.bool_and(signals.c.reason.in_(sorted(CHAMPION_ERRORS))).label("failed"))
        .where(signals.c.model_name == model_name, signals.c.bar_ms >= since_ms)
        .group_by(signals.c.bar_ms)
        .subquery()
    )
    failed = per_bar.c.failed
    row = connection.execute(select(func.count().label("bars"), func.bool_and(failed).label("all_failed"))).one()
    return int(row.bars) if row.all_failed else 0
