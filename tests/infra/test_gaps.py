"""The ledger of gaps: what is missing, who was asked, what was healed."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from infra.fetched_windows import FetchedWindow, mark_many
from infra.gaps import Gap, GapStatus, note_asked, open_gaps, scan_ended, scan_gaps
from infra.lake import Lake
from infra.tables import gaps
from market.candles import Candles
from tests.infra.lake_data import FIVE, JANUARY_31, walk

VENUE = "venue"


@pytest.fixture
def symbol() -> str:
    """A market no other test knows."""
    return f"T{uuid4().hex[:12].upper()}"


def at(k: int) -> int:
    """Open time of bar ``k``."""
    return JANUARY_31 + k * FIVE.ms


def keep(lake: Lake, symbol: str, rows: list[int]) -> None:
    """Store these bars of a walk of 40."""
    bars = walk(40, symbol=symbol)
    names = ("open_time", "open", "high", "low", "close", "volume")
    part = Candles(symbol=symbol, timeframe=FIVE, **{name: getattr(bars, name)[rows] for name in names})
    lake.append_candles(part, source=VENUE)


def answer(engine: Engine, symbol: str, first: int, end: int, *, source: str = VENUE) -> None:
    """The source answered for the bars ``[first, end)``."""
    mark(engine, symbol, at(first), at(end), source=source)


def mark(engine: Engine, symbol: str, start_ms: int, end_ms: int, *, source: str = VENUE) -> None:
    """The source answered for these times."""
    one = FetchedWindow(symbol=symbol, kind="candles", timeframe="5m", source=source, start_ms=start_ms, end_ms=end_ms)
    mark_many(engine, [one])


def scan(engine: Engine, lake: Lake, symbol: str, *, end: int = 40, **options) -> list[tuple[int, int, str]]:
    """Open gaps after a scan: first bar, last bar, status."""
    options = {"source": VENUE} | options
    found = scan_gaps(engine, lake, symbols=[symbol], timeframe=FIVE, end_ms=at(end), **options)
    assert found == open_gaps(engine, symbols=[symbol], timeframe=FIVE)
    return [brief(gap) for gap in found]


def brief(gap: Gap) -> tuple[int, int, str]:
    """A gap by bar numbers; its count of bars must fit them."""
    first, last = ((time - JANUARY_31) // FIVE.ms for time in (gap.first_ms, gap.last_ms))
    assert gap.bars == last - first + 1
    return first, last, str(gap.status)


def rows(engine: Engine, symbol: str) -> list:
    """The whole ledger of this market, healed rows included."""
    with engine.connect() as connection:
        return list(connection.execute(select(gaps).where(gaps.c.symbol == symbol).order_by(gaps.c.first_ms)))


def test_a_hole_is_told_by_whether_anybody_was_asked(engine, tmp_path, symbol):
    """Answered and empty is missing at the venue, the rest not fetched; one hole may be both, the tail included."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [2, 3, 10, 11, 20])
    answer(engine, symbol, 0, 7)
    answer(engine, symbol, 12, 20)
    assert scan(engine, lake, symbol, end=24) == [
        (4, 6, "missing_at_venue"),
        (7, 9, "not_fetched"),
        (12, 19, "missing_at_venue"),
        (21, 23, "not_fetched"),
    ]
    held = rows(engine, symbol)
    assert [row.source for row in held] == [VENUE, None, VENUE, None]
    assert [row.asked_at is None for row in held] == [False, True, False, True]


def test_a_bar_counts_as_asked_only_as_a_whole(engine, tmp_path, symbol):
    """A window that ends inside a bar has not answered for that bar."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 5])
    mark(engine, symbol, at(1) + 1, at(4) - 1)
    assert scan(engine, lake, symbol, end=6) == [
        (1, 1, "not_fetched"),
        (2, 2, "missing_at_venue"),
        (3, 4, "not_fetched"),
    ]


def test_scanning_again_changes_nothing(engine, tmp_path, symbol):
    """Ids, moments and statuses stay what they were."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 4, 9])
    answer(engine, symbol, 0, 5)
    scan(engine, lake, symbol, end=10)
    before = rows(engine, symbol)
    scan(engine, lake, symbol, end=10)
    assert rows(engine, symbol) == before


