"""A view kept between bars shows, byte for byte, what a view opened at that moment shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import LakeError
from infra.freshness import candle_watermarks
from infra.lake import Lake
from market.basis import MarkStamps
from market.candles import Candles
from market.funding import FundingStamps
from market.taker_flow import TakerShares
from market.timeframe import HOUR_MS
from serving.lineup import ServePlan
from serving.live_view import LiveView
from serving.market_view import MarketView
from tests.fakes.small_market import BLOCK, SYMBOLS, TIMEFRAME, WARMUP, SmallMarket
from tests.serving.replays import plan_for

STEP = TIMEFRAME.ms
START = 10_046 * BLOCK - 4  # four bars before a block boundary
BARS = 12
REFERENCE, OTHER, THIRD = SYMBOLS


class Collector:
    """Hands the rows of a whole market to a lake of its own, bar by bar."""

    def __init__(self, market: SmallMarket, root: Path, *, until: int = START) -> None:
        self.market, self.root, self.lake = market, root, Lake(root)
        first = until - BLOCK - WARMUP
        for symbol in SYMBOLS:
            self.bars(symbol, first, until)
            self.stamps(symbol, first, until)

    def bars(self, symbol: str, first: int, end: int, *, factor: float = 1.0, known_at_ms: int | None = None) -> None:
        """Store these candles, their prices times ``factor``."""
        whole = self.market.lake.candles(
            symbol, TIMEFRAME, start_ms=TIMEFRAME.open_time(first), end_ms=TIMEFRAME.open_time(end)
        )
        prices = {name: getattr(whole, name) * factor for name in ("open", "high", "low", "close")}
        bars = Candles(symbol=symbol, timeframe=TIMEFRAME, open_time=whole.open_time, volume=whole.volume, **prices)
        self.lake.append_candles(bars, source="synthetic", known_at_ms=known_at_ms)

    def stamps(self, symbol: str, first: int, end: int, *, known_at_ms: int | None = None) -> None:
        """Store everything else that these bars bring."""
        lo, hi = TIMEFRAME.open_time(first), TIMEFRAME.open_time(end)
        source, known = self.market.lake, known_at_ms
        self.lake.append_funding(source.funding(symbol, start_ms=lo, end_ms=hi), source="synthetic", known_at_ms=known)
        times, values = source.open_interest(symbol, start_ms=lo + 1, end_ms=hi + 1)
        self.lake.append_open_interest(symbol, times, values, source="synthetic", known_at_ms=known)
        self.lake.append_mark(
            source.mark(symbol, start_ms=lo + 1, end_ms=hi + 1), source="synthetic", known_at_ms=known
        )
        self.lake.append_taker(
            source.taker(symbol, TIMEFRAME, start_ms=lo, end_ms=hi), source="synthetic", known_at_ms=known
        )


def look(live: LiveView, reader: Lake, plan: ServePlan, first: int, end: int, now_ms: int) -> list[tuple[str, ...]]:
    """The bars of the kept view, each held against a view opened now by a lake that has read nothing before."""
    fresh_lake = Lake(reader.root)
    assert live.watermarks(plan) == candle_watermarks(fresh_lake, plan.symbols, TIMEFRAME)
    kept = live.open(plan, first=first, end=end, as_of_ms=now_ms)
    fresh = MarketView(fresh_lake, plan.symbols, plan.contract, start_index=first, end_index=end, as_of_ms=now_ms)
    causes = []
    for index in range(first, end):
        ours, theirs = kept.advance(index), fresh.advance(index)
        assert ours.features.tobytes() == theirs.features.tobytes(), index - START
        assert ours.reasons.tobytes() == theirs.reasons.tobytes()
        assert (ours.causes, ours.known_at_ms, ours.index) == (theirs.causes, theirs.known_at_ms, theirs.index)
        for s in range(len(plan.symbols)):
            for back in (0, 1, 40, 120):
                assert path_bytes(kept, s, index - back, index) == path_bytes(fresh, s, index - back, index)
        causes.append(ours.causes)
    return causes


def path_bytes(view: MarketView, symbol: int, first: int, index: int) -> tuple[object, ...] | None:
    path = view.path(symbol, first_index=first, index=index)
    if path is None:
        return None
    columns = (path.open, path.high, path.low, path.close, path.real, path.funding_paid, path.funding_known)
    return path.first_index, *((column.tobytes(), column.dtype, column.flags.c_contiguous) for column in columns)


def now_at(index: int) -> int:
    return TIMEFRAME.close_time(index) + 7_000


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each market that is read from the lake."""
    import serving.market_view as module

    read: list[str] = []
    original: Callable = module.read_market

    def noted(lake, symbol, **window):
        read.append(symbol)
        return original(lake, symbol, **window)

    monkeypatch.setattr(module, "read_market", noted)
    return read


