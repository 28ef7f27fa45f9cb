"""Gaps are shown as they are, and healed by asking the venue they came from."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from cli.gaps import _show
from infra.bootstrap import App, open_app
from infra.database import database_url
from infra.errors import SourceError
from infra.gaps import open_gaps
from infra.heartbeats import beat
from infra.venues import close_venue, read_venue
from market.candles import Candles
from market.errors import LockstepError
from market.timeframe import Timeframe
from tasks.gap_report import examine_gaps, gap_report
from tasks.gaps import heal
from tests.infra.exchange_data import CLOSED, NOW, source
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk
from tests.loopback_exchange import Fault, LoopbackExchange, LoopbackMarket, run_in_thread
from tests.loopback_exchange.warts import healing_gap

pytestmark = pytest.mark.integration
VENUE = "binanceusdm"
ONE = Timeframe.parse("1m")
BARS = 900


@pytest.fixture
def lone(app: App, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """A home with an empty lake, and an empty database beside the room's."""
    values = {"LOCKSTEP_DATABASE__URL": database_url(app.engine, "gaps")}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with open_app(tmp_path / "home", environ=values) as opened:
        with opened.engine.begin() as connection:
            connection.execute(text("TRUNCATE gaps, fetched_windows, venues, heartbeats"))
        yield opened


def at(k: int) -> int:
    """Open time of bar ``k``."""
    return JANUARY_31 + k * FIVE.ms


def whole(symbol: str = "BTCUSDT") -> Candles:
    """What the venue has, to the last bar closed."""
    return walk(BARS, symbol=symbol, seed=len(symbol))


def without(candles: Candles, *holes: tuple[int, int]) -> Candles:
    """The same history without the bars ``[first, end)`` of each hole."""
    left = np.array([k for k in range(len(candles)) if not any(lo <= k < hi for lo, hi in holes)])
    names = ("open_time", "open", "high", "low", "close", "volume")
    return replace(candles, **{name: getattr(candles, name)[left] for name in names})


def store(app: App, *holes: tuple[int, int], symbol: str = "BTCUSDT", by: str = VENUE) -> None:
    """Put a history with holes into the lake."""
    app.lake.append_candles(without(whole(symbol), *holes), source=by)


def exchange(market: LoopbackMarket | None = None, *faults: Fault) -> LoopbackExchange:
    """A venue with one market, whole by default."""
    held = market or LoopbackMarket(candles=whole())
    return LoopbackExchange(markets={"BTCUSDT": held}, now_ms=NOW, faults=list(faults))


