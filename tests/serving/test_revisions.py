"""A venue changes a bar after it was decided on: the past stays as it was said, the future knows better."""

from dataclasses import replace

import pytest

from infra.lake import Lake
from infra.tables import feature_rows, predictions, signals
from market.candles import Candles
from serving.parity import parity_audit
from serving.revisions import read_revisions
from serving.worker import serve_once
from tests.fakes.small_market import END_INDEX, SYMBOLS, TIMEFRAME, TRAIN_END, SmallMarket, copy_stamps, small_market
from tests.serving.replays import content, lineup_of, plan_for, run, said

FIRST = TRAIN_END + 20
CHANGED = SYMBOLS[2]


def bar(market: SmallMarket, symbol: str, index: int, *, factor: float = 1.0) -> Candles:
    """A bar of the market, its prices times ``factor``."""
    start_ms = TIMEFRAME.open_time(index)
    old = market.lake.candles(symbol, TIMEFRAME, start_ms=start_ms, end_ms=start_ms + TIMEFRAME.ms)
    prices = {name: getattr(old, name) * factor for name in ("open", "high", "low", "close")}
    return replace(old, **prices)


@pytest.fixture
def growing(market, tmp_path) -> SmallMarket:
    """A market of its own with the bars before ``FIRST``, into which more are collected."""
    lake = Lake(tmp_path / "lake")
    for symbol in SYMBOLS:
        lake.append_candles(
            market.lake.candles(symbol, TIMEFRAME, end_ms=TIMEFRAME.open_time(FIRST)), source="synthetic"
        )
        copy_stamps(market.lake, lake, symbol)
    return SmallMarket(lake=lake, contract=market.contract)


def serve(engine, market: SmallMarket, bundles, index: int) -> None:
    """The worker, seven seconds after the close of this bar."""
    now_ms = TIMEFRAME.close_time(index) + 7000
    plan = plan_for(market, run="live")
    serve_once(engine, market.lake, lineup_of(bundles), plan=plan, now_ms=now_ms)


def serve_next(engine, market: SmallMarket, growing: SmallMarket, bundles, index: int) -> None:
    """Collect a bar of every market and serve it."""
    for symbol in SYMBOLS:
        growing.lake.append_candles(bar(market, symbol, index), source="synthetic")
    serve(engine, growing, bundles, index)


def test_what_was_said_stays_and_later_bars_use_the_new_values(engine, market, growing, bundles):
    """Served live around a revision: nothing before is touched, the next bar says why, and parity is 100 %."""
    for index in range(FIRST, FIRST + 3):
        serve_next(engine, market, growing, bundles, index)
    before = content(engine)
    revised_ms = TIMEFRAME.close_time(FIRST + 3) + 1000
    new = bar(market, CHANGED, FIRST + 1, factor=1.01)
    growing.lake.append_candles(new, source="synthetic", known_at_ms=revised_ms)
    for index in range(FIRST + 3, FIRST + 6):
        serve_next(engine, market, growing, bundles, index)
    after = content(engine)
    for table in (feature_rows, predictions, signals):
        assert before[table.name]
        assert set(before[table.name]) <= set(after[table.name])
    reasons = {(row.bar_ms // TIMEFRAME.ms - FIRST, row.symbol): (row.state, row.reason) for row in said(engine)}
    told = {key for key, (_, reason) in reasons.items() if reason == "revised_bar"}
    assert told == {(3, CHANGED)}
    assert {state for state, _ in reasons.values()} == {"FULL"}
    audit = parity_audit(engine, growing.lake, contract=growing.contract, first_index=FIRST, last_index=FIRST + 5)
    assert (audit.rows, audit.identical) == (18, 18)
    # Not knowing of the revision would have given other features, or the test proves nothing.
    blind = parity_audit(
        engine,
        growing.lake,
        contract=growing.contract,
        first_index=FIRST + 3,
        last_index=FIRST + 5,
        as_of_ms=revised_ms - 1,
    )
    assert blind.identical < blind.rows


def test_a_replay_tells_it_at_the_bar_that_first_knew(engine, tmp_path, bundles):
    """The one decided next after the change became known, and no other."""
    at = END_INDEX - 20
    growing = small_market(tmp_path / "whole")
    new = bar(growing, CHANGED, at - 5, factor=1.01)
    growing.lake.append_candles(new, source="synthetic", known_at_ms=TIMEFRAME.close_time(at) + 1)
    run(engine, growing, lineup_of(bundles[:1]), start=at - 2, bars=5)
    told = [(row.bar_ms // TIMEFRAME.ms, row.symbol) for row in said(engine) if row.reason == "revised_bar"]
    assert told == [(at, CHANGED)]


def test_a_change_before_the_decision_revises_no_decision(tmp_path):
    """A bar corrected between its close and its decision was decided on as corrected."""
    at = END_INDEX - 20
    growing = small_market(tmp_path / "whole")
    new = bar(growing, CHANGED, at, factor=1.01)
    growing.lake.append_candles(new, source="synthetic", known_at_ms=TIMEFRAME.close_time(at) + 6000)
    found = read_revisions(growing.lake, SYMBOLS, TIMEFRAME, first_index=at, end_index=at + 1)
    after_ms, until_ms = TIMEFRAME.close_time(at - 1) + 7000, TIMEFRAME.close_time(at) + 7000
    assert found.between(after_ms, until_ms, before_ms=TIMEFRAME.open_time(at)) == ()
    assert found.between(after_ms, until_ms, before_ms=TIMEFRAME.open_time(at + 1)) == (CHANGED,)
    assert found.between(until_ms, until_ms + 1, before_ms=TIMEFRAME.open_time(at + 1)) == ()
