"""A model learns from each market only while it was a member, and every run names its universe."""

import re
from dataclasses import replace

import numpy as np
import pytest

from infra.settings import load_settings
from infra.sources.synthetic import synthetic_market
from infra.universe import read_snapshots, store_snapshot, universe_rule, utc_day
from market.errors import LockstepError
from market.universe import members_hash
from tasks.membership import run_universe
from tasks.plan import NotEnoughHistoryError
from tasks.training import training_panel, training_request
from tasks.universe import build_universe
from tasks.windows import current_window
from tests.infra.lake_data import FIVE
from tests.tasks.universe_homes import day

pytestmark = pytest.mark.integration

DAYS = 14
BTC, ETH, SOL, LATE = "SYNBTCUSDT", "SYNETHUSDT", "SYNSOLUSDT", "SYNBNBUSDT"
SMALL = {
    "universe__min_age_days": 3,
    "features__reference_symbol": BTC,
    "features__block_bars": 576,
    "features__warmup_bars": 640,
    "training__folds": 2,
    "training__min_train_days": 1,
    "shadow__shadow_days": 1,
    "shadow__serve_days": 1,
    "labels__horizon_bars": 12,
}


@pytest.fixture(scope="module")
def histories():
    """Fourteen days of four markets; turnovers are made so that the order is BTC, SOL, the late one, ETH."""
    made = synthetic_market((BTC, ETH, SOL, LATE), timeframe=FIVE, start_ms=day(0), days=DAYS, seed=5)
    scale = {BTC: 1e6, SOL: 1e4, LATE: 1e2, ETH: 1e-6}
    return {
        name: replace(one, candles=replace(one.candles, volume=one.candles.volume * scale[name]))
        for name, one in made.items()
    }


@pytest.fixture
def market(make_home, histories):
    """A home in which SOL is delisted at noon of day 7 and another market listed on day 6; two belong at a time."""

    def opened(**settings):
        home = make_home(**{"universe__top_n": 2, **SMALL, **settings})
        spans = {BTC: (0, DAYS), ETH: (0, DAYS), SOL: (0, 7.5), LATE: (6, DAYS)}
        for name, (first, end) in spans.items():
            one = histories[name]
            home.lake.append_candles(one.candles.between(day(first), day(end)), source="synthetic")
            home.lake.append_funding(one.funding, source="synthetic")
            home.lake.append_open_interest(name, one.open_interest.time, one.open_interest.value, source="synthetic")
        return home

    return opened


def build(home, first=1.0, end=None):
    """Decide these days from the lake."""
    stop = None if end is None else day(end)
    build_universe.fn(str(home.settings.home), start_ms=day(first), end_ms=stop)


def test_rows_are_those_of_member_days(market):
    """Row by row against the members of its own day: none besides, and every sound row of a member is there."""
    home = market()
    build(home)
    request = training_request(home)
    panel = training_panel(home, request)
    members = {one.day: one.members for one in read_snapshots(home.engine, universe_rule(home.settings))}
    assert panel.symbols == (LATE, BTC, ETH, SOL)
    seen = {name: panel.bar_index[panel.symbol_id == k] for k, name in enumerate(panel.symbols)}
    for name, index in seen.items():
        days = {utc_day(FIVE.open_time(int(i))) for i in index}
        assert days
        assert all(name in members[one] for one in days), name
    assert FIVE.open_time(int(seen[LATE][0])) == day(9), "three days after its listing at the start of day 6"
    assert FIVE.open_time(int(seen[SOL][-1])) == day(7.5) - FIVE.ms, "a member until its last bar"
    assert {utc_day(FIVE.open_time(int(i))) for i in seen[ETH]} == {utc_day(day(8))}, "when nobody else was left"
    unmasked = training_panel(home, replace(request, window=replace(request.window, universe=everybody(home))))
    kept = {(name, int(i)) for name, index in seen.items() for i in index}
    for k, i in zip(unmasked.symbol_id, unmasked.bar_index, strict=True):
        name = unmasked.symbols[k]
        was_member = name in members.get(utc_day(FIVE.open_time(int(i))), ())
        assert ((name, int(i)) in kept) == was_member


