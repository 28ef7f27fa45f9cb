"""Mark prices and takers' shares in the lake: as bitemporal, as checked and as much of a snapshot as the rest."""

import numpy as np
import pytest

from infra.errors import LakeError
from infra.lake import Lake
from market.basis import MarkStamps
from market.errors import MarkPriceError, TakerFlowError
from market.taker_flow import TakerShares
from market.timeframe import HOUR_MS, Timeframe
from tests.infra.lake_data import FIVE, JANUARY_31, bar, walk

pytest_plugins = ["tests.infra.lake_places"]
pytestmark = pytest.mark.integration

# The id of ten bars of ``walk`` before mark prices and takers' shares were kept.
BEFORE = "b5b283bbc4331abe6d37b24e5ca525f7"


def marks(price, *, first=0):
    """Hourly mark prices from 01:00 on."""
    time = JANUARY_31 + (first + 1 + np.arange(len(price), dtype=np.int64)) * HOUR_MS
    return MarkStamps(symbol="BTCUSDT", time=time, price=np.asarray(price, dtype=np.float64))


def shares(share, *, first=0, timeframe=FIVE):
    """Takers' shares of bars in a row."""
    time = JANUARY_31 + (first + np.arange(len(share), dtype=np.int64)) * timeframe.ms
    return TakerShares(symbol="BTCUSDT", timeframe=timeframe, open_time=time, share=np.asarray(share, dtype=np.float64))


def test_they_come_back_bit_for_bit_across_months_and_windows(place, open_lake):
    """What is read equals what was appended; the same again is nothing new; another timeframe is another history."""
    lake = open_lake(place)
    price, share = 100 + np.random.default_rng(1).random(900), np.random.default_rng(2).random(9000)
    assert (lake.append_mark(marks(price), source="a"), lake.append_taker(shares(share), source="a")) == (900, 9000)
    assert (lake.append_mark(marks(price), source="b"), lake.append_taker(shares(share), source="b")) == (0, 0)
    again = open_lake(place)
    mark, taker = again.mark("BTCUSDT"), again.taker("BTCUSDT", FIVE)
    assert (mark.time.tobytes(), mark.price.tobytes()) == (marks(price).time.tobytes(), price.tobytes())
    assert (taker.open_time.tobytes(), taker.share.tobytes()) == (shares(share).open_time.tobytes(), share.tobytes())
    lo, hi = JANUARY_31 + 20 * HOUR_MS, JANUARY_31 + 30 * HOUR_MS
    assert lake.mark("BTCUSDT", start_ms=lo, end_ms=hi).price.tolist() == price[19:29].tolist()
    assert lake.taker("BTCUSDT", FIVE, start_ms=lo, end_ms=hi).share.tolist() == share[240:360].tolist()
    assert lake.taker("BTCUSDT", Timeframe.parse("1h")).share.size == 0
    assert lake.symbols(FIVE) == (), "they are no candles"


def test_they_are_known_as_closed_bars_are(place, open_lake):
    """At the close and the settle delay; one millisecond earlier they are not there."""
    lake = open_lake(place, settle_delay_ms=7000)
    lake.append_mark(marks([100.0, 101.0]), source="a")
    lake.append_taker(shares([0.4, 0.6]), source="a")
    hour, close = JANUARY_31 + 2 * HOUR_MS, JANUARY_31 + 2 * FIVE.ms
    assert lake.mark("BTCUSDT", as_of_ms=hour + 7000).price.tolist() == [100.0, 101.0]
    assert lake.mark("BTCUSDT", as_of_ms=hour + 6999).price.tolist() == [100.0]
    assert lake.taker("BTCUSDT", FIVE, as_of_ms=close + 7000).share.tolist() == [0.4, 0.6]
    assert lake.taker("BTCUSDT", FIVE, as_of_ms=close + 6999).share.tolist() == [0.4]


def test_another_value_is_a_revision_and_the_first_one_stays(place, open_lake):
    """Reading as of before the revision gives the first value."""
    lake = open_lake(place)
    hour = JANUARY_31 + HOUR_MS
    lake.append_mark(marks([100.0]), source="a", known_at_ms=hour + 10)
    assert lake.append_mark(marks([101.0]), source="a", known_at_ms=hour + 20) == 1
    lake.append_taker(shares([0.4]), source="a", known_at_ms=hour + 10)
    assert lake.append_taker(shares([0.5]), source="a", known_at_ms=hour + 20) == 1
    for as_of_ms, price, share in ((hour + 19, 100.0, 0.4), (hour + 20, 101.0, 0.5), (None, 101.0, 0.5)):
        assert lake.mark("BTCUSDT", as_of_ms=as_of_ms).price.tolist() == [price]
        assert lake.taker("BTCUSDT", FIVE, as_of_ms=as_of_ms).share.tolist() == [share]
    counted = {held.kind: (held.rows, held.revisions) for held in lake.holdings()}
    assert counted == {"mark": (1, 1), "taker_5m": (1, 1)}
    assert lake.compact().files_after == 2


def test_the_snapshot_id_covers_them_and_is_what_it_was_without(tmp_path):
    """A market that has none of them keeps the id of the time before; each of them changes it."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(10), source="a")
    ids = [lake.snapshot(["BTCUSDT"], FIVE).id]
    assert ids[0] == BEFORE
    lake.append_mark(marks([100.0]), source="files:marks")
    ids.append(lake.snapshot(["BTCUSDT"], FIVE).id)
    lake.append_taker(shares([0.4]), source="a")
    ids.append(lake.snapshot(["BTCUSDT"], FIVE).id)
    lake.append_taker(shares([0.5]), source="a", known_at_ms=JANUARY_31 + HOUR_MS)
    ids.append(lake.snapshot(["BTCUSDT"], FIVE).id)
    assert len(set(ids)) == 4
    assert lake.snapshot(["BTCUSDT"], FIVE, as_of_ms=JANUARY_31 + HOUR_MS - 1).sources == ("a",)
    assert lake.snapshot(["BTCUSDT"], FIVE).sources == ("a", "files:marks")
    before_bars_end = lake.snapshot(["BTCUSDT"], FIVE, end_ms=JANUARY_31 + 600_000)
    assert before_bars_end.rows == 2


def test_only_checked_values_enter(place, open_lake):
    """Prices above zero, shares from 0 to 1, nothing of a bar that still forms; and no synthetic beside real."""
    lake = open_lake(place)
    with pytest.raises(MarkPriceError, match="zero or negative"):
        lake.append_mark(marks([0.0]), source="a")
    with pytest.raises(TakerFlowError, match="outside 0 to 1"):
        lake.append_taker(shares([1.5]), source="a")
    with pytest.raises(LakeError, match="said to be known at"):
        lake.append_mark(marks([1.0]), source="a", known_at_ms=JANUARY_31 + HOUR_MS - 1)
    with pytest.raises(LakeError, match="said to be known at"):
        lake.append_taker(shares([0.5]), source="a", known_at_ms=JANUARY_31 + FIVE.ms - 1)
    assert lake.append_mark(marks([]), source="a") == lake.append_taker(shares([]), source="a") == 0
    assert lake.holdings() == ()
    lake.append_candles(bar(JANUARY_31, 1.0), source="synthetic")
    with pytest.raises(LakeError, match="holds synthetic rows"):
        lake.append_mark(marks([1.0]), source="a")