def ledger(app: App) -> list[tuple[int, int, str]]:
    """Open gaps: first bar, length, status."""
    found = open_gaps(app.engine, symbols=["BTCUSDT"], timeframe=FIVE)
    return [((gap.first_ms - JANUARY_31) // FIVE.ms, gap.bars, str(gap.status)) for gap in found]


def test_gaps_that_were_never_asked_for_are_healed(lone):
    """Two holes come back bit for bit; they are known since now, so that yesterday's reading still has its holes."""
    store(lone, (100, 323), (500, 501))
    venue = exchange()
    before = datetime.now(tz=UTC)
    with run_in_thread(venue) as url:
        done = heal(lone, source(url), symbols=["BTCUSDT"])
    assert (done["healed_gaps"], done["healed_bars"], done["open_gaps"], done["new_rows"]) == (2, 224, 0, 224)
    assert (done["incomplete"], done["failed"]) == (None, {})
    assert ledger(lone) == []
    assert same(lone.lake.candles("BTCUSDT", FIVE), whole())
    yesterday = int((before - timedelta(days=1)).timestamp() * 1000)
    assert same(lone.lake.candles("BTCUSDT", FIVE, as_of_ms=yesterday), without(whole(), (100, 323), (500, 501)))
    state = read_venue(lone.engine, VENUE)
    assert state is not None
    assert state.answered_at is not None
    assert state.answered_at >= before


def test_what_the_venue_lacks_is_said_and_asked_for_again(lone):
    """First the venue has nothing: missing there, dated. It repairs its history: the next healing brings the bars."""
    store(lone, (100, 323))
    market = healing_gap(LoopbackMarket(candles=whole()), start_ms=at(100), heals_after_asks=2)
    with run_in_thread(exchange(market)) as url:
        first = heal(lone, source(url), symbols=["BTCUSDT"])
        assert (first["healed_bars"], first["open_gaps"]) == (0, 1)
        assert ledger(lone) == [(100, 223, "missing_at_venue")]
        (gap,) = open_gaps(lone.engine, symbols=["BTCUSDT"], timeframe=FIVE)
        again = heal(lone, source(url), symbols=["BTCUSDT"])
        while not again["healed_bars"]:
            (asked,) = open_gaps(lone.engine, symbols=["BTCUSDT"], timeframe=FIVE)
            assert asked.asked_at > gap.asked_at
            again = heal(lone, source(url), symbols=["BTCUSDT"])
    assert (again["healed_gaps"], again["healed_bars"]) == (1, 223)
    assert same(lone.lake.candles("BTCUSDT", FIVE), whole())
    with lone.engine.connect() as connection:
        (row,) = connection.execute(text("SELECT status, bars, healed_at IS NOT NULL AS dated FROM gaps")).all()
    assert (row.status, row.bars, row.dated) == ("healed", 223, True)


def test_nothing_to_heal_asks_nothing(lone):
    """A whole history: no connection is made at all."""
    store(lone)
    done = heal(lone, source("http://127.0.0.1:9"), symbols=["BTCUSDT"])
    assert (done["requests"], done["open_gaps"], done["incomplete"]) == (0, 0, None)


def test_markets_from_files_are_not_healed_by_a_venue(lone):
    """Their gaps stay as they are and are named; the venue is not asked for them."""
    store(lone, (10, 20), by="files:archive")
    venue = exchange()
    with run_in_thread(venue) as url:
        done = heal(lone, source(url), symbols=["BTCUSDT"])
    assert done["not_of_this_venue"] == ["BTCUSDT"]
    assert (done["requests"], venue.count("klines")) == (0, 0)
    assert ledger(lone) == [(10, 10, "not_fetched")]


def test_a_venue_that_fails_leaves_gaps_open_and_says_why(lone):
    """No bar is made up, no gap is called missing at a venue that did not answer."""
    store(lone, (10, 20))
    broken = Fault(path="klines", status=400, times=None)
    with run_in_thread(exchange(None, broken)) as url:
        done = heal(lone, source(url), symbols=["BTCUSDT"])
    assert ledger(lone) == [(10, 10, "not_fetched")]
    assert (done["healed_bars"], done["new_rows"]) == (0, 0)
    assert "BTCUSDT" in done["failed"]
    assert "still missing" in done["incomplete"]["why"]


def test_a_venue_that_asked_for_a_pause_is_left_alone(lone):
    """Healing refuses at once, and nobody hears of it."""
    store(lone, (10, 20))
    close_venue(lone.engine, VENUE, until=datetime.now(tz=UTC) + timedelta(hours=1), why="banned")
    venue = exchange()
    with run_in_thread(venue) as url, pytest.raises(SourceError, match="left alone"):
        heal(lone, source(url), symbols=["BTCUSDT"])
    assert venue.calls == []


def test_the_report_is_json_and_begins_with_the_worst(lone, capsys):
    """Coverage against the setting, gaps longest first, warnings first; people see a page that caps."""
    store(lone, (100, 400), symbol="ETHUSDT", by="files:a")
    store(lone, *((k, k + 1) for k in range(10, 40, 2)))
    found = examine_gaps(str(lone.settings.home), symbols=[])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [one["symbol"] for one in found["symbols"]] == ["ETHUSDT", "BTCUSDT"]
    eth, btc = found["symbols"]
    assert (eth["missing"], eth["not_fetched"], eth["enough"], eth["sources"]) == (300, 300, False, ["files:a"])
    assert (btc["missing"], btc["enough"]) == (15, True)
    assert [gap["bars"] for gap in found["gaps"]] == [300] + [1] * 15
    assert found["venue"]["answered_at"] is None
    _show(found)
    page = capsys.readouterr().out
    assert "66.67% too little" in page
    assert "and 4 more gaps" in page
    assert f"{VENUE} was never asked from this home" in page


def test_a_delisted_market_ends_with_its_last_bar(lone):
    """What the collector found gone has no tail of missing bars, and keeps those it lacks before its end."""
    lone.lake.append_candles(without(whole(), (300, 310)).between(None, at(500)), source=VENUE)
    store(lone, symbol="ETHUSDT")
    assert [gap["bars"] for gap in gap_report(lone, symbols=["BTCUSDT"])["gaps"]] == [400, 10]
    with lone.engine.begin() as connection:
        connection.execute(text("TRUNCATE gaps"))
    beat(lone.engine, "collector", {"delisted": ["BTCUSDT"]})
    assert [gap["bars"] for gap in gap_report(lone, symbols=["BTCUSDT"])["gaps"]] == [10]


def test_open_interest_of_a_home_of_1m_bars_has_slots_of_5m(lone):
    """The venue has none for shorter ones: four of five minutes without a stamp are no oddity."""
    data = lone.settings.data.model_copy(update={"timeframe": "1m"})
    minutes = replace(lone, settings=lone.settings.model_copy(update={"data": data}))
    bars = whole()
    minutes.lake.append_candles(
        replace(bars, timeframe=ONE, open_time=JANUARY_31 + np.arange(BARS) * ONE.ms), source=VENUE
    )
    slots = JANUARY_31 + np.array([0, 1, 2, 4]) * FIVE.ms
    minutes.lake.append_open_interest("BTCUSDT", slots, np.full(slots.size, 10.0), source=VENUE)
    found = gap_report(minutes, symbols=["BTCUSDT"])["findings"]
    assert [one["bars"] for one in found if one["kind"] == "open_interest_empty"] == [1]


def test_an_unknown_symbol_is_refused_by_name(lone):
    """As is a lake without anything."""
    with pytest.raises(LockstepError, match="holds no 5m candles"):
        gap_report(lone, symbols=[])
    store(lone)
    with pytest.raises(LockstepError, match="NOPEUSDT"):
        gap_report(lone, symbols=["NOPEUSDT"])


assert JANUARY_31 + BARS * FIVE.ms <= CLOSED, "every bar of these histories has closed"