def test_asking_moves_a_gap_to_missing_and_dates_it(engine, tmp_path, symbol):
    """The same row, found when it was found; asked again it is dated anew; a healed or unasked one is not."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 4, 9])
    assert scan(engine, lake, symbol, end=10) == [(1, 3, "not_fetched"), (5, 8, "not_fetched")]
    first = rows(engine, symbol)
    answer(engine, symbol, 0, 5)
    assert scan(engine, lake, symbol, end=10) == [(1, 3, "missing_at_venue"), (5, 8, "not_fetched")]
    asked = rows(engine, symbol)
    assert [(row.id, row.found_at) for row in asked] == [(row.id, row.found_at) for row in first]
    note_asked(engine, open_gaps(engine, symbols=[symbol], timeframe=FIVE))
    again = rows(engine, symbol)
    assert again[0].asked_at > asked[0].asked_at
    assert again[1].asked_at is None


def test_a_healed_gap_is_dated_and_stays(engine, tmp_path, symbol):
    """Its bars arrive: closed with a moment, never changed again, and a new hole elsewhere is a new row."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 4])
    scan(engine, lake, symbol, end=5)
    keep(lake, symbol, [1, 2, 3, 8])
    assert scan(engine, lake, symbol, end=9) == [(5, 7, "not_fetched")]
    healed, new = rows(engine, symbol)
    assert (healed.status, healed.healed_at is None) == ("healed", False)
    assert (new.status, new.healed_at) == ("not_fetched", None)
    scan(engine, lake, symbol, end=9)
    assert rows(engine, symbol)[0] == healed


def test_a_partly_healed_gap_is_split(engine, tmp_path, symbol):
    """Three bars in the middle of a hole of nine: three rows, all found at the first moment, none lost or doubled."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 10])
    answer(engine, symbol, 0, 11)
    scan(engine, lake, symbol, end=11)
    found_at = rows(engine, symbol)[0].found_at
    keep(lake, symbol, [4, 5, 6])
    assert scan(engine, lake, symbol, end=11) == [(1, 3, "missing_at_venue"), (7, 9, "missing_at_venue")]
    parts = rows(engine, symbol)
    assert [row.bars for row in parts] == [3, 3, 3]
    assert [row.status for row in parts] == ["missing_at_venue", "healed", "missing_at_venue"]
    assert {row.found_at for row in parts} == {found_at}
    keep(lake, symbol, [1, 2])
    assert scan(engine, lake, symbol, end=11) == [(3, 3, "missing_at_venue"), (7, 9, "missing_at_venue")]
    assert sum(row.bars for row in rows(engine, symbol)) == 9


def test_a_growing_tail_is_one_gap(engine, tmp_path, symbol):
    """While nothing is collected the last gap grows in place; a shorter look does not cut it."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 1])
    assert scan(engine, lake, symbol, end=5) == [(2, 4, "not_fetched")]
    (tail,) = rows(engine, symbol)
    assert scan(engine, lake, symbol, end=9) == [(2, 8, "not_fetched")]
    assert scan(engine, lake, symbol, end=4) == [(2, 8, "not_fetched")]
    (grown,) = rows(engine, symbol)
    assert (grown.id, grown.found_at) == (tail.id, tail.found_at)


def test_a_window_looks_at_itself_only(engine, tmp_path, symbol):
    """Gaps before ``start_ms`` stay as they are; before the first bar of a market nothing is missing."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [5, 9, 20, 25])
    assert scan(engine, lake, symbol, end=26, start_ms=at(15)) == [(15, 19, "not_fetched"), (21, 24, "not_fetched")]
    assert scan(engine, lake, symbol, end=30, start_ms=at(27)) == [
        (15, 19, "not_fetched"),
        (21, 24, "not_fetched"),
        (27, 29, "not_fetched"),
    ]
    assert scan(engine, lake, symbol, end=8, start_ms=at(0))[0] == (6, 7, "not_fetched")
    assert scan(engine, lake, symbol, end=26, start_ms=at(26)) == scan(engine, lake, symbol, end=26, start_ms=at(30))
    assert scan(engine, lake, symbol, end=26)[:2] == [(6, 8, "not_fetched"), (10, 19, "not_fetched")]


def test_another_venue_has_its_own_answers(engine, tmp_path, symbol):
    """What one venue lacks another was not asked for; with no venue named everybody's answers count."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 4])
    answer(engine, symbol, 0, 5)
    assert scan(engine, lake, symbol, end=5, source="other") == [(1, 3, "not_fetched")]
    assert scan(engine, lake, symbol, end=5, source=None) == [(1, 3, "missing_at_venue")]


