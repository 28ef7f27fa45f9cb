"""How does a served bar get into PostgreSQL, whole, once, and fast?

One transaction for one bar (or, in a replay, for a few): at most seven statements whatever the number of symbols, each
an ``INSERT ... SELECT unnest(...) ON CONFLICT DO NOTHING``. What is already there stays as it was first written, so
serving a bar twice changes nothing, and a process killed anywhere leaves whole bars only.

Signals come last and in turn: whoever writes them holds a lock from the first id to the commit, so ids become visible
in their order, and who has read up to one never misses a smaller one. The same statement tells the channel
``lockstep_signals`` what a live bar brought; PostgreSQL says it at the commit, and never for a bar rolled back.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields

from sqlalchemy import Connection, Engine

from infra.bell import SIGNALS
from infra.locks import lock_key
from serving.records import BarRecord, FeatureRow, PaperExit, PaperTrade, PositionCheck, PredictionRow, SignalRow

__all__ = ["UNFORESEEN", "unforeseen_in", "write_bars", "write_heartbeat"]

UNFORESEEN = "unforeseen errors"
"""The component that counts errors nobody foresaw, by kind."""
_ARRAYS = {"model_probabilities": "float8[]", "probabilities": "float8[]", "votes": "int[]"}
_TYPES = {
    "bar_ms": "bigint",
    "known_at_ms": "bigint",
    "entry_ms": "bigint",
    "exit_ms": "bigint",
    "settled_ms": "bigint",
    "at_ms": "bigint",
    "features": "bytea",
    "reason": "text",
    "action": "smallint",
    "side": "smallint",
    "barrier": "smallint",
    "version": "int",
    "confidence": "float8",
    "size": "float8",
    "book_size": "float8",
    "correlation": "float8",
    "atr_fraction": "float8",
    "vol_ratio": "float8",
    "net": "float8",
    "gross": "float8",
    "funding": "float8",
    "steps": "jsonb",
}
_Row = (
    type[FeatureRow] | type[PredictionRow] | type[SignalRow] | type[PaperTrade] | type[PaperExit] | type[PositionCheck]
)


def write_bars(engine: Engine, records: Sequence[BarRecord], *, heartbeat: str | None = None) -> None:
    """Write these bars in one transaction, oldest first; with ``heartbeat`` the component's sign of life too."""
    if not records:
        return
    with engine.begin() as connection:
        _insert(connection, "feature_rows", FeatureRow, [row for one in records for row in one.features])
        _insert(connection, "predictions", PredictionRow, [row for one in records for row in one.predictions])
        _insert(connection, "paper_trades", PaperTrade, [row for one in records for row in one.opened])
        _insert(connection, "position_checks", PositionCheck, [row for one in records for row in one.checks])
        _close(connection, [row for one in records for row in one.closed])
        for kind, times in unforeseen_in(records).items():
            _count_unforeseen(connection, kind, times)
        if heartbeat is not None:
            write_heartbeat(connection, heartbeat, records[-1].detail)
        written = "signals" if heartbeat is None else "live signals"
        _insert(connection, written, SignalRow, [row for one in records for row in one.signals])


def write_heartbeat(connection: Connection, component: str, detail: dict[str, object]) -> None:
    """Say that ``component`` is alive, with what it last did."""
    connection.exec_driver_sql(
        "INSERT INTO heartbeats (component, at, detail) VALUES (%(component)s, now(), %(detail)s::jsonb) "
        "ON CONFLICT (component) DO UPDATE SET at = now(), detail = excluded.detail",
        {"component": component, "detail": json.dumps(detail, allow_nan=False)},
    )


def unforeseen_in(records: Iterable[BarRecord]) -> Counter[str]:
    """How often each kind of error that nobody foresaw stopped something in these bars."""
    found: Counter[str] = Counter()
    for record in records:
        kinds = record.detail.get("unforeseen")
        found.update(kinds.values() if isinstance(kinds, dict) else ())
    return found