def test_bar_after_bar_only_what_is_new_is_read(market, tmp_path, monkeypatch):
    """Inside a block no market is read again, and every byte is that of a fresh view; a boundary opens a new one."""
    collector = Collector(market, tmp_path)
    reader = Lake(tmp_path)
    live, plan = LiveView(reader), plan_for(market)
    for index in range(START, START + BARS):
        for symbol in SYMBOLS:
            collector.bars(symbol, index, index + 1)
            collector.stamps(symbol, index, index + 1)
        assert look(live, reader, plan, index, index + 1, now_at(index)) == [("ok",) * 3]
    read = counted(monkeypatch)
    again = LiveView(reader)
    for index in range(START, START + BARS):
        before = len(read)
        again.watermarks(plan)
        again.open(plan, first=index, end=index + 1, as_of_ms=now_at(START + BARS)).advance(index)
        assert len(read) - before == (3 if index in (START, START + 4) else 0)


def test_a_late_bar_has_its_market_alone_read_again(market, tmp_path, monkeypatch):
    """The other markets go on as they were."""
    collector = Collector(market, tmp_path)
    live, plan = LiveView(Lake(tmp_path)), plan_for(market)
    for k, index in enumerate(range(START, START + 3)):
        for symbol in SYMBOLS:
            if (symbol, k) != (THIRD, 1):
                collector.bars(symbol, index, index + 1)
        if k == 2:
            collector.bars(THIRD, START + 1, START + 2, known_at_ms=now_at(index) - 1)
            read = counted(monkeypatch)
        live.watermarks(plan)
        live.open(plan, first=index, end=index + 1, as_of_ms=now_at(index)).advance(index)
    assert read == [REFERENCE, THIRD]


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, BARS - 1),
        st.sampled_from(SYMBOLS),
        st.sampled_from(
            (
                "no bar",
                "late bar",
                "revision",
                "old revision",
                "no stamps",
                "late stamps",
                "known later",
                "fold",
                "early",
                "odd funding",
            )
        ),
        st.integers(1, 4),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=_EVENTS, skipped=st.sets(st.integers(1, BARS - 1), max_size=3), folding=st.booleans())
def test_any_schedule_of_arrivals_shows_what_a_fresh_view_shows(market, tmp_path_factory, events, skipped, folding):
    """Late, revised, missing, early, folded, caught up: features, reasons, causes, watermarks and paths are equal."""
    root = tmp_path_factory.mktemp("schedule")
    collector = Collector(market, root)
    reader = Lake(root)
    live, plan = LiveView(reader), plan_for(market)
    if folding:
        collector.lake.compact()
    due = START
    for k in range(BARS):
        index = START + k
        now = now_at(index)
        mine = {(symbol, what): far for at, symbol, what, far in events if at == k}
        for symbol in SYMBOLS:
            if (symbol, "no bar") not in mine and (symbol, "late bar") not in mine:
                known = now + STEP if (symbol, "known later") in mine else None
                collector.bars(symbol, index, index + 1, known_at_ms=known)
            if (symbol, "no stamps") not in mine and (symbol, "late stamps") not in mine:
                collector.stamps(symbol, index, index + 1)
        for at, symbol, what, far in events:
            happen(collector, what, symbol, START + at, far, index, now)
        if k not in skipped:
            look(live, reader, plan, due, index + 1, now)
            live.check()
            due = index + 1


def happen(collector: Collector, what: str, symbol: str, at: int, far: int, index: int, now: int) -> None:
    """What an event does at bar ``index``."""
    if index == at + far and what == "late bar":
        collector.bars(symbol, at, at + 1, known_at_ms=now - 1)
    if index == at + far and what == "late stamps":
        collector.stamps(symbol, at, at + 1, known_at_ms=now - 1)
    if index != at:
        return
    if what == "revision":
        collector.bars(symbol, index - far, index - far + 1, factor=1.01, known_at_ms=now - far)
    if what == "old revision":
        collector.bars(symbol, index - 300 * far, index - 300 * far + 1, factor=0.99, known_at_ms=now - far)
    if what == "fold":
        collector.lake.compact()
    if what == "early":
        collector.bars(symbol, index + 1, index + 1 + far)
    if what == "odd funding":
        time = np.array([TIMEFRAME.open_time(index) + far * 1000], dtype=np.int64)
        collector.lake.append_funding(
            FundingStamps(symbol=symbol, time=time, rate=np.array([1e-4 * far])), source="synthetic"
        )