def test_a_market_without_bars_has_no_gaps(engine, tmp_path, symbol):
    """Nothing is expected where nothing was ever stored."""
    assert scan(engine, Lake(tmp_path), symbol) == []
    assert rows(engine, symbol) == []


def test_a_market_that_ended_lacks_nothing_after_its_last_bar(engine, tmp_path, symbol):
    """What was taken for a hole before its end was noticed is withdrawn, not healed; the hole inside stays."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 1, 2, 5, 6])
    answer(engine, symbol, 0, 20)
    assert scan(engine, lake, symbol) == [
        (3, 4, "missing_at_venue"),
        (7, 19, "missing_at_venue"),
        (20, 39, "not_fetched"),
    ]
    scan_ended(engine, lake, symbols=[symbol, "NEVERHELD"], timeframe=FIVE, source=VENUE)
    assert [brief(gap) for gap in open_gaps(engine, symbols=[symbol], timeframe=FIVE)] == [(3, 4, "missing_at_venue")]
    assert [row.status for row in rows(engine, symbol)] == ["missing_at_venue"]


def test_two_scans_at_once_write_each_gap_once(engine, tmp_path, symbol):
    """Eight scans while bars arrive: the open rows are the holes, and every healed bar is counted once."""
    lake = Lake(tmp_path)
    keep(lake, symbol, [0, 39])
    scan(engine, lake, symbol)

    def work(k: int) -> None:
        keep(lake, symbol, [2 * k + 1])
        scan_gaps(engine, lake, symbols=[symbol], timeframe=FIVE, end_ms=at(40), source=VENUE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    holes = sorted(set(range(1, 39)) - {2 * k + 1 for k in range(8)})
    ledger = rows(engine, symbol)
    assert sorted(bars_of([row for row in ledger if row.healed_at is None])) == holes
    assert sorted(bars_of([row for row in ledger if row.healed_at is not None])) == [2 * k + 1 for k in range(8)]


def bars_of(held: list) -> list[int]:
    """Bar numbers in ledger rows, one by one."""
    return [
        int(k)
        for row in held
        for k in np.arange((row.first_ms - JANUARY_31) // FIVE.ms, (row.last_ms - JANUARY_31) // FIVE.ms + 1)
    ]


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bars"), st.lists(st.integers(0, 19), min_size=1, max_size=5, unique=True)),
        st.tuples(st.just("answer"), st.tuples(st.integers(0, 19), st.integers(1, 8))),
        st.tuples(st.just("scan"), st.integers(5, 20)),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=20, deadline=None)
@given(steps=_STEPS)
def test_the_ledger_agrees_with_sets_of_bars(engine, tmp_path_factory, steps):
    """Whatever arrives in whatever order, the open rows are the holes, each with the status it must have."""
    lake, symbol = Lake(tmp_path_factory.mktemp("lake")), f"T{uuid4().hex[:12].upper()}"
    stored: set[int] = {0}
    asked: set[int] = set()
    keep(lake, symbol, [0])
    for what, value in [*steps, ("scan", 20)]:
        if what == "bars":
            keep(lake, symbol, sorted(value))
            stored |= set(value)
        elif what == "answer":
            answer(engine, symbol, value[0], value[0] + value[1])
            asked |= set(range(value[0], value[0] + value[1]))
        else:
            scan(engine, lake, symbol, end=value)
    held = [row for row in rows(engine, symbol) if row.healed_at is None]
    assert sorted(bars_of(held)) == sorted(set(range(20)) - stored)
    assert set(bars_of([row for row in held if row.status == GapStatus.MISSING])) == (set(range(20)) - stored) & asked
