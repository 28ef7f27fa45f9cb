"""What must a worker know of the database when a round begins?

One question instead of six, as every bar waits for the answer.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from serving.halt import HALT_SWITCH
from serving.lineup import ServePlan

__all__ = ["Numbers", "RoundStart", "round_start"]

Numbers = tuple[int, int]
"""How many numbers the sequences of predictions and of signals have given out."""

_QUESTION = """
WITH served AS (
  SELECT max(newest.bar_ms) AS bar_ms
  FROM unnest(%(symbols)s::text[]) AS one(symbol)
  CROSS JOIN LATERAL (
    SELECT bar_ms FROM signals
    WHERE model_name = %(model_name)s AND symbol = one.symbol
    ORDER BY bar_ms DESC LIMIT 1
  ) AS newest
)
SELECT switch.value, switch.at, served.bar_ms,
  (SELECT max(known_at_ms) FROM feature_rows
   WHERE contract = %(contract)s AND symbol = ANY(%(symbols)s::text[]) AND bar_ms = served.bar_ms),
  p.last_value, p.is_called, s.last_value, s.is_called
FROM served
CROSS JOIN predictions_id_seq AS p
CROSS JOIN signals_id_seq AS s
LEFT JOIN switches AS switch ON switch.name = %(switch)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStart:
    """The switch, the newest bar served of the plan's symbols and when it was decided, and the numbers given out.

    ``resumed_ms``: when a person last released the switch. Times in ms UTC, None where there is none.
    """

    halted: bool
    resumed_ms: int | None
    served_ms: int | None
    decided_ms: int | None
    numbers: Numbers


def round_start(connection: Connection, plan: ServePlan) -> RoundStart:
    """Ask once."""
    asked = {
        "symbols": list(plan.symbols),
        "model_name": plan.model_name,
        "contract": plan.contract_id,
        "switch": HALT_SWITCH,
    }
    value, at, served_ms, known_ms, p_last, p_used, s_last, s_used = connection.exec_driver_sql(_QUESTION, asked).one()
    if known_ms is None and served_ms is not None:
        known_ms = served_ms + plan.contract.timeframe_ms
    return RoundStart(
        halted=value == "on",
        resumed_ms=None if value is None or value == "on" else int(at.timestamp() * 1000),
        served_ms=served_ms,
        decided_ms=known_ms,
        numbers=(p_last if p_used else 0, s_last if s_used else 0),
    )
