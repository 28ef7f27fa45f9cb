"""Basis and takers' shares as each decision knew them: late, revised and missing rows, against an as-of read."""

from typing import Any

import numpy as np
import pytest

from infra.lake import Lake
from market.basis import MarkStamps
from market.candles import Candles
from market.taker_flow import TakerShares
from market.timeframe import HOUR_MS
from serving import lake_inputs, symbol_market
from serving.market_view import DECISION_DELAY_MS, MarketView
from tests.fakes.small_market import FIRST_INDEX, SYMBOLS, TIMEFRAME, SmallMarket, small_contract, small_market

START = 10_046 * 576 - 6  # a full hour closes with bar START + 5
BARS = 30


class Seen:
    """What was last handed to the features of each symbol: first bar, basis and takers' shares."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}

    def watch(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        """Note what this module hands over, and hand it over."""
        assemble = module.assemble_inputs

        def noting(grid, **given):
            self.last[grid.symbol] = grid.first_index, given["basis"], given["taker_share"]
            return assemble(grid, **given)

        monkeypatch.setattr(module, "assemble_inputs", noting)

    def up_to(self, symbol: str, index: int) -> tuple[int, bytes, bytes]:
        """Both arrays, through this bar."""
        first, basis, share = self.last[symbol]
        n = index + 1 - first
        return first, basis[:n].tobytes(), share[:n].tobytes()


def troubled(root, *, seed: int) -> SmallMarket:
    """A market whose mark prices and shares are partly late, partly missing and partly revised, and bars as well."""
    rng = np.random.default_rng(seed)
    whole = small_market(root / "whole")
    lake = Lake(root / "troubled")
    for symbol in SYMBOLS:
        lake.append_candles(whole.lake.candles(symbol, TIMEFRAME), source="synthetic")
        lake.append_funding(whole.lake.funding(symbol), source="synthetic")
        mark, taker = whole.lake.mark(symbol), whole.lake.taker(symbol, TIMEFRAME)
        in_order = mark.time <= TIMEFRAME.open_time(START - 30)
        lake.append_mark(
            MarkStamps(symbol=symbol, time=mark.time[in_order], price=mark.price[in_order]), source="synthetic"
        )
        for k in np.flatnonzero(~in_order & (rng.random(in_order.size) < 0.8))[:8]:
            one = MarkStamps(symbol=symbol, time=mark.time[k : k + 1], price=mark.price[k : k + 1])
            known_at_ms = int(mark.time[k]) + int(rng.integers(0, 2 * HOUR_MS) if rng.random() < 0.7 else 0)
            lake.append_mark(one, source="synthetic", known_at_ms=known_at_ms)
            if rng.random() < 0.4:
                again = MarkStamps(symbol=symbol, time=one.time, price=one.price * 1.001)
                lake.append_mark(again, source="synthetic", known_at_ms=known_at_ms + 400_000)
        old = taker.open_time < TIMEFRAME.open_time(START - 5)
        lake.append_taker(_part(taker, old), source="synthetic")
        for k in np.flatnonzero(~old & (rng.random(old.size) < 0.8))[: BARS + 10]:
            close = int(taker.open_time[k]) + TIMEFRAME.ms
            late = int(rng.integers(0, 900_000)) if rng.random() < 0.4 else 0
            lake.append_taker(_part(taker, slice(k, k + 1)), source="synthetic", known_at_ms=close + late)
        _revise_bar(lake, symbol, START + 5, known_at_ms=TIMEFRAME.close_time(START + 9))
    return SmallMarket(lake=lake, contract=small_contract())


def _part(taker: TakerShares, at) -> TakerShares:
    return TakerShares(
        symbol=taker.symbol, timeframe=taker.timeframe, open_time=taker.open_time[at], share=taker.share[at]
    )


def _revise_bar(lake: Lake, symbol: str, index: int, *, known_at_ms: int) -> None:
    old = lake.candles(symbol, TIMEFRAME, start_ms=TIMEFRAME.open_time(index), end_ms=TIMEFRAME.open_time(index + 1))
    values = {name: getattr(old, name) * 1.01 for name in ("open", "high", "low", "close")}
    new = Candles(symbol=symbol, timeframe=TIMEFRAME, open_time=old.open_time, volume=old.volume, **values)
    lake.append_candles(new, source="synthetic", known_at_ms=known_at_ms)


@pytest.mark.parametrize("seed", [1, 2])
def test_each_decision_sees_what_the_lake_tells_as_of_its_moment(tmp_path, monkeypatch, seed):
    """Bar by bar both inputs are, through that bar, the bytes of a fresh read as of its decision."""
    market = troubled(tmp_path, seed=seed)
    live, batch = Seen(), Seen()
    live.watch(monkeypatch, symbol_market)
    batch.watch(monkeypatch, lake_inputs)
    view = MarketView(market.lake, SYMBOLS, market.contract, start_index=START, end_index=START + BARS)
    known = set()
    for index in range(START, START + BARS):
        view.advance(index)
        as_of_ms = TIMEFRAME.close_time(index) + DECISION_DELAY_MS
        for symbol in SYMBOLS:
            lake_inputs.batch_inputs(
                market.lake, symbol, market.contract, first_index=index, end_index=index + 1, as_of_ms=as_of_ms
            )
            assert live.up_to(symbol, index) == batch.up_to(symbol, index), (symbol, index - START)
            first, basis, share = batch.last[symbol]
            known.add((bool(np.isnan(basis[index - first])), bool(np.isnan(share[index - first]))))
    assert known == {(False, False), (False, True), (True, False), (True, True)}, "all of it was tried"


def test_caught_up_bars_see_what_was_known_at_the_one_moment(tmp_path, monkeypatch):
    """With a fixed moment every bar agrees with a read as of that moment."""
    market = troubled(tmp_path, seed=3)
    live, batch = Seen(), Seen()
    live.watch(monkeypatch, symbol_market)
    batch.watch(monkeypatch, lake_inputs)
    moment, end = TIMEFRAME.close_time(START + 12), START + BARS
    view = MarketView(market.lake, SYMBOLS, market.contract, start_index=START, end_index=end, as_of_ms=moment)
    view.advance(START)
    for symbol in SYMBOLS:
        lake_inputs.batch_inputs(
            market.lake, symbol, market.contract, first_index=START, end_index=end, as_of_ms=moment
        )
        assert live.up_to(symbol, end - 1) == batch.up_to(symbol, end - 1)


def test_the_synthetic_market_gives_both_of_them_everywhere(market, monkeypatch):
    """From the first full hour on, so that a demonstration exercises every input."""
    seen = Seen()
    seen.watch(monkeypatch, lake_inputs)
    end = START + BARS
    for symbol in SYMBOLS:
        lake_inputs.batch_inputs(market.lake, symbol, market.contract, first_index=START, end_index=end, as_of_ms=None)
        first, basis, share = seen.last[symbol]
        assert first == FIRST_INDEX
        assert np.isnan(basis).sum() == 11
        assert not np.isnan(share).any()
