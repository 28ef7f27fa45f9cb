"""Which markets were in the universe on each day, as it was decided then?

One snapshot per rule and day, written in one transaction and never changed: whoever decides the same day again, or at
the same moment, is given the one that is there. Every market that was judged is kept with its reason, those that left
or were delisted too. Days are UTC dates; ``as_of_ms`` is the moment whose facts were judged.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Engine, RowMapping, Select, func, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_unless_there

from infra.settings import Settings
from infra.tables import universe_members, universe_snapshots
from market.timeframe import DAY_MS
from market.universe import Judged, UniverseRule, members_hash

__all__ = [
    "LAKE_SOURCE",
    "DayOfMarket",
    "UniverseSnapshot",
    "judged_in",
    "listing_dates",
    "newest_snapshot",
    "read_snapshots",
    "store_snapshot",
    "stored_days",
    "symbol_days",
    "universe_rule",
    "utc_day",
]

LAKE_SOURCE = "lake"
_members = universe_members.c
_snapshots = universe_snapshots.c


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseSnapshot:
    """The universe of one day; ``members`` sorted, ``content_hash`` over them."""

    id: int
    rule: str
    day: date
    source: str
    as_of_ms: int
    content_hash: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfMarket:
    """What a snapshot says of one market; None where the market was not judged that day."""

    day: date
    member: bool
    reason: str | None


def universe_rule(settings: Settings) -> UniverseRule:
    """The rule of these settings."""
    u = settings.universe
    return UniverseRule(
        top_n=u.top_n,
        min_turnover=u.min_turnover,
        min_price=u.min_price,
        min_age_days=u.min_age_days,
        quote=u.quote,
        include=tuple(sorted(u.include)),
        exclude=tuple(sorted(u.exclude)),
    )


def utc_day(time_ms: int) -> date:
    """The UTC date of a moment.

    >>> utc_day(1_735_689_600_000)
    datetime.date(2025, 1, 1)
    """
    return datetime.fromtimestamp(time_ms // 1000, tz=UTC).date()


def store_snapshot(
    engine: Engine, *, rule: UniverseRule, day: date, source: str, as_of_ms: int, judged: Sequence[Judged]
) -> UniverseSnapshot:
    """Keep what was decided for a day; if the day was decided before, return that and change nothing."""
    row = {
        "rule": rule.fingerprint,
        "day": day,
        "source": source,
        "as_of_ms": as_of_ms,
        "rule_values": rule.values,
        "content_hash": members_hash(one.symbol for one in judged if one.member),
    }
    with engine.begin() as connection:
        # Two at once: the second waits here for the first to commit, and then finds the day decided.
        made = insert_unless_there(universe_snapshots).values(row).on_conflict_do_nothing().returning(_snapshots.id)
        snapshot_id = connection.scalar(made)
        if snapshot_id is not None and judged:
            rows = [{"snapshot_id": snapshot_id, **asdict(one)} for one in judged]
            connection.execute(insert(universe_members), rows)
        query = _query(rule.fingerprint).where(_snapshots.day == day)
        return _snapshot(connection.execute(query).mappings().one())


def newest_snapshot(engine: Engine, rule: UniverseRule, *, day: date | None = None) -> UniverseSnapshot | None:
    """The last snapshot of this rule, or the last one of ``day`` or before; None where there is none."""
    query = _query(rule.fingerprint).order_by(_snapshots.day.desc()).limit(1)
    if day is not None:
        query = query.where(_snapshots.day <= day)
    with engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _snapshot(row)


def read_snapshots(engine: Engine, rule: UniverseRule) -> tuple[UniverseSnapshot, ...]:
    """Every snapshot of this rule, oldest first."""
    with engine.connect() as connection:
        rows = connection.execute(_query(rule.fingerprint).order_by(_snapshots.day)).mappings().all()
    return tuple(_snapshot(row) for row in rows)


def stored_days(engine: Engine, rule: UniverseRule, *, start: date, end: date) -> frozenset[date]:
    """The days in ``[start, end)`` that were decided."""
    query = select(_snapshots.day).where(
        _snapshots.rule == rule.fingerprint, _snapshots.day >= start, _snapshots.day < end
    )
    with engine.connect() as connection:
        return frozenset(connection.scalars(query))


def judged_in(engine: Engine, snapshot_id: int) -> tuple[Judged, ...]:
    """Every market judged for a snapshot: members by rank, then the others; those without a rank by symbol."""
    columns = [column for column in universe_members.c if column.name != "snapshot_id"]
    query = select(*columns).where(_members.snapshot_id == snapshot_id)
    query = query.order_by(_members.member.desc(), _members.rank.asc().nulls_last(), _members.symbol)
    with engine.connect() as connection:
        return tuple(Judged(**row) for row in connection.execute(query).mappings())


def symbol_days(engine: Engine, rule: UniverseRule, symbol: str) -> tuple[DayOfMarket, ...]:
    """What every snapshot of this rule says of one market, oldest first; empty for one that was never judged."""
    mine = (_members.snapshot_id == _snapshots.id) & (_members.symbol == symbol)
    query = (
        select(_snapshots.day, func.coalesce(_members.member, False), _members.reason)
        .select_from(universe_snapshots.outerjoin(universe_members, mine))
        .where(_snapshots.rule == rule.fingerprint)
        .order_by(_snapshots.day)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    days = tuple(DayOfMarket(day=day, member=member, reason=why) for day, member, why in rows)
    return days if any(one.reason is not None for one in days) else ()


def listing_dates(engine: Engine) -> dict[str, int]:
    """When each market was listed, ms UTC, as far as a venue ever said so for a snapshot of any rule."""
    listed = func.min(_snapshots.as_of_ms - _members.age_days * DAY_MS)
    query = (
        select(_members.symbol, listed)
        .join_from(universe_members, universe_snapshots, _members.snapshot_id == _snapshots.id)
        .where(_snapshots.source != LAKE_SOURCE, _members.age_days.is_not(None))
        .group_by(_members.symbol)
    )
    with engine.connect() as connection:
        return {symbol: round(at) for symbol, at in connection.execute(query)}


def _query(rule: str) -> Select[tuple[object, ...]]:
    """Snapshots of a rule with their members."""
    members = (
        select(func.array_agg(_members.symbol))
        .where(_members.snapshot_id == _snapshots.id, _members.member)
        .scalar_subquery()
    )
    columns = (_snapshots.id, _snapshots.rule, _snapshots.day, _snapshots.source, _snapshots.as_of_ms)
    return select(*columns, _snapshots.content_hash, members.label("members")).where(_snapshots.rule == rule)


def _snapshot(row: RowMapping) -> UniverseSnapshot:
    return UniverseSnapshot(**{**row, "members": tuple(sorted(row["members"] or ()))})