def test_a_market_delisted_midway_is_measured_up_to_its_last_bar(market):
    """It is no reason to leave it out; one that is still a member is measured up to the newest bar of all."""
    home = market()
    build(home)
    window = current_window(home)
    assert window.coverage[SOL] == 1.0
    assert SOL in window.symbols
    fixed = market(name="fixed", universe__mode="fixed", data__symbols=f"{BTC},{SOL}")
    assert current_window(fixed).left_out == {SOL: "coverage 53.6%, below 95%"}


def test_days_without_a_snapshot_are_refused_with_the_command_that_makes_them(market):
    """Only the newest day was decided: the remedy names the days, and after it the training can be asked for."""
    home = market()
    build(home, DAYS, DAYS + 1)
    with pytest.raises(LockstepError, match="there is no snapshot of the universe from 2025-02-02 to 2025-02-11") as no:
        training_request(home)
    first, end = re.findall(r"\d{4}-\d\d-\d\d", no.value.remedy)
    assert no.value.remedy == f"run lockstep universe build --from {first} --to {end}"
    starts = [int(np.datetime64(text, "ms").astype(np.int64)) for text in (first, end)]
    build_universe.fn(str(home.settings.home), start_ms=starts[0], end_ms=starts[1])
    assert training_request(home).universe["mode"] == "turnover"


def test_days_before_the_first_member_are_not_counted_as_history(market):
    """The stretch begins one warm-up before the first member, so that folds are not planned over empty days."""
    home = market(universe__min_age_days=5)
    build(home)
    window = current_window(home)
    assert FIVE.open_time(window.stretches.first + 640) == day(5)
    late = market(name="late", universe__min_age_days=11)
    build(late)
    with pytest.raises(NotEnoughHistoryError):
        current_window(late)


def test_the_universe_is_part_of_what_identifies_a_training(market):
    """Other members in the stretch, another key; a snapshot after the stretch, the same."""
    home = market()
    build(home)
    request = training_request(home)
    universe = request.universe
    assert request.config["universe"] == {"mode": "turnover", "id": universe["id"]}
    assert [one["day"] for one in universe["snapshots"]] == [str(utc_day(day(n))) for n in range(1, 12)]
    assert universe["snapshots"][-1]["hash"] == members_hash((BTC, LATE))
    assert universe["rule"]["top_n"] == 2
    rule = universe_rule(home.settings)
    later = {"rule": rule, "source": "lake", "judged": ()}
    store_snapshot(home.engine, day=utc_day(day(40)), as_of_ms=day(40), **later)
    assert training_request(home).key == request.key
    three = market(name="three", universe__top_n=3)
    build(three)
    assert training_request(three).universe["id"] != universe["id"]
    assert training_request(three).key != request.key


def test_a_fixed_universe_is_named_by_its_list(market):
    """Whatever its order; all rows are learnt from, and no snapshot is needed."""
    home = market(universe__mode="fixed", data__symbols=f"{ETH},{BTC}")
    request = training_request(home)
    assert request.universe == {"mode": "fixed", "id": members_hash((BTC, ETH)), "symbols": [BTC, ETH]}
    assert request.config["universe"] == {"mode": "fixed", "id": members_hash((BTC, ETH))}
    assert run_universe(home).mask(ETH, first_index=0, n=3).all()
    alone = market(name="alone", universe__mode="fixed", data__symbols=BTC)
    assert training_request(alone).universe["id"] != request.universe["id"]


def test_one_day_that_is_missing_is_bridged_by_the_day_before(market):
    """Two in a row are not: no snapshot counts for longer than two days."""
    home = market()
    for first, end in ((1, 6), (7, 14)):
        build(home, first, end)
    training_request(home)
    other = market(name="other")
    for first, end in ((1, 6), (8, 14)):
        build(other, first, end)
    with pytest.raises(LockstepError, match="no snapshot of the universe from 2025-02-07 to 2025-02-07"):
        training_request(other)


def test_a_market_that_was_never_a_member_in_the_stretch_is_named(market):
    """One that came in afterwards is left out with the reason."""
    home = market(universe__min_age_days=8)
    build(home)
    assert current_window(home).left_out == {LATE: "no member of the universe in the training stretch"}


def everybody(home):
    """The same markets as a fixed list."""
    names = run_universe(home).symbols
    settings = load_settings(home.settings.home, environ={}, overrides={"data.symbols": list(names)})
    return run_universe(replace(home, settings=settings))
