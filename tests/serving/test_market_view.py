"""What each bar is shown, against batch features of an as-of read at that very bar."""

import numpy as np
import pytest

from features.batch import compute_features
from infra.lake import Lake
from market.candles import Candles
from market.funding import FundingStamps
from market.timeframe import HOUR_MS
from serving.errors import MarketViewError
from serving.lake_inputs import batch_inputs
from serving.market_view import DECISION_DELAY_MS, MarketView
from tests.fakes.small_market import (
    END_INDEX,
    FIRST_INDEX,
    SYMBOLS,
    TIMEFRAME,
    WARMUP,
    SmallMarket,
    copy_stamps,
    small_market,
)

START = 10_046 * 576 - 6  # six bars before a block boundary


def batch_row(market: SmallMarket, symbol: str, index: int, as_of_ms: int) -> tuple[bytes, int]:
    inputs = batch_inputs(
        market.lake, symbol, market.contract, first_index=index, end_index=index + 1, as_of_ms=as_of_ms
    )
    if inputs is None or not inputs.first_index <= index < inputs.end_index:
        return b"", -1
    block = compute_features(inputs, market.contract, start_index=index)
    return block.values[0].tobytes(), int(block.reason[0])


def check_against_batch(market: SmallMarket, *, start: int, end: int) -> list[tuple[str, ...]]:
    """Every row of the view equals batch as of that bar's decision; returns the causes."""
    view = MarketView(market.lake, SYMBOLS, market.contract, start_index=start, end_index=end)
    causes = []
    for index in range(start, end):
        bar = view.advance(index)
        assert bar.known_at_ms == TIMEFRAME.close_time(index) + DECISION_DELAY_MS
        causes.append(bar.causes)
        for s, symbol in enumerate(SYMBOLS):
            values, reason = batch_row(market, symbol, index, bar.known_at_ms)
            assert int(bar.reasons[s]) == reason, (symbol, index - start)
            if reason >= 0:
                assert bar.features[s].tobytes() == values, (symbol, index - start)
    return causes


def revised(market: SmallMarket, symbol: str, index: int, factor: float, *, known_at_ms: int) -> None:
    """Store another version of one bar."""
    old = market.lake.candles(
        symbol, TIMEFRAME, start_ms=TIMEFRAME.open_time(index), end_ms=TIMEFRAME.open_time(index + 1)
    )
    new = Candles(
        symbol=symbol,
        timeframe=TIMEFRAME,
        open_time=old.open_time,
        open=old.open * factor,
        high=old.high * factor,
        low=old.low * factor,
        close=old.close * factor,
        volume=old.volume,
    )
    market.lake.append_candles(new, source="synthetic", known_at_ms=known_at_ms)


def test_rows_are_the_bytes_of_batch_across_a_block_boundary(market):
    """Twelve bars, six on each side of a boundary: same bytes, every symbol valid."""
    causes = check_against_batch(market, start=START, end=START + 12)
    assert causes == [("ok",) * 3] * 12


def test_a_restart_anywhere_shows_the_same_bytes(market):
    """A view opened later agrees with one that has been running, bar for bar."""
    running = MarketView(market.lake, SYMBOLS, market.contract, start_index=START, end_index=START + 12)
    for index in range(START, START + 12):
        fresh = MarketView(market.lake, SYMBOLS, market.contract, start_index=index, end_index=START + 12)
        assert running.advance(index).features.tobytes() == fresh.advance(index).features.tobytes()


def test_revisions_are_seen_from_the_decision_that_knew_them(tmp_path):
    """A revised bar, of a symbol and of the reference market, changes rows from then on and not one bar earlier."""
    market = small_market(tmp_path / "lake")
    revised(market, SYMBOLS[1], START - 3, 1.01, known_at_ms=TIMEFRAME.close_time(START + 1) + DECISION_DELAY_MS)
    revised(market, SYMBOLS[0], START + 2, 0.99, known_at_ms=TIMEFRAME.close_time(START + 4) + DECISION_DELAY_MS + 1)
    revised(market, SYMBOLS[2], START + 5, 1.02, known_at_ms=TIMEFRAME.close_time(START + 5) + DECISION_DELAY_MS)
    revised(market, SYMBOLS[2], START - 200, 1.02, known_at_ms=TIMEFRAME.close_time(END_INDEX))
    check_against_batch(market, start=START, end=START + 12)
    plain = small_market(tmp_path / "plain")
    ours, theirs = (
        MarketView(one.lake, SYMBOLS, one.contract, start_index=START, end_index=START + 12) for one in (market, plain)
    )
    changed = [
        (ours.advance(index).features.view(np.uint32) != theirs.advance(index).features.view(np.uint32))
        .any(axis=1)
        .tolist()
        for index in range(START, START + 12)
    ]
    first = [next((t for t in range(12) if changed[t][s]), None) for s in range(3)]
    assert first == [5, 1, 5]


