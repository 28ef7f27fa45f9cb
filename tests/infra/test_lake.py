"""The lake: append once, revise without forgetting, read as of, name what was read; in a folder and in a bucket."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import LakeError, SourceError
from infra.lake import Lake
from market.errors import CandleError, FundingError, SymbolError
from market.funding import FundingStamps
from tests.infra.lake_data import FIVE, JANUARY_31, bar, same, walk

pytest_plugins = ["tests.infra.lake_places"]
pytestmark = pytest.mark.integration


def test_candles_come_back_bit_for_bit_across_months_and_windows(place, open_lake):
    """What is read equals what was appended, whole and in a half-open window that spans two month files."""
    bars = walk(2000)
    lake = open_lake(place)
    assert lake.append_candles(bars, source="a") == 2000
    assert same(open_lake(place).candles("BTCUSDT", FIVE), bars)
    lo, hi = int(bars.open_time[200]), int(bars.open_time[900])
    assert same(lake.candles("BTCUSDT", FIVE, start_ms=lo, end_ms=hi), bars.between(lo, hi))


def test_appending_again_stores_nothing_and_overlaps_store_what_is_new(place, open_lake):
    """The same rows twice are the same rows; an overlapping piece adds its tail."""
    bars = walk(600)
    lake = open_lake(place)
    first = bars.between(None, int(bars.open_time[400]))
    assert lake.append_candles(first, source="a") == 400
    assert lake.append_candles(first, source="b") == 0
    assert lake.append_candles(bars, source="b") == 200
    assert lake.sources("BTCUSDT", FIVE) == ("a", "b")
    assert lake.watermark("BTCUSDT", FIVE) == int(bars.open_time[-1])


def test_a_folder_holds_one_file_a_month(tmp_path):
    """Named so that people find them."""
    Lake(tmp_path).append_candles(walk(2000), source="a")
    assert sorted(path.name for path in tmp_path.glob("candles_5m/BTCUSDT/*.parquet")) == [
        "2025-01.parquet",
        "2025-02.parquet",
    ]


def test_older_months_may_arrive_later(new_place, open_lake):
    """A backfill behind what is stored ends in the same history as one in order."""
    bars = walk(2000)
    middle = int(bars.open_time[700])
    late, whole = open_lake(new_place()), open_lake(new_place())
    late.append_candles(bars.between(middle, None), source="a")
    late.append_candles(bars.between(None, middle), source="a")
    whole.append_candles(bars, source="a")
    assert same(late.candles("BTCUSDT", FIVE), bars)
    assert late.snapshot(["BTCUSDT"], FIVE).id == whole.snapshot(["BTCUSDT"], FIVE).id


def test_a_revised_bar_is_a_new_row_and_the_old_one_stays(place, open_lake):
    """Reading as of before the revision gives the first value, after it the second; the revision is listed."""
    lake = open_lake(place)
    closed = JANUARY_31 + FIVE.ms
    lake.append_candles(bar(JANUARY_31, 100.0), source="a", known_at_ms=closed + 1000)
    assert lake.append_candles(bar(JANUARY_31, 101.0), source="a", known_at_ms=closed + 60_000) == 1
    assert lake.candles("BTCUSDT", FIVE, as_of_ms=closed + 59_999).close.tolist() == [100.0]
    assert lake.candles("BTCUSDT", FIVE, as_of_ms=closed + 60_000).close.tolist() == [101.0]
    assert lake.candles("BTCUSDT", FIVE).close.tolist() == [101.0]
    assert len(lake.candles("BTCUSDT", FIVE, as_of_ms=closed + 999)) == 0
    times, known = lake.revisions("BTCUSDT", FIVE)
    assert (times.tolist(), known.tolist()) == ([JANUARY_31], [closed + 60_000])


def test_a_revision_without_a_moment_of_its_own_is_dated_by_the_clock(place, open_lake):
    """A backfill that finds another value does not pretend to have known it at the close."""
    now = JANUARY_31 + 10 * FIVE.ms
    lake = open_lake(place, clock_ms=lambda: now)
    lake.append_candles(bar(JANUARY_31, 100.0), source="a")
    lake.append_candles(bar(JANUARY_31, 101.0), source="b")
    assert lake.candles("BTCUSDT", FIVE, as_of_ms=now - 1).close.tolist() == [100.0]
    assert lake.candles("BTCUSDT", FIVE, as_of_ms=now).close.tolist() == [101.0]


def test_a_backfilled_bar_is_known_at_close_plus_settle_delay(place, open_lake):
    """One millisecond earlier it is not there."""
    lake = open_lake(place, settle_delay_ms=7000)
    lake.append_candles(bar(JANUARY_31, 100.0), source="a")
    known = JANUARY_31 + FIVE.ms + 7000
    assert len(lake.candles("BTCUSDT", FIVE, as_of_ms=known)) == 1
    assert len(lake.candles("BTCUSDT", FIVE, as_of_ms=known - 1)) == 0


_APPENDS = st.lists(
    st.tuples(st.integers(0, 9000), st.integers(1, 4), st.integers(0, 5)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(appends=_APPENDS, as_of=st.integers(-1, 30))
def test_reads_agree_with_a_plain_ledger(tmp_path_factory, appends, as_of):
    """Any sequence of single-bar appends reads back as a list of (bar, value, known) would, at any moment."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    base = JANUARY_31 + 10_000 * FIVE.ms
    ledger: dict[int, list[tuple[int, float]]] = {}
    for slot, price, tick in appends:
        opened = JANUARY_31 + slot * FIVE.ms
        lake.append_candles(bar(opened, float(price)), source="a", known_at_ms=base + tick)
        rows = ledger.setdefault(opened, [])
        if not rows or rows[-1][1] != price:
            rows.append((max(base + tick, rows[-1][0] + 1) if rows else base + tick, float(price)))
    seen = {
        opened: [price for known, price in rows if known <= base + as_of][-1]
        for opened, rows in ledger.items()
        if any(known <= base + as_of for known, _ in rows)
    }
    got = lake.candles("BTCUSDT", FIVE, as_of_ms=base + as_of)
    assert dict(zip(got.open_time.tolist(), got.close.tolist(), strict=True)) == seen
    assert (np.diff(got.open_time) > 0).all()


