"""Between two looks a tail tells every row that came, once, and doubts what it cannot explain."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import LakeError
from infra.lake import Lake
from infra.lake_parts import decode_part, encode_part
from infra.lake_rows import Rows
from tests.infra.lake_data import FIVE, JANUARY_31, bar, walk

pytest_plugins = ["tests.infra.lake_places"]
FOLDER = "candles_5m/BTCUSDT"


def at(slot: int) -> int:
    return JANUARY_31 + slot * FIVE.ms


def told(tail) -> list[tuple[int, float]]:
    news = tail.look()
    assert not news.doubt
    return [] if news.rows is None else list(zip(news.rows.time.tolist(), news.rows.values[3].tolist(), strict=True))


@pytest.mark.integration
def test_each_row_is_told_once_through_parts_folds_and_months(place, open_lake):
    """Two hundred appends into the next month, folded again and again: nothing twice, nothing lost."""
    writer, reader = open_lake(place), open_lake(place)
    writer.append_candles(walk(200), source="a")
    tail = reader.tail("candles_5m", "BTCUSDT", start_ms=at(0))
    for slot in range(200, 400):
        writer.append_candles(bar(at(slot), 1.0 + slot), source="b")
        if slot % 7 != 3:
            since = [k for k in range(200, slot + 1) if k > slot - (2 if slot % 7 == 4 else 1)]
            assert sorted(told(tail)) == [(at(k), 1.0 + k) for k in since], slot
            assert tail.newest == at(slot)
        assert slot % 50 or told(tail) == []


def test_a_late_row_and_a_revision_are_news_and_an_older_month_is_a_doubt(tmp_path):
    """Rows are told whatever their time; another month than the newest is not looked into."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(600), source="a")
    tail = Lake(tmp_path).tail("candles_5m", "BTCUSDT", start_ms=at(0))
    lake.append_candles(bar(at(590), 9.0), source="a", known_at_ms=at(700))
    assert told(tail) == [(at(590), 9.0)]
    lake.append_candles(bar(at(5), 9.0), source="a", known_at_ms=at(700))
    assert tail.look().doubt
    assert told(tail.begin()) == []


def test_what_lost_rows_or_changed_in_place_is_a_doubt(tmp_path):
    """A removed part, a month put back from elsewhere; ``untouched`` finds a part that is no longer itself."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(200), source="a")
    lake.append_candles(bar(at(200), 2.0), source="a")
    tail = Lake(tmp_path).tail("candles_5m", "BTCUSDT", start_ms=at(0))
    assert tail.untouched()
    (part,) = (tmp_path / FOLDER).glob("*.rows")
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    assert not tail.untouched()
    with pytest.raises(LakeError, match="not what its name says"):
        tail.begin()
    part.write_bytes(whole)
    assert told(tail.begin()) == []
    part.unlink()
    assert tail.look().doubt


def test_a_folder_that_did_not_change_is_not_listed(tmp_path, monkeypatch):
    """Only a change long enough ago is trusted: another might share its time."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(200), source="a")
    tail = Lake(tmp_path).tail("candles_5m", "BTCUSDT", start_ms=at(0))
    listed = []
    original = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or original(path))
    assert told(tail) == []
    assert len(listed) == 1
    os.utime(tmp_path / FOLDER, (1.0, 1.0))
    assert told(tail) == told(tail) == []
    assert len(listed) == 2


def test_a_market_without_a_folder_costs_no_listing_and_its_first_row_is_told(tmp_path):
    """Most markets lack some kind of data."""
    tail = Lake(tmp_path).tail("candles_5m", "BTCUSDT", start_ms=at(0))
    assert (told(tail), tail.newest) == ([], None)
    Lake(tmp_path).append_candles(bar(at(3), 4.0), source="a")
    assert (told(tail), tail.newest) == ([(at(3), 4.0)], at(3))


@given(
    st.lists(st.tuples(st.integers(0, 2**62), st.floats(), st.floats(), st.integers(0, 2)), max_size=20),
    st.integers(1, 50),
)
def test_a_part_reads_back_to_the_bit_and_a_cut_one_is_refused(rows, cut):
    """Any numbers, several sources; bytes that are too few are no part."""
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    made = Rows(
        time=np.array(columns[0], dtype=np.int64),
        values=(np.array(columns[1], dtype=np.float64), np.array(columns[2], dtype=np.float64)),
        known_at=np.array(columns[0], dtype=np.int64)[::-1],
        source=np.array(columns[3], dtype=np.int32),
        source_names=("a", "ü", 'c"'),
    )
    data = encode_part(made)
    found = decode_part(data, width=2)
    for mine, theirs in (
        (made.time, found.time),
        (made.known_at, found.known_at),
        (made.source, found.source),
        *zip(made.values, found.values, strict=True),
    ):
        assert mine.tobytes() == theirs.tobytes()
        assert not theirs.flags.writeable
    assert found.source_names == made.source_names
    for bad, width in ((data[:-cut], 2), (data + b"0", 2), (data, 3), (b"PAR1" + data[4:], 2)):
        with pytest.raises(ValueError, match="part"):
            decode_part(bad, width=width)
