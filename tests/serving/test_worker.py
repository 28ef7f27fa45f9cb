"""Serving as bars close: once, late, in vain, halted, and for ever."""

from pathlib import Path
from threading import Event

from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from infra.lake import Lake
from infra.tables import feature_rows, heartbeats
from serving.halt import set_halt
from serving.lineup import Lineup
from serving.states import State, state_of
from serving.worker import serve_forever, serve_once
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, TRAIN_END, SmallMarket, copy_stamps
from tests.serving.replays import lineup_of, plan_for, said

AT = TRAIN_END + 20


def once(engine, market, lineup, *, now_ms: int, lake: Lake | None = None, **options):
    return serve_once(engine, lake or market.lake, lineup, plan=plan_for(market, run="live"), now_ms=now_ms, **options)


def test_the_newest_closed_bar_is_served_once(engine, market, bundles):
    """Right after a close that bar is decided; asking again serves nothing; the heartbeat tells."""
    now = TIMEFRAME.close_time(AT) + 7_000
    view = _until(market, AT)
    first = once(engine, market, lineup_of(bundles), now_ms=now, lake=view)
    assert (first.bars, first.last_index, first.reasons) == (1, AT, {"ok": 3})
    assert once(engine, market, lineup_of(bundles), now_ms=now + 1000, lake=view).bars == 0
    with engine.connect() as connection:
        assert connection.scalar(select(heartbeats.c.component)) == "worker"
        assert set(connection.scalars(select(feature_rows.c.known_at_ms))) == {now}


class _CutLake(Lake):
    """The real lake, as it was before later bars were collected."""

    def __init__(self, lake: Lake, last_index: int) -> None:
        super().__init__(lake.root)
        self._last = last_index

    def watermark(self, symbol, timeframe):
        """The newest bar collected so far."""
        return timeframe.open_time(self._last)


def _until(market: SmallMarket, last_index: int) -> Lake:
    return _CutLake(market.lake, last_index)


def test_missed_bars_are_caught_up_and_stale_ones_are_flat(engine, market, bundles):
    """After six bars of silence all six are recorded; only those within ``max_age_bars`` may speak."""
    lineup = lineup_of(bundles)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=_until(market, AT))
    caught = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 6) + 7_000, lake=_until(market, AT + 6))
    assert caught.bars == 6
    reasons = {row.bar_ms // TIMEFRAME.ms - AT: row.reason for row in said(engine)}
    assert reasons == {0: "ok", 1: "stale_data", 2: "stale_data", 3: "stale_data", 4: "stale_data", 5: "ok", 6: "ok"}
    assert caught.predictions == 36


def test_catching_up_has_a_limit_that_is_told(engine, market, bundles):
    """Bars beyond the limit are passed over and counted."""
    lineup = lineup_of(bundles)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=_until(market, AT))
    late = once(
        engine,
        market,
        lineup,
        now_ms=TIMEFRAME.close_time(AT + 10) + 7_000,
        lake=_until(market, AT + 10),
        max_catch_up=4,
    )
    assert (late.bars, late.passed_over, late.first_index) == (4, 6, AT + 7)


def test_a_bar_that_has_not_come_is_waited_for_and_then_a_gap(engine, market, bundles, tmp_path):
    """Within the grace the bar is left alone; after it the bar is recorded as missing."""
    lineup = lineup_of(bundles)
    lake = _short_lake(market, tmp_path / "short", AT)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=lake)
    assert once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 60_000, lake=lake).bars == 0
    overdue = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 60_001, lake=lake)
    assert (overdue.bars, overdue.reasons) == (1, {"gap": 3})
    assert {row.state for row in said(engine) if row.bar_ms == TIMEFRAME.open_time(AT + 1)} == {"FLAT"}


def _short_lake(market: SmallMarket, root: Path, last_index: int) -> Lake:
    lake = Lake(root)
    for symbol in SYMBOLS:
        end = TIMEFRAME.open_time(last_index + 1)
        lake.append_candles(market.lake.candles(symbol, TIMEFRAME, end_ms=end), source="synthetic")
        copy_stamps(market.lake, lake, symbol, end_ms=end)
    return lake


def test_bars_from_the_future_are_clock_skew(engine, market, bundles):
    """A lake that is ahead of the clock blocks every symbol, and predictions go on."""
    summary = once(engine, market, lineup_of(bundles), now_ms=TIMEFRAME.close_time(AT) + 7_000)
    assert summary.reasons == {"clock_skew": 3}
    assert summary.predictions == 6


def test_the_halt_switch_blocks_and_releases(engine, market, bundles):
    """HALT while it is on, with predictions recorded; FULL again once it is off."""
    lineup = lineup_of(bundles)
    set_halt(engine, on=True, why="test", who="tester")
    halted = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=_until(market, AT))
    set_halt(engine, on=False, why="over", who="tester")
    free = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 7_000, lake=_until(market, AT + 1))
    assert (halted.reasons, halted.predictions) == ({"halted": 3}, 6)
    assert {row.state for row in said(engine) if row.bar_ms == TIMEFRAME.open_time(AT)} == {State.HALT.name}
    assert free.reasons == {"ok": 3}


def test_a_damaged_lake_is_flat_with_its_cause(engine, market, bundles, tmp_path):
    """What cannot be read says nothing about prices, and that is said."""
    lake = _short_lake(market, tmp_path / "broken", AT)
    lineup = lineup_of(bundles)
    once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT) + 7_000, lake=lake)
    for path in (lake.root / "funding" / "SYNETHUSDT").glob("*.parquet"):
        path.write_bytes(b"not parquet")
    broken = once(engine, market, lineup, now_ms=TIMEFRAME.close_time(AT + 1) + 90_000, lake=lake)
    assert broken.reasons == {"lake_unreadable": 3}
    assert state_of("lake_unreadable") is State.FLAT


def test_for_ever_serves_each_close_and_survives_errors(engine, market, bundles):
    """The loop serves a bar after its settle delay, hands errors to its caller, and ends when told."""
    stop, ticks, bars, errors = Event(), iter(range(100)), [], []
    lineup = lineup_of(bundles)
    start = TIMEFRAME.close_time(AT)
    clock = [start + 1_000]

    def clock_ms() -> int:
        return clock[0]

    def adopt(loaded: Lineup | None) -> Lineup:
        tick = next(ticks)
        if tick == 0:
            assert loaded is None
        if tick == 1:
            raise OperationalError("select", {}, Exception("gone"))
        clock[0] = start + (1_000 if tick == 0 else 6_000)
        if tick == 4:
            stop.set()
        return lineup

    serve_forever(
        engine,
        _until(market, AT),
        plan_for=lambda _: plan_for(market, run="live"),
        timeframe=TIMEFRAME,
        adopt=adopt,
        stop=stop,
        settle_delay_ms=5_000,
        poll_s=0.001,
        on_bar=bars.append,
        on_error=lambda error, cause: errors.append(cause),
        clock_ms=clock_ms,
    )
    assert errors == ["database_down"]
    assert [(one.bars, one.last_index) for one in bars][-1] == (1, AT)