def test_the_snapshot_id_names_content_and_not_files(new_place, open_lake):
    """Other files, sources and arrival times give the same id; a revision another, as of gives the old."""
    bars = walk(800)
    first = new_place()
    one, two = open_lake(first), open_lake(new_place())
    one.append_candles(bars, source="a")
    for lo in range(0, 800, 130):
        piece = bars.between(int(bars.open_time[lo]), int(bars.open_time[lo]) + 130 * FIVE.ms)
        two.append_candles(piece, source="b", known_at_ms=JANUARY_31 * 2)
    before = one.snapshot(["BTCUSDT"], FIVE)
    assert before.id == two.snapshot(["BTCUSDT"], FIVE).id == open_lake(first).snapshot(["BTCUSDT"], FIVE).id
    assert (before.rows, before.first_ms, before.last_ms) == (800, JANUARY_31, int(bars.open_time[-1]))
    assert (before.synthetic, before.sources) == (False, ("a",))
    moment = JANUARY_31 * 2
    one.append_candles(bar(int(bars.open_time[5]), 1.0), source="a", known_at_ms=moment)
    assert one.snapshot(["BTCUSDT"], FIVE).id != before.id
    assert one.snapshot(["BTCUSDT"], FIVE, as_of_ms=moment - 1).id == before.id


def test_the_snapshot_id_covers_funding_and_open_interest(place, open_lake):
    """Labels pay funding and features see open interest, so both change the id."""
    lake = open_lake(place)
    lake.append_candles(walk(10), source="a")
    ids = [lake.snapshot(["BTCUSDT"], FIVE).id]
    stamps = FundingStamps(symbol="BTCUSDT", time=np.array([JANUARY_31]), rate=np.array([1e-4]))
    lake.append_funding(stamps, source="a")
    ids.append(lake.snapshot(["BTCUSDT"], FIVE).id)
    lake.append_open_interest("BTCUSDT", np.array([JANUARY_31]), np.array([5.0]), source="a")
    ids.append(lake.snapshot(["BTCUSDT"], FIVE).id)
    assert len(set(ids)) == 3