def test_a_market_that_is_listed_and_settled_for_the_first_time(market, tmp_path):
    """No data, then its first bar, first settlement, first mark price, first share: as a fresh view every time."""
    collector = Collector(market, tmp_path)
    young = "SYNYOUNGUSDT"
    plan = plan_for(market, symbols=(*SYMBOLS, young))
    live, reader = LiveView(Lake(tmp_path)), Lake(tmp_path)
    for k, index in enumerate(range(START + 5, START + 15)):
        for symbol in SYMBOLS:
            collector.bars(symbol, START if k == 0 else index, index + 1)
            collector.stamps(symbol, START if k == 0 else index, index + 1)
        opened, price = np.array([TIMEFRAME.open_time(index)]), np.array([100.0 + k])
        if k >= 2:
            bar = dict.fromkeys(("open", "high", "low", "close"), price)
            collector.lake.append_candles(
                Candles(symbol=young, timeframe=TIMEFRAME, open_time=opened, volume=np.ones(1), **bar),
                source="synthetic",
            )
        if k in (1, 4, 6, 8):
            stamp = FundingStamps(symbol=young, time=opened + k, rate=np.array([1e-4]))
            collector.lake.append_funding(stamp, source="synthetic")
        if k in (5, 7):
            share = TakerShares(symbol=young, timeframe=TIMEFRAME, open_time=opened, share=np.array([0.25]))
            collector.lake.append_taker(share, source="synthetic")
            collector.lake.append_open_interest(young, opened + STEP, np.array([7.0]), source="synthetic")
        hour = (TIMEFRAME.close_time(index) // HOUR_MS) * HOUR_MS
        if k >= 2 and TIMEFRAME.open_time(index) < hour:
            collector.lake.append_mark(
                MarkStamps(symbol=young, time=np.array([hour]), price=price * 1.001), source="synthetic"
            )
        causes = look(live, reader, plan, index, index + 1, now_at(index))
        assert causes[0][3] == ("no_data" if k < 2 else "warming_up")


def test_another_plan_and_a_clock_that_goes_back_open_a_new_view(market, tmp_path):
    """Symbols that enter or leave, and an earlier moment: the bytes are those of a fresh view."""
    collector = Collector(market, tmp_path)
    live, reader = LiveView(Lake(tmp_path)), Lake(tmp_path)
    for index, symbols, back in (
        (START, SYMBOLS, 0),
        (START + 1, SYMBOLS[:2], 0),
        (START + 2, SYMBOLS, 0),
        (START + 3, SYMBOLS, 2 * STEP),
        (START + 4, SYMBOLS[::-1], 0),
    ):
        for symbol in SYMBOLS:
            collector.bars(symbol, index, index + 1)
        look(live, reader, plan_for(market, symbols=symbols), index, index + 1, now_at(index) - back)


def test_damage_is_the_same_refusal_and_what_is_repaired_is_seen(market, tmp_path):
    """A part that cannot be read is refused as by a fresh view; afterwards everything is read anew."""
    collector = Collector(market, tmp_path)
    live, reader, plan = LiveView(Lake(tmp_path)), Lake(tmp_path), plan_for(market)
    for symbol in SYMBOLS:
        collector.bars(symbol, START, START + 2)
    look(live, reader, plan, START, START + 1, now_at(START))
    before = set((tmp_path / f"candles_5m/{OTHER}").iterdir())
    for symbol in SYMBOLS:
        collector.bars(symbol, START + 2, START + 3)
    (part,) = set((tmp_path / f"candles_5m/{OTHER}").iterdir()) - before
    whole = part.read_bytes()
    part.write_bytes(whole[:-8])
    live.check()
    with pytest.raises(LakeError, match="damaged"):
        live.watermarks(plan)
    with pytest.raises(LakeError, match="damaged"):
        live.open(plan, first=START + 1, end=START + 2, as_of_ms=now_at(START + 1))
    part.write_bytes(whole)
    look(live, reader, plan, START + 1, START + 2, now_at(START + 1))


def test_a_file_changed_in_place_is_found_between_bars(market, tmp_path):
    """No writer of ours does that, and the folder does not tell: the check does, and the next bar is fresh."""
    collector = Collector(market, tmp_path)
    live, reader, plan = LiveView(Lake(tmp_path)), Lake(tmp_path), plan_for(market)
    for symbol in SYMBOLS:
        collector.bars(symbol, START, START + 2)
    look(live, reader, plan, START, START + 1, now_at(START))
    other = Collector(market, tmp_path / "other")
    other.bars(OTHER, START - 3, START - 2, factor=1.02, known_at_ms=now_at(START))
    for symbol in SYMBOLS:
        other.bars(symbol, START, START + 2)
    other.lake.compact()
    month = next((tmp_path / f"candles_5m/{OTHER}").glob("*.parquet"))
    month.write_bytes((tmp_path / "other" / f"candles_5m/{OTHER}" / month.name).read_bytes())
    live.check()
    look(live, reader, plan, START + 1, START + 2, now_at(START + 1))
