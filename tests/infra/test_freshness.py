"""How old each source may be, and which one is too old."""

import numpy as np
import pytest
from sqlalchemy import delete, insert

from infra.freshness import is_fresh, market_freshness, max_age_ms, universe_freshness
from infra.lake import Lake
from infra.sources.protocol import Kind
from infra.tables import universe_snapshots
from market.funding import FundingStamps
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe
from tests.infra.lake_data import FIVE, JANUARY_31, walk

CLOSE = JANUARY_31 + 100 * FIVE.ms


def settle(lake: Lake, symbol: str, *hours: int) -> None:
    """Settlements so many hours after January 31."""
    time = JANUARY_31 + np.array(hours, dtype=np.int64) * HOUR_MS
    lake.append_funding(FundingStamps(symbol=symbol, time=time, rate=np.full(time.size, 1e-4)), source="a")


def measure(lake: Lake, symbol: str, *times: int) -> None:
    """Open interest stamps."""
    lake.append_open_interest(symbol, np.array(times, dtype=np.int64), np.full(len(times), 10.0), source="a")


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Two markets with 100 bars each, settled every 8 and every 4 hours, with open interest to the last close."""
    found = Lake(tmp_path)
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        found.append_candles(walk(100, symbol=symbol, seed=seed), source="a")
        measure(found, symbol, CLOSE - FIVE.ms, CLOSE)
    settle(found, "BTCUSDT", -8, 0, 8)
    settle(found, "ETHUSDT", 0, 4, 8)
    return found


def look(lake: Lake, now_ms: int, *, symbols=("BTCUSDT", "ETHUSDT"), max_age_bars: int = 2):
    """Freshness by source."""
    found = market_freshness(lake, symbols, FIVE, now_ms=now_ms, max_age_bars=max_age_bars)
    return {one.source: one for one in found}


@pytest.mark.parametrize(
    ("kind", "timeframe", "bars", "interval_h", "minutes"),
    [
        (Kind.CANDLES, "5m", 2, 8, 10),
        (Kind.CANDLES, "1h", 3, 8, 180),
        (Kind.FUNDING, "5m", 2, 8, 540),
        (Kind.FUNDING, "5m", 2, 1, 120),
        (Kind.FUNDING, "5m", 2, 16, 540),
        (Kind.OPEN_INTEREST, "1m", 2, 8, 15),
        (Kind.OPEN_INTEREST, "1h", 2, 8, 120),
    ],
)
def test_the_limit_follows_from_the_interval_of_the_source(kind, timeframe, bars, interval_h, minutes):
    """Bars, settlements with an hour to spare and never more than 8 h, open interest at least a quarter of an hour."""
    limit = max_age_ms(kind, timeframe=Timeframe.parse(timeframe), max_age_bars=bars, interval_ms=interval_h * HOUR_MS)
    assert limit == minutes * MINUTE_MS


def test_the_last_millisecond_is_fresh_and_the_next_is_stale(lake):
    """Age counts from the close of the newest bar; nothing at all is never fresh."""
    assert look(lake, CLOSE + 10 * MINUTE_MS)["candles"].fresh
    late = look(lake, CLOSE + 10 * MINUTE_MS + 1)["candles"]
    assert (late.fresh, late.watermark_ms, late.age_ms, late.max_age_ms) == (False, CLOSE, 600_001, 600_000)
    assert late.stale == ("BTCUSDT", "ETHUSDT")
    assert not is_fresh(None, now_ms=0, limit_ms=10**15)


def test_a_market_that_is_ahead_of_the_clock_is_not_fresh(lake):
    """Bars from the future would otherwise be fresh until the clock has caught up with them."""
    assert look(lake, CLOSE - 10 * MINUTE_MS)["candles"].fresh
    assert not look(lake, CLOSE - 10 * MINUTE_MS - 1)["candles"].fresh


def test_a_source_that_stops_for_one_market_is_stale_and_names_it(lake):
    """ETH goes on, BTC does not: the source is stale, BTC is the oldest, its own watermark is told."""
    lake.append_candles(walk(110, symbol="ETHUSDT", seed=1), source="a")
    found = look(lake, CLOSE + 10 * FIVE.ms)["candles"]
    assert (found.fresh, found.symbol, found.watermark_ms, found.stale) == (False, "BTCUSDT", CLOSE, ("BTCUSDT",))


def test_funding_is_judged_by_the_interval_of_each_market(lake):
    """Settled at hour 8 both: the market of 4 hours is stale after 5, that of 8 hours after 9."""
    at_eight = JANUARY_31 + 8 * HOUR_MS
    assert look(lake, at_eight + 5 * HOUR_MS)["funding"].fresh
    four = look(lake, at_eight + 5 * HOUR_MS + 1)["funding"]
    assert (four.symbol, four.stale, four.max_age_ms) == ("ETHUSDT", ("ETHUSDT",), 5 * HOUR_MS)
    assert look(lake, at_eight + 9 * HOUR_MS + 1)["funding"].stale == ("BTCUSDT", "ETHUSDT")


def test_open_interest_has_a_quarter_of_an_hour(lake):
    """Even where bars may be no more than five minutes old."""
    assert look(lake, CLOSE + 15 * MINUTE_MS, max_age_bars=1)["open_interest"].fresh
    assert not look(lake, CLOSE + 15 * MINUTE_MS + 1, max_age_bars=1)["open_interest"].fresh


def test_what_was_never_stored_is_the_oldest_of_all(lake):
    """A market without any rows is stale in every source; its watermark is unknown, not zero."""
    found = look(lake, CLOSE, symbols=("BTCUSDT", "NONEUSDT"))
    for one in found.values():
        assert (one.fresh, one.symbol, one.watermark_ms, one.age_ms) == (False, "NONEUSDT", None, None)
        assert one.stale == ("NONEUSDT",)
    assert look(lake, CLOSE, symbols=()) == {}


def test_stamps_far_from_the_bars_are_found_all_the_same(tmp_path):
    """Funding that stopped half a year before the newest bar has a watermark, and is stale."""
    lake = Lake(tmp_path)
    lake.append_candles(walk(10), source="a")
    settle(lake, "BTCUSDT", -4400, -4392)
    found = look(lake, JANUARY_31 + 10 * FIVE.ms, symbols=("BTCUSDT",))["funding"]
    assert (found.watermark_ms, found.fresh) == (JANUARY_31 - 4392 * HOUR_MS, False)


def test_a_universe_ages_by_the_hour(engine):
    """No snapshot is stale; the newest one counts, for as long as it may."""
    with engine.begin() as connection:
        connection.execute(delete(universe_snapshots))
        assert not universe_freshness(connection, now_ms=0, max_age_hours=48).fresh
        for day in (1, 2):
            values = {"rule": "r", "day": f"2025-01-0{day}", "source": "t", "as_of_ms": day * 24 * HOUR_MS}
            connection.execute(insert(universe_snapshots).values(**values, rule_values={}, content_hash="h"))
        limit = 48 * HOUR_MS + 48 * HOUR_MS
        assert universe_freshness(connection, now_ms=limit, max_age_hours=48).fresh
        late = universe_freshness(connection, now_ms=limit + 1, max_age_hours=48)
        assert (late.fresh, late.watermark_ms) == (False, 48 * HOUR_MS)
        connection.execute(delete(universe_snapshots))