def test_late_and_missing_bars_are_gaps_until_they_arrive(tmp_path):
    """A bar that came too late for its own decision is a gap there, and history afterwards."""
    whole = small_market(tmp_path / "whole")
    market = SmallMarket(lake=Lake(tmp_path / "holes"), contract=whole.contract)
    for symbol in SYMBOLS:
        candles = whole.lake.candles(symbol, TIMEFRAME)
        kept = np.ones(len(candles), bool)
        if symbol == SYMBOLS[1]:
            kept[START + 3 - FIRST_INDEX] = kept[START + 6 - FIRST_INDEX] = False
        columns = {
            name: getattr(candles, name)[kept] for name in ("open_time", "open", "high", "low", "close", "volume")
        }
        market.lake.append_candles(Candles(symbol=symbol, timeframe=TIMEFRAME, **columns), source="synthetic")
        copy_stamps(whole.lake, market.lake, symbol)
    late = whole.lake.candles(
        SYMBOLS[1],
        TIMEFRAME,
        start_ms=TIMEFRAME.open_time(START + 3),
        end_ms=TIMEFRAME.open_time(START + 4),
    )
    market.lake.append_candles(late, source="synthetic", known_at_ms=TIMEFRAME.close_time(START + 4) + 90_000)
    causes = check_against_batch(market, start=START, end=START + 10)
    assert [one[1] for one in causes] == ["ok"] * 3 + ["gap"] + ["ok"] * 2 + ["gap"] + ["ok"] * 3
    assert {one[s] for one in causes for s in (0, 2)} == {"ok"}


def test_funding_is_known_at_a_bar_only_if_it_was_known_then(tmp_path):
    """When the interval grows from 4 h to 8 h, the bars after 4 h are known in hindsight and were not at the time."""
    market = small_market(tmp_path / "lake")
    lake = Lake(tmp_path / "other")
    for symbol in SYMBOLS:
        lake.append_candles(market.lake.candles(symbol, TIMEFRAME), source="synthetic")
        lake.append_open_interest(symbol, *market.lake.open_interest(symbol), source="synthetic")
        stamps = market.lake.funding(symbol).time
        every_4h = np.arange(stamps[0], stamps[-1] + 1, 4 * HOUR_MS)
        changes_at = stamps[np.searchsorted(stamps, TIMEFRAME.open_time(START))]
        keep = (every_4h <= changes_at) | np.isin(every_4h, stamps)
        time = every_4h[keep]
        lake.append_funding(FundingStamps(symbol=symbol, time=time, rate=np.full(time.size, 1e-4)), source="synthetic")
    other = SmallMarket(lake=lake, contract=market.contract)
    changed = int(changes_at // TIMEFRAME.ms)
    causes = check_against_batch(other, start=changed + 40, end=changed + 100)
    unknown = [t for t, one in enumerate(causes) if one[1] == "funding_unknown"]
    assert unknown == list(range(8, 56))


def test_what_has_no_history_is_no_data_and_what_has_little_is_warming_up(market):
    """A symbol the lake never saw is named so; before the warm-up is complete rows are not valid."""
    symbols = (*SYMBOLS, "SYNNONEUSDT")
    view = MarketView(market.lake, symbols, market.contract, start_index=FIRST_INDEX - 1, end_index=END_INDEX)
    assert view.advance(FIRST_INDEX - 1).causes == ("no_data",) * 4
    assert view.advance(FIRST_INDEX).causes == ("warming_up",) * 3 + ("no_data",)
    young = MarketView(market.lake, symbols, market.contract, start_index=FIRST_INDEX + WARMUP - 2, end_index=END_INDEX)
    seen = [young.advance(FIRST_INDEX + WARMUP - 2 + k).causes[0] for k in range(3)]
    assert seen[0] == "warming_up"


@pytest.mark.parametrize("wrong", [START - 1, START + 1, START + 5])
def test_only_the_next_bar_can_be_viewed(market, wrong):
    """Skipping, repeating and leaving the window are refused."""
    view = MarketView(market.lake, SYMBOLS, market.contract, start_index=START, end_index=START + 5)
    with pytest.raises(MarketViewError, match=str(wrong)):
        view.advance(wrong)


def test_a_symbol_that_cannot_be_read_is_flat_alone(market, monkeypatch):
    """An error while computing one symbol names that symbol's cause, and the next bar is computed afresh."""
    view = MarketView(market.lake, SYMBOLS, market.contract, start_index=START, end_index=START + 3)
    broken = view._markets[1]
    answer = broken.answer
    monkeypatch.setattr(type(broken), "answer", lambda self, index: 1 / 0 if self is broken else _call(self, index))

    def _call(self, index):
        return original(self, index)

    original = answer.__func__
    assert view.advance(START).causes == ("ok", "unknown_error", "ok")
    monkeypatch.undo()
    bar = view.advance(START + 1)
    assert bar.causes == ("ok",) * 3
    values, _ = batch_row(market, SYMBOLS[1], START + 1, bar.known_at_ms)
    assert bar.features[1].tobytes() == values


def test_a_path_ends_at_the_bar_and_knows_no_later_funding(market):
    """Paths of exits are cut at the current bar."""
    view = MarketView(market.lake, SYMBOLS, market.contract, start_index=START, end_index=START + 5)
    view.advance(START)
    path = view.path(0, first_index=START - 10, index=START)
    truth = market.lake.candles(
        SYMBOLS[0], TIMEFRAME, start_ms=TIMEFRAME.open_time(START - 10), end_ms=TIMEFRAME.open_time(START + 1)
    )
    assert path is not None
    np.testing.assert_array_equal(path.close, truth.close)
    assert path.funding_known.all()
    assert view.path(0, first_index=FIRST_INDEX - 5, index=START) is None
