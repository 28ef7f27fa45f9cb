"""How does a served bar get into PostgreSQL, whole, once, and fast?

One transaction for one bar (or, in a replay, for a few): at most seven statements whatever the number of symbols, each
an ``INSERT ... SELECT unnest(...) ON CONFLICT DO NOTHING``. What is already there stays as it was first written, so
serving a bar twice changes nothing, and a process killed anywhere leaves whole bars only.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields

from sqlalchemy import Connection, Engine

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
        _insert(connection, "signals", SignalRow, [row for one in records for row in one.signals])
        _insert(connection, "paper_trades", PaperTrade, [row for one in records for row in one.opened])
        _insert(connection, "position_checks", PositionCheck, [row for one in records for row in one.checks])
        _close(connection, [row for one in records for row in one.closed])
        for kind, times in unforeseen_in(records).items():
            _count_unforeseen(connection, kind, times)
        if heartbeat is not None:
            write_heartbeat(connection, heartbeat, records[-1].detail)


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


def _insert_statement(table: str, kind: _Row, types: dict[str, str]) -> str:
    names = [field.name for field in fields(kind)]
    values = ", ".join(f"{name}::{_ARRAYS[name]}" if name in _ARRAYS else name for name in names)
    # Table and column names come from this module alone, values travel as parameters.
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {_source(kind, types)} ON CONFLICT DO NOTHING"  # noqa: S608
    )


_INSERTS = {
    "feature_rows": _insert_statement("feature_rows", FeatureRow, _TYPES | {"reason": "int"}),
    "predictions": _insert_statement("predictions", PredictionRow, _TYPES),
    "signals": _insert_statement("signals", SignalRow, _TYPES),
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