def test_funding_and_open_interest_are_known_at_their_stamp(place, open_lake):
    """Both come back raw, zeros included, and not before their stamp."""
    lake = open_lake(place)
    times = np.array([JANUARY_31, JANUARY_31 + 8 * 3_600_000])
    lake.append_funding(FundingStamps(symbol="BTCUSDT", time=times, rate=np.array([1e-4, -2e-4])), source="a")
    lake.append_open_interest("BTCUSDT", times, np.array([0.0, 7.5]), source="a")
    assert lake.funding("BTCUSDT").rate.tolist() == [1e-4, -2e-4]
    assert lake.funding("BTCUSDT", as_of_ms=int(times[1]) - 1).time.tolist() == [JANUARY_31]
    assert lake.open_interest("BTCUSDT")[1].tolist() == [0.0, 7.5]
    assert lake.open_interest("BTCUSDT", start_ms=int(times[1]))[0].tolist() == [int(times[1])]


@pytest.mark.parametrize(("first", "second"), [("synthetic", "binanceusdm"), ("files:x", "synthetic:7")])
def test_synthetic_and_real_rows_never_share_a_symbol(place, open_lake, first, second):
    """Whichever came first, of whatever kind, the other is refused and nothing of it is stored."""
    lake = open_lake(place)
    lake.append_candles(walk(5), source=first)
    stamps = FundingStamps(symbol="BTCUSDT", time=np.array([JANUARY_31]), rate=np.array([1e-4]))
    with pytest.raises(LakeError, match=r"BTCUSDT holds (synthetic|real) rows, and these are (synthetic|real)"):
        lake.append_funding(stamps, source=second)
    assert lake.funding("BTCUSDT").time.size == 0
    assert lake.snapshot(["BTCUSDT"], FIVE).synthetic == (first == "synthetic")


def test_only_checked_values_enter(place, open_lake):
    """Bad candles, funding, open interest, symbols and sources are refused by their own errors."""
    lake = open_lake(place)
    bars = walk(5)
    bars.high[2] = bars.low[2] - 1
    with pytest.raises(CandleError, match="high below low at row 2"):
        lake.append_candles(bars, source="a")
    with pytest.raises(FundingError):
        lake.append_funding(FundingStamps(symbol="BTCUSDT", time=np.array([1, 1]), rate=np.zeros(2)), source="a")
    with pytest.raises(SourceError, match="negative open interest"):
        lake.append_open_interest("BTCUSDT", np.array([1]), np.array([-1.0]), source="a")
    with pytest.raises(SymbolError, match="write BTCUSDT"):
        lake.append_candles(walk(5, symbol="BTC/USDT"), source="a")
    with pytest.raises(LakeError, match="source ''"):
        lake.append_candles(walk(5), source="")
    with pytest.raises(LakeError, match="said to be known at"):
        lake.append_candles(walk(5), source="a", known_at_ms=JANUARY_31)
    assert lake.symbols(FIVE) == ()


def test_an_empty_lake_answers_with_nothing(place, open_lake):
    """Reading what was never written gives empty values."""
    lake = open_lake(place)
    assert len(lake.candles("BTCUSDT", FIVE)) == 0
    assert lake.open_interest("BTCUSDT")[0].size == 0
    assert lake.watermark("BTCUSDT", FIVE) is None
    snapshot = lake.snapshot(["BTCUSDT"], FIVE)
    assert (snapshot.rows, snapshot.first_ms, snapshot.sources) == (0, None, ())
    assert lake.symbols(FIVE) == lake.holdings() == ()


def test_looking_makes_no_folder(tmp_path):
    """A misspelt place stays absent."""
    lake = Lake(tmp_path / "absent")
    assert (lake.symbols(FIVE), lake.watermark("BTCUSDT", FIVE)) == ((), None)
    assert not (tmp_path / "absent").exists()


def test_an_open_lake_sees_what_another_writes_and_shares_no_writable_memory(place, open_lake):
    """The memory of decoded files never serves a file that has changed, nor lets a reader change what others read."""
    lake, other = open_lake(place), open_lake(place)
    mine = walk(10)
    lake.append_candles(mine, source="a")
    assert len(lake.candles("BTCUSDT", FIVE)) == 10
    other.append_candles(bar(JANUARY_31 + 10 * FIVE.ms, 9.0), source="a")
    assert lake.candles("BTCUSDT", FIVE).close[-1] == 9.0
    with pytest.raises(ValueError, match="read-only"):
        lake.candles("BTCUSDT", FIVE).close[0] = 0.0
    mine.close[0] = -1.0
    assert lake.candles("BTCUSDT", FIVE).close[0] != -1.0