def _count_unforeseen(connection: Connection, kind: str, times: int) -> None:
    """Add to the count of this kind, in the transaction of the bar it stopped."""
    connection.exec_driver_sql(
        "INSERT INTO heartbeats AS kept (component, at, detail) "
        "VALUES (%(component)s, now(), jsonb_build_object(%(kind)s::text, %(times)s::int)) "
        "ON CONFLICT (component) DO UPDATE SET at = now(), detail = kept.detail || "
        "jsonb_build_object(%(kind)s::text, coalesce((kept.detail ->> %(kind)s::text)::int, 0) + %(times)s::int)",
        {"component": UNFORESEEN, "kind": kind, "times": times},
    )


def _insert(connection: Connection, table: str, kind: _Row, rows: Sequence[object]) -> None:
    if rows:
        names = [field.name for field in fields(kind)]
        connection.exec_driver_sql(_INSERTS[table], {name: _column(name, rows) for name in names})


def _close(connection: Connection, rows: Sequence[PaperExit]) -> None:
    """Record exits of trades that are still open; a recorded exit is never changed."""
    if rows:
        names = [field.name for field in fields(PaperExit)]
        connection.exec_driver_sql(_CLOSE, {name: _column(name, rows) for name in names})


def _column(name: str, rows: Iterable[object]) -> str:
    """One field of all rows as the text of a PostgreSQL array, which is quicker to write than a driver's arrays."""
    return "{" + ",".join([_element(getattr(row, name)) for row in rows]) + "}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bytes):
        return '"\\\\x' + value.hex() + '"'
    if isinstance(value, tuple):
        return '"{' + ",".join(map(repr, value)) + '}"'
    return repr(float(value)) if isinstance(value, float) else str(int(value))  # type: ignore[call-overload]


def _source(kind: _Row, types: dict[str, str]) -> str:
    """``unnest(...)`` over one array parameter per field."""
    names = [field.name for field in fields(kind)]
    arrays = ", ".join(f"%({name})s::{'text' if name in _ARRAYS else types.get(name, 'text')}[]" for name in names)
    return f"unnest({arrays}) AS given({', '.join(names)})"


def _insert_statement(table: str, kind: _Row, types: dict[str, str], *, before: str = "", also: str = "") -> str:
    names = [field.name for field in fields(kind)]
    values = ", ".join(f"{name}::{_ARRAYS[name]}" if name in _ARRAYS else name for name in names)
    # Table and column names come from this module alone, values travel as parameters.
    return (
        f"{before}INSERT INTO {table} ({', '.join(names)}) "  # noqa: S608
        f"SELECT {values} FROM {_source(kind, types)}{also} ON CONFLICT DO NOTHING"
    )


def _in_turn(*, told: bool) -> str:
    """Insert signals with ids in the order of commits; ``told``: say so on the channel, once a model and bar."""
    turn = f"turn AS MATERIALIZED (SELECT pg_advisory_xact_lock({lock_key('signals in turn')}))"
    if not told:
        return _insert_statement("signals", SignalRow, _TYPES, before=f"WITH {turn} ", also=", turn")
    inserted = _insert_statement("signals", SignalRow, _TYPES, also=", turn")
    return (
        f"WITH {turn}, said AS ({inserted} RETURNING id, model_name, bar_ms) "  # noqa: S608
        f"SELECT pg_notify('{SIGNALS}', json_build_object('model_name', model_name, 'bar_ms', bar_ms, "
        "'first_id', min(id), 'last_id', max(id), 'signals', count(*))::text) FROM said GROUP BY model_name, bar_ms"
    )


_INSERTS = {
    "feature_rows": _insert_statement("feature_rows", FeatureRow, _TYPES | {"reason": "int"}),
    "predictions": _insert_statement("predictions", PredictionRow, _TYPES),
    "signals": _in_turn(told=False),
    "live signals": _in_turn(told=True),
    "paper_trades": _insert_statement("paper_trades", PaperTrade, _TYPES),
    "position_checks": _insert_statement("position_checks", PositionCheck, _TYPES),
}
_CLOSE = (
    "UPDATE paper_trades AS kept SET exit_ms = given.exit_ms, settled_ms = given.settled_ms, net = given.net, "  # noqa: S608
    "gross = given.gross, funding = given.funding, barrier = given.barrier "
    f"FROM {_source(PaperExit, _TYPES)} "
    "WHERE kept.bundle_hash = given.bundle_hash AND kept.symbol = given.symbol AND kept.bar_ms = given.bar_ms "
    "AND kept.exit_ms IS NULL"
)
