"""Past days are decided from what the lake held when they began, once, whatever arrives later."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from infra.universe import judged_in, newest_snapshot, read_snapshots, universe_rule, utc_day
from market.errors import LockstepError
from market.timeframe import DAY_MS
from tasks.health import home_status
from tasks.symbols import symbols_in_use, symbols_to_collect
from tasks.universe import build_universe
from tasks.universe_report import market_history, universe_on
from tests.infra.lake_data import FIVE
from tests.tasks.universe_homes import cut, day, traded

pytestmark = pytest.mark.integration


@pytest.fixture
def three(make_home):
    """Two of three markets belong: AUSDT the most traded, BUSDT until CUSDT comes on the third day."""
    opened = make_home(universe__top_n=2)
    for candles in (
        traded("AUSDT", 0, 6, scale=9.0),
        traded("BUSDT", 0, 6, scale=2.0, seed=1),
        traded("CUSDT", 2.5, 6, scale=50.0, seed=2),
    ):
        opened.lake.append_candles(candles, source="files")
    return opened


def built(app, first=1, end=None):
    """Run the task over these days."""
    stop = None if end is None else day(end)
    return build_universe.fn(str(app.settings.home), start_ms=day(first), end_ms=stop)


def everything(app):
    """All that is stored under the rule in use."""
    snapshots = read_snapshots(app.engine, universe_rule(app.settings))
    return [(one, judged_in(app.engine, one.id)) for one in snapshots]


def test_a_day_is_judged_by_the_24_hours_before(three):
    """Turnover, price and age equal sums over the raw bars, day by day; members are the two largest."""
    done = built(three)
    assert (done["decided"], done["kept"], done["first_day"], done["last_day"]) == (6, 0, "2025-02-01", "2025-02-06")
    stored = everything(three)
    for n, (snapshot, judged) in enumerate(stored, start=1):
        expected = {}
        for symbol in ("AUSDT", "BUSDT", "CUSDT"):
            bars = three.lake.candles(symbol, FIVE)
            inside = (bars.open_time >= day(n - 1)) & (bars.open_time < day(n))
            if inside.any():
                turnover = float((bars.volume[inside] * bars.close[inside]).sum())
                price = float(bars.close[inside][-1])
                age_days = (day(n) + 5000 - int(bars.open_time[0])) / DAY_MS
                expected[symbol] = (pytest.approx(turnover, rel=1e-12), price, age_days)
        assert {one.symbol: (one.turnover, one.price, one.age_days) for one in judged if one.age_days} == expected
        best = sorted(expected, key=lambda name, of=expected: -of[name][0].expected)[:2]
        assert snapshot.members == tuple(sorted(best))
        assert (snapshot.as_of_ms, snapshot.source) == (day(n) + 5000, "lake")
    assert [one.members for one, _ in stored] == [("AUSDT", "BUSDT")] * 2 + [("AUSDT", "CUSDT")] * 4
    assert [(one["day"], one["symbol"], one["change"], one["reason"]) for one in done["changes"][2:]] == [
        ("2025-02-03", "CUSDT", "entered", "rank 1 of 2 by turnover"),
        ("2025-02-03", "BUSDT", "left", "rank 3, beyond 2"),
    ]


def test_a_day_that_was_decided_stays_as_it_is(three):
    """Whatever is backfilled, revised or listed afterwards; only days that were open are decided."""
    built(three, 1, 4)
    before = everything(three)
    three.lake.append_candles(traded("DUSDT", 0, 6, scale=99.0, seed=3), source="files")
    three.lake.append_candles(traded("AUSDT", 0, 2, scale=0.01), source="files")
    done = built(three)
    assert (done["decided"], done["kept"]) == (3, 3)
    assert everything(three)[: len(before)] == before
    assert [one.members for one, _ in everything(three)[3:]] == [("CUSDT", "DUSDT")] * 3


def test_what_becomes_known_later_has_no_say(three, make_home):
    """The same days under a rule nobody used yet: revisions and later bars change no number of the past."""
    expected = [[asdict(one) for one in judged] for _, judged in (built(three, 1, 4), everything(three))[1]]
    three.lake.append_candles(traded("AUSDT", 0, 2, scale=0.01), source="files", known_at_ms=day(9))
    three.lake.append_candles(traded("AUSDT", 6, 8, scale=77.0), source="files")
    three.lake.append_candles(traded("EUSDT", 6, 8, scale=99.0), source="files")
    other = make_home(universe__top_n=2, universe__min_price="1e-9")
    other = replace(other, lake=three.lake)
    built(other, 1, 4)
    found = [
        [{**asdict(one), "symbol": one.symbol} for one in judged if one.symbol != "EUSDT"]
        for _, judged in everything(other)
    ]
    assert found == expected


def test_a_delisted_market_leaves_and_is_remembered(three):
    """The day after its last 24 hours it is delisted; its history keeps both days and both reasons."""
    three.lake.append_candles(traded("AUSDT", 6, 9, scale=9.0, seed=5), source="files")
    three.lake.append_candles(traded("BUSDT", 6, 9, scale=2.0, seed=6), source="files")
    built(three)
    assert market_history(three, "CUSDT") == {
        "symbol": "CUSDT",
        "member": False,
        "reason": "delisted",
        "day": "2025-02-09",
        "stays": [
            {"entered": "2025-02-03", "why": "rank 1 of 2 by turnover", "left": "2025-02-07", "why_left": "delisted"}
        ],
    }
    assert [(one["entered"], one["left"]) for one in market_history(three, "BUSDT")["stays"]] == [
        ("2025-02-01", "2025-02-03"),
        ("2025-02-07", None),
    ]
    assert symbols_in_use(three) == ("AUSDT", "BUSDT")
    assert symbols_to_collect(three) == ("AUSDT", "BTCUSDT", "BUSDT")
    with pytest.raises(LockstepError, match="NOPEUSDT was never judged"):
        market_history(three, "NOPEUSDT")


def test_a_market_that_left_is_still_collected_while_it_is_traded(three):
    """Its positions end at real prices, and it may come back."""
    built(three)
    assert symbols_in_use(three) == ("AUSDT", "CUSDT")
    assert symbols_to_collect(three) == ("AUSDT", "BTCUSDT", "BUSDT", "CUSDT")


def test_turnover_over_too_few_bars_is_unknown(three):
    """A market whose day is half missing is out for that day, with its real reason; a late start is no hole."""
    bars = traded("DUSDT", 0, 6, scale=400.0, seed=3)
    late = (bars.open_time < day(3)) | (bars.open_time >= day(3.5))
    three.lake.append_candles(cut(bars, late & (np.arange(len(bars)) % 30 != 7)), source="files")
    built(three)
    verdicts = {
        n: next(one for one in judged if one.symbol == "DUSDT") for n, (_, judged) in enumerate(everything(three), 1)
    }
    assert {n: one.member for n, one in verdicts.items()} == {1: True, 2: True, 3: True, 4: False, 5: True, 6: True}
    assert (verdicts[4].reason, verdicts[4].turnover) == ("no turnover known", None)
    third = next(one for one in everything(three)[2][1] if one.symbol == "CUSDT")
    assert third.member, "half a day since its first bar is all there can be"


def test_days_outside_the_lake_are_refused_with_those_it_knows(three):
    """The first and the last it can answer for are in the message, and asking for them works."""
    for first, end in ((0, 3), (3, 9), (8, 9)):
        with pytest.raises(
            LockstepError, match=r"from 2025-02-01 to 2025-02-06 only.*--from 2025-02-01 --to 2025-02-07"
        ):
            built(three, first, end)
    assert everything(three) == []
    assert built(three, 1, 7)["decided"] == 6


def test_a_day_without_any_bar_stops_the_build(make_home):
    """Not every market at once is taken for delisted; the days before the hole are decided."""
    opened = make_home()
    opened.lake.append_candles(traded("AUSDT", 0, 2), source="files")
    opened.lake.append_candles(traded("AUSDT", 3, 5, seed=1), source="files")
    with pytest.raises(LockstepError, match="no bar of the 24 hours before 2025-02-03 is in the lake"):
        built(opened)
    assert [one.day.day for one, _ in everything(opened)] == [1, 2]


def test_a_home_without_a_universe_says_what_to_do(make_home):
    """Nothing decided, or an empty lake: refused with the command that helps."""
    opened = make_home()
    with pytest.raises(LockstepError, match=r"no members yet.*lockstep universe refresh"):
        symbols_in_use(opened)
    with pytest.raises(LockstepError, match="no members yet"):
        universe_on(opened, None, now_ms=day(9))
    with pytest.raises(LockstepError, match=r"the lake holds no 5m candles.*lockstep backfill"):
        built(opened)


def test_the_universe_is_shown_as_of_a_day_and_flagged_when_it_is_old(three):
    """Judged markets with their reasons; stale from universe.max_age_hours on."""
    built(three)
    found = universe_on(three, utc_day(day(2)), now_ms=day(2) + 40 * 3_600_000)
    assert (found["day"], found["members"], found["stale"]) == ("2025-02-02", ["AUSDT", "BUSDT"], False)
    assert [one["symbol"] for one in found["judged"]] == ["AUSDT", "BUSDT"]
    newest = universe_on(three, None, now_ms=day(6) + 49 * 3_600_000)
    assert (newest["day"], newest["stale"], round(newest["age_hours"])) == ("2025-02-06", True, 49)
    with pytest.raises(LockstepError, match="no universe was decided for 2025-01-31 or before"):
        universe_on(three, utc_day(day(0)), now_ms=day(9))


def test_a_fixed_universe_is_the_list_of_the_home(make_home):
    """Shown with its hash, in no order; snapshots of a rule are shown too, but not in use."""
    opened = make_home(universe__mode="fixed", data__symbols="BUSDT,AUSDT")
    found = universe_on(opened, None, now_ms=day(9))
    assert (found["mode"], found["source"], found["members"], found["day"]) == (
        "fixed",
        "settings",
        ["AUSDT", "BUSDT"],
        None,
    )
    opened.lake.append_candles(traded("CUSDT", 0, 2), source="files")
    built(opened)
    assert universe_on(opened, None, now_ms=day(9))["members"] == ["CUSDT"]
    assert symbols_in_use(opened) == ("BUSDT", "AUSDT")
    assert newest_snapshot(opened.engine, universe_rule(opened.settings)).members == ("CUSDT",)


def test_the_status_looks_at_the_members_alone(three):
    """A market that died long ago and is still in the lake makes nothing stale; before any decision nobody is named."""
    three.lake.append_candles(traded("DEADUSDT", 0, 1, seed=3), source="files")
    now_ms = day(6) + 60_000
    assert home_status(three.settings.home, now_ms=now_ms)["symbols"] == []
    built(three)
    found = home_status(three.settings.home, now_ms=now_ms)
    assert found["symbols"] == list(symbols_in_use(three)) == ["AUSDT", "CUSDT"]
    assert found["freshness"]["candles"]["fresh"]
