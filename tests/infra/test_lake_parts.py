"""Small appends become parts, parts are folded, and no read can tell."""

from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra import lake_market
from infra.errors import LakeError
from infra.lake import Lake
from infra.lake_files import data_files
from infra.lake_storage import LocalStorage, open_storage
from tests.infra.lake_data import FIVE, JANUARY_31, bar, same, walk

pytest_plugins = ["tests.infra.lake_places"]
pytestmark = pytest.mark.integration

_BTC = "candles_5m/BTCUSDT"
_LATER = JANUARY_31 + 10_000 * FIVE.ms


def stored(place, folder=_BTC):
    """Size of each file under its path."""
    return {file.path: file.size_bytes for file in data_files(open_storage(place, locks=None), folder)}


def grown(place, open_lake, *, parts, revise=False):
    """A lake of 200 bars and one part for each further bar, or for each revised one."""
    lake = open_lake(place)
    lake.append_candles(walk(200), source="a")
    for k in range(parts):
        slot, known = (7 * k % 200, _LATER + k) if revise else (200 + k, None)
        lake.append_candles(bar(JANUARY_31 + slot * FIVE.ms, 500.0 + k), source="b", known_at_ms=known)
    return lake


def dataset(lake, as_of_ms=None):
    """Everything a training would take from the lake, as bytes and names."""
    bars = lake.candles("BTCUSDT", FIVE, as_of_ms=as_of_ms)
    columns = (bars.open_time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return b"".join(column.tobytes() for column in columns), lake.snapshot(["BTCUSDT"], FIVE, as_of_ms=as_of_ms).id


def test_a_small_append_writes_a_small_file_beside_the_month(place, open_lake):
    """The month's file is not written again; a new lake reads both."""
    lake = grown(place, open_lake, parts=0)
    (month, size), *_ = stored(place).items()
    lake.append_candles(bar(JANUARY_31 + 200 * FIVE.ms, 9.0), source="b")
    files = stored(place)
    assert len(files) == 2
    assert files.pop(month) == size
    assert all(one < 2500 < size for one in files.values())
    fresh = open_lake(place)
    assert fresh.candles("BTCUSDT", FIVE).close[-2:].tolist() == [walk(200).close[-1], 9.0]
    assert fresh.watermark("BTCUSDT", FIVE) == JANUARY_31 + 200 * FIVE.ms
    assert fresh.sources("BTCUSDT", FIVE) == ("a", "b")


def test_a_large_append_is_one_file_again(place, open_lake):
    """Half as many bars as are there: a rewrite costs less than reading a long row of parts for ever."""
    lake = grown(place, open_lake, parts=3)
    lake.append_candles(walk(280), source="a")
    assert len(stored(place)) == 1
    assert len(lake.candles("BTCUSDT", FIVE)) == 280


def test_many_parts_are_folded_by_the_append_that_makes_them_too_many(place, open_lake):
    """A month never has more than 32 files, and every row is there, once."""
    lake = grown(place, open_lake, parts=0)
    counts = []
    for k in range(33):
        lake.append_candles(bar(JANUARY_31 + (200 + k) * FIVE.ms, 500.0 + k), source="b")
        counts.append(len(stored(place)))
    assert 17 <= max(counts) <= 32
    assert 1 in counts[16:]
    bars = open_lake(place).candles("BTCUSDT", FIVE)
    assert bars.close[200:].tolist() == [500.0 + k for k in range(33)]
    assert same(bars.between(None, JANUARY_31 + 200 * FIVE.ms), walk(200))


def test_markets_do_not_all_fold_after_the_same_bar(tmp_path, open_lake):
    """Else a hundred of them would hold up the decision at that bar."""
    lake = open_lake(tmp_path)
    limits = {lake._market("candles_5m", f"S{k}USDT")._most_files for k in range(100)}
    assert len(limits) > 10
    assert max(limits) <= 32


def test_a_dataset_is_the_same_to_the_byte_after_later_revisions_and_folding(place, open_lake):
    """As of each earlier moment: bars, snapshot id and revisions, from the lake that wrote and from a new one."""
    lake = grown(place, open_lake, parts=0)
    moments = [_LATER - 1, _LATER + 4, _LATER + 9]
    first = dataset(lake, moments[0])
    grown(place, open_lake, parts=12, revise=True)
    before = [dataset(lake, moment) for moment in (*moments, None)]
    revisions = [column.tolist() for column in lake.revisions("BTCUSDT", FIVE)]
    assert before[0] == first
    assert len({one for one, _ in before}) == 4
    result = lake.compact()
    assert (result.months, result.files_before, result.files_after) == (1, 13, 1)
    assert result.bytes_after < result.bytes_before
    for one in (lake, open_lake(place)):
        assert [dataset(one, moment) for moment in (*moments, None)] == before
        assert [column.tolist() for column in one.revisions("BTCUSDT", FIVE)] == revisions


def test_folding_again_changes_nothing(place, open_lake):
    """What is one file a month already is not written again."""
    lake = grown(place, open_lake, parts=5)
    told = []
    lake.compact(lambda done, total: told.append((done, total)))
    files = stored(place)
    again = lake.compact()
    assert told == [(0, 1), (1, 1)]
    assert stored(place) == files
    assert (again.months, again.files_before, again.bytes_before) == (0, 1, sum(files.values()))


def test_parts_that_outlived_their_folding_are_dropped_by_readers(place, open_lake):
    """As after a kill between the new file and the removals: nothing is doubled, and the next folding clears up."""
    lake = grown(place, open_lake, parts=9, revise=True)
    before, rows = dataset(lake), len(lake.versions("candles_5m", "BTCUSDT"))
    storage = open_storage(place, locks=None)
    parts = list(stored(place))[1:]
    contents = storage.read(parts)
    lake.compact()
    storage.write([(path, memoryview(data)) for path, data in zip(parts, contents, strict=True)], held=lambda: None)
    assert len(stored(place)) == 10
    fresh = open_lake(place)
    assert dataset(fresh) == before
    assert len(fresh.versions("candles_5m", "BTCUSDT")) == rows
    assert [(one.rows, one.revisions) for one in fresh.holdings()] == [(200, 9)]
    fresh.compact()
    assert len(stored(place)) == 1
    assert dataset(open_lake(place)) == before


def test_a_damaged_part_is_refused_by_name(tmp_path, open_lake):
    """On read, on write and by folding, which leaves the files as they are."""
    grown(tmp_path, open_lake, parts=2)
    path = tmp_path / list(stored(tmp_path))[-1]
    path.write_bytes(path.read_bytes()[:-9])
    files = stored(tmp_path)
    for attempt in (
        lambda lake: lake.candles("BTCUSDT", FIVE),
        lambda lake: lake.append_candles(bar(JANUARY_31, 5.0), source="a"),
        lambda lake: lake.compact(),
        lambda lake: lake.watermark("BTCUSDT", FIVE),
    ):
        with pytest.raises(LakeError, match=rf"{path.name} is damaged .*backfill BTCUSDT for 2025-01"):
            attempt(open_lake(tmp_path))
    assert stored(tmp_path) == files


class _FoldedMeanwhile(LocalStorage):
    """A folder that another process folds between our listing and our reading, the first ``times`` times."""

    def __init__(self, root, times):
        super().__init__(root)
        self.times = times

    def read(self, paths):
        """Fold just in time, then read."""
        if self.times:
            self.times -= 1
            other = Lake(self._root)
            other.compact()
            other.append_candles(bar(JANUARY_31 + 7 * FIVE.ms, 900.0 + self.times), source="b", known_at_ms=_LATER * 2)
        return super().read(paths)


@pytest.mark.parametrize("times", [1, 3])
def test_a_reader_whose_files_were_folded_away_looks_again(tmp_path, open_lake, times):
    """What it then reads is whole, however often that happens."""
    grown(tmp_path, open_lake, parts=4)
    with patch.object(lake_market, "_LARGE_SHARE", 9.0):
        lake = Lake(tmp_path)
        lake._cache._storage = lake._storage = _FoldedMeanwhile(tmp_path, times)
        bars = lake.candles("BTCUSDT", FIVE, as_of_ms=_LATER)
    assert lake._storage.times == 0
    assert bars.close[200:].tolist() == [500.0 + k for k in range(4)]


def test_a_folder_whose_files_keep_vanishing_is_refused(tmp_path, open_lake):
    """A listing that never holds is no reading."""

    class Vanishing(LocalStorage):
        def read(self, paths):
            raise FileNotFoundError(paths[0])

    lake = grown(tmp_path, open_lake, parts=1)
    lake = Lake(tmp_path)
    lake._cache._storage = lake._storage = Vanishing(tmp_path)
    with pytest.raises(LakeError, match="kept vanishing"):
        lake.candles("BTCUSDT", FIVE)


def test_holdings_count_rows_revisions_and_files_by_kind(place, open_lake):
    """Rows are times; a revised bar is one row and one revision."""
    lake = grown(place, open_lake, parts=3, revise=True)
    lake.append_candles(walk(10, symbol="ETHUSDT"), source="a")
    lake.append_open_interest("ETHUSDT", np.array([JANUARY_31]), np.array([5.0]), source="a")
    candles, interest = lake.holdings()
    files = stored(place) | stored(place, "candles_5m/ETHUSDT")
    assert (candles.kind, candles.symbols, candles.rows, candles.revisions) == ("candles_5m", 2, 210, 3)
    assert (candles.files, candles.size_bytes) == (5, sum(files.values()))
    assert (interest.kind, interest.rows, interest.revisions, interest.files) == ("open_interest", 1, 0, 1)
    assert lake.symbols(FIVE) == ("BTCUSDT", "ETHUSDT")


def test_a_lake_copied_from_a_folder_to_a_bucket_goes_on_there(tmp_path, object_server, open_lake):
    """Names may differ between the places; what they say does not."""
    lake = grown(tmp_path, open_lake, parts=3)
    place = object_server.new_place()
    source, target = LocalStorage(tmp_path), open_storage(place, locks=None)
    paths = [*stored(tmp_path), ".origin/BTCUSDT"]
    data = [memoryview(one) for one in source.read(paths)]
    target.write(list(zip(paths, data, strict=True)), held=lambda: None)
    moved = open_lake(place)
    assert dataset(moved) == dataset(lake)
    for one in (lake, moved):
        assert one.append_candles(bar(JANUARY_31 + 203 * FIVE.ms, 7.0), source="c") == 1
        one.compact()
    assert dataset(open_lake(place)) == dataset(lake)
    assert [len(stored(tmp_path)), len(stored(place))] == [1, 1]


_STEPS = st.lists(
    st.one_of(st.tuples(st.integers(0, 600), st.integers(1, 3), st.integers(0, 5)), st.just("fold")),
    min_size=2,
    max_size=14,
)


@settings(max_examples=25, deadline=None)
@given(steps=_STEPS, as_of=st.integers(-1, 20))
def test_parts_and_folding_at_any_moment_agree_with_a_plain_ledger(tmp_path_factory, steps, as_of):
    """Two months, a part for nearly each append, folding whenever: reads are those of a list of (bar, value, known)."""
    ledger: dict[int, list[tuple[int, float]]] = {}
    with ExitStack() as stack:
        stack.enter_context(patch.object(lake_market, "_LARGE_SHARE", 9.0))
        stack.enter_context(patch.object(lake_market, "_MAX_FILES", 4))
        lake = Lake(tmp_path_factory.mktemp("lake"))
        for step in steps:
            if step == "fold":
                lake.compact()
                continue
            slot, price, tick = step
            opened, known = JANUARY_31 + slot * FIVE.ms, _LATER + tick
            lake.append_candles(bar(opened, float(price)), source="a", known_at_ms=known)
            rows = ledger.setdefault(opened, [])
            if not rows or rows[-1][1] != price:
                rows.append((max(known, rows[-1][0] + 1) if rows else known, float(price)))
        got = Lake(lake.root).candles("BTCUSDT", FIVE, as_of_ms=_LATER + as_of)
    seen = {
        opened: [price for known, price in rows if known <= _LATER + as_of][-1]
        for opened, rows in ledger.items()
        if any(known <= _LATER + as_of for known, _ in rows)
    }
    assert dict(zip(got.open_time.tolist(), got.close.tolist(), strict=True)) == seen
    assert (np.diff(got.open_time) > 0).all()
