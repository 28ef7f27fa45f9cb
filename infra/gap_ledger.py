"""How is a gap written down, and what changes when the holes of the lake change?

One row per open gap, named by its first bar. ``changes_of`` compares the open rows with the holes as they are now:
what is no hole any more is healed, what is left of a partly healed gap keeps the moment it was found, and what is new
comes in. Healed rows are never changed again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from infra.tables import gaps
from market.spans import Span, subtract
from market.timeframe import Timeframe

__all__ = [
    "Changes",
    "Gap",
    "GapStatus",
    "Piece",
    "changes_of",
    "note_asked",
    "open_gaps",
    "read_open",
    "withdraw_from",
    "write_changes",
]


class GapStatus(StrEnum):
    """What is known of a hole."""

    NOT_FETCHED = "not_fetched"
    MISSING = "missing_at_venue"
    HEALED = "healed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """``bars`` missing bars; ``first_ms`` and ``last_ms`` are the open times of the first and the last of them.

    ``source`` answered for it, last at ``asked_at``; both None while nobody did.
    """

    id: int
    symbol: str
    timeframe: str
    first_ms: int
    last_ms: int
    bars: int
    status: GapStatus
    source: str | None
    found_at: datetime
    asked_at: datetime | None

    def span(self, step: int) -> Span:
        """Half-open, from the open of the first missing bar to the close of the last."""
        return self.first_ms, self.last_ms + step


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A hole, or a part of one, as it is now."""

    span: Span
    status: GapStatus
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What has to be written; each dict is one row of the table, without what all rows share."""

    healed: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()
    changed: tuple[dict[str, Any], ...] = ()
    added: tuple[dict[str, Any], ...] = ()


def open_gaps(engine: Engine, *, symbols: Sequence[str], timeframe: Timeframe) -> tuple[Gap, ...]:
    """The gaps the ledger holds open, by symbol and time, as of the last scan."""
    with engine.connect() as connection:
        found = read_open(connection, symbols=symbols, timeframe=timeframe)
    return tuple(gap for symbol in sorted(found) for gap in found[symbol])


def read_open(connection: Connection, *, symbols: Sequence[str], timeframe: Timeframe) -> dict[str, list[Gap]]:
    """The same by symbol, inside a transaction; a symbol without gaps has an empty list."""
    columns = [column for column in gaps.c if column.name != "healed_at"]
    rows = connection.execute(
        select(*columns)
        .where(gaps.c.symbol.in_(symbols), gaps.c.timeframe == timeframe.name, gaps.c.healed_at.is_(None))
        .order_by(gaps.c.symbol, gaps.c.first_ms)
    )
    found: dict[str, list[Gap]] = defaultdict(list)
    for row in rows.mappings():
        found[row["symbol"]].append(Gap(**{**row, "status": GapStatus(row["status"])}))
    return {symbol: found[symbol] for symbol in symbols}


def note_asked(engine: Engine, asked: Iterable[Gap]) -> None:
    """Date these gaps as asked for just now, where they are still open and the source still has nothing."""
    ids = [gap.id for gap in asked]
    still = (gaps.c.id.in_(ids), gaps.c.healed_at.is_(None), gaps.c.status == GapStatus.MISSING)
    with engine.begin() as connection:
        connection.execute(update(gaps).where(*still).values(asked_at=func.now()))


def withdraw_from(engine: Engine, *, symbol: str, timeframe: Timeframe, start_ms: int) -> None:
    """Take back the open gaps of this market that begin at ``start_ms`` or later."""
    late = (gaps.c.symbol == symbol, gaps.c.timeframe == timeframe.name, gaps.c.first_ms >= start_ms)
    with engine.begin() as connection:
        connection.execute(delete(gaps).where(*late, gaps.c.healed_at.is_(None)))


def changes_of(known: Sequence[Gap], pieces: Sequence[Piece], *, step: int, now: datetime) -> Changes:
    """What turns the open rows of one symbol into exactly these pieces; both sorted, neither overlapping itself."""
    same = {(gap.span(step), gap.status, gap.source) for gap in known} & {
        (piece.span, piece.status, piece.source) for piece in pieces
    }
    rows = [gap for gap in known if (gap.span(step), gap.status, gap.source) not in same]
    left = [piece for piece in pieces if (piece.span, piece.status, piece.source) not in same]
    holes = [piece.span for piece in left]
    by_start = {gap.first_ms: gap for gap in rows}
    starts = {piece.span[0] for piece in left}
    healed, gone, added = [], [], []
    for gap in rows:
        filled = subtract([gap.span(step)], holes)
        if filled == [gap.span(step)]:
            healed.append(gap.id)
            continue
        if gap.first_ms not in starts:
            gone.append(gap.id)
        added += [_healed_part(gap, span, step=step, now=now) for span in filled]
    changed = []
    for piece in left:
        row = _row(piece, rows, step=step, now=now)
        held = by_start.get(piece.span[0])
        if held is None:
            added.append(row | {"healed_at": None})
        else:
            changed.append(row | {"id": held.id})
    return Changes(healed=tuple(healed), gone=tuple(gone), changed=tuple(changed), added=tuple(added))


def write_changes(connection: Connection, changes: Changes, *, symbol: str, timeframe: Timeframe) -> None:
    """Write them; the rows that give up their first bar go before those that take one."""
    if changes.healed:
        done = update(gaps).where(gaps.c.id.in_(changes.healed))
        connection.execute(done.values(status=GapStatus.HEALED, healed_at=func.now()))
    if changes.gone:
        connection.execute(delete(gaps).where(gaps.c.id.in_(changes.gone)))
    if changes.changed:
        names = [name for name in changes.changed[0] if name != "id"]
        statement = update(gaps).where(gaps.c.id == bindparam("row_id"))
        values = [{"row_id": row["id"], **{f"new_{n}": row[n] for n in names}} for row in changes.changed]
        connection.execute(statement.values({n: bindparam(f"new_{n}") for n in names}), values)
    if changes.added:
        shared = {"symbol": symbol, "timeframe": timeframe.name}
        connection.execute(insert(gaps), [shared | row for row in changes.added])


def _row(piece: Piece, rows: Sequence[Gap], *, step: int, now: datetime) -> dict[str, Any]:
    before = [gap for gap in rows if gap.first_ms < piece.span[1] and piece.span[0] <= gap.last_ms]
    asked = [gap.asked_at for gap in before if gap.source == piece.source and gap.asked_at is not None]
    return {
        **_extent(piece.span, step),
        "status": piece.status,
        "source": piece.source,
        "found_at": min((gap.found_at for gap in before), default=now),
        "asked_at": max(asked, default=now) if piece.status is GapStatus.MISSING else None,
    }


def _healed_part(gap: Gap, span: Span, *, step: int, now: datetime) -> dict[str, Any]:
    return {
        **_extent(span, step),
        "status": GapStatus.HEALED,
        "source": gap.source,
        "found_at": gap.found_at,
        "asked_at": gap.asked_at,
        "healed_at": now,
    }


def _extent(span: Span, step: int) -> dict[str, int]:
    return {"first_ms": span[0], "last_ms": span[1] - step, "bars": (span[1] - span[0]) // step}
