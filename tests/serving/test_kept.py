"""A worker that keeps its seats and its view decides, byte for byte, as one that reads everything at each bar."""

import pytest
from sqlalchemy import func, select, text

from infra.lake import Lake
from infra.tables import feature_rows, signals
from serving import worker
from serving.halt import set_halt
from serving.kept import KeptBetweenBars
from serving.lineup import Lineup
from serving.round_start import round_start
from serving.worker import serve_once
from tests.fakes.small_market import SYMBOLS, TRAIN_END
from tests.serving.replays import content, lineup_of, plan_for
from tests.serving.test_live_view import Collector, now_at

BARS = 40


def live(engine, market, lineups, root, *, kept: bool, stop: int = BARS, start: int = 0):
    """Serve bar after bar while a collector stores them; every seventh bar of one market comes a bar late."""
    collector = Collector(market, root, until=TRAIN_END + start)
    reader = Lake(root)
    keeps = KeptBetweenBars(reader) if kept else None
    for k in range(start, stop):
        index = TRAIN_END + k
        for symbol in SYMBOLS:
            if symbol != SYMBOLS[1] or k % 7:
                collector.bars(symbol, index, index + 1)
            collector.stamps(symbol, index, index + 1)
        if k % 7 == 1:
            collector.bars(SYMBOLS[1], index - 1, index, known_at_ms=now_at(index) - 1)
        plan = plan_for(market, run="live")
        serve_once(engine, reader, lineups(k), plan=plan, now_ms=now_at(index), kept=keeps)


def recalls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Notes the bar of each recall."""
    noted: list[int] = []
    original = worker._take_seats

    def take(engine, lineup, plan, before_index, **more):
        noted.append(before_index - TRAIN_END)
        return original(engine, lineup, plan, before_index, **more)

    monkeypatch.setattr(worker, "_take_seats", take)
    return noted


def test_the_rows_are_those_of_a_worker_that_keeps_nothing(engine, market, bundles, tmp_path, monkeypatch):
    """Features, predictions, signals and trades, with a challenger that joins, a halt and a late market."""
    both = lineup_of(bundles)
    alone = Lineup(champion=both.champion)

    def lineups(k: int) -> Lineup:
        return alone if k < 15 else both

    live(engine, market, lineups, tmp_path / "fresh", kept=False)
    expected = content(engine)
    assert len(expected["paper_trades"]) > 10
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE feature_rows, predictions, signals, paper_trades, position_checks CASCADE"))
    asked = recalls(monkeypatch)
    live(engine, market, lineups, tmp_path / "kept", kept=True)
    assert content(engine) == expected
    assert asked == [0, 15]


def test_whoever_else_writes_makes_it_ask_the_database_again(engine, market, bundles, tmp_path, monkeypatch):
    """A number given to another writer, a released switch and another lineup each cost one recall."""
    lineup = lineup_of(bundles)
    collector = Collector(market, tmp_path, until=TRAIN_END)
    reader = Lake(tmp_path)
    keeps, asked = KeptBetweenBars(reader), recalls(monkeypatch)
    for k in range(12):
        index = TRAIN_END + k
        for symbol in SYMBOLS:
            collector.bars(symbol, index, index + 1)
            collector.stamps(symbol, index, index + 1)
        if k == 3:
            with engine.begin() as connection:
                connection.execute(text("SELECT nextval('predictions_id_seq')"))
        if k == 6:
            set_halt(engine, on=True, why="test", who="tester")
            set_halt(engine, on=False, why="test", who="tester")
        plan = plan_for(market, run="live", max_age_bars=2 if k < 9 else 3)
        serve_once(
            engine, reader, lineup if k < 9 else lineup_of(bundles[::-1]), plan=plan, now_ms=now_at(index), kept=keeps
        )
    assert asked == [0, 3, 6, 9]


def test_a_failed_write_and_a_failed_model_are_forgotten(engine, market, bundles, tmp_path, monkeypatch):
    """Memory that ran ahead of the database is never used again."""
    lineup, asked = lineup_of(bundles), recalls(monkeypatch)
    collector = Collector(market, tmp_path, until=TRAIN_END)
    reader = Lake(tmp_path)
    keeps = KeptBetweenBars(reader)

    def serve(k: int) -> None:
        for symbol in SYMBOLS:
            collector.bars(symbol, TRAIN_END + k, TRAIN_END + k + 1)
            collector.stamps(symbol, TRAIN_END + k, TRAIN_END + k + 1)
        now_ms = now_at(TRAIN_END + k)
        serve_once(engine, reader, lineup, plan=plan_for(market, run="live"), now_ms=now_ms, kept=keeps)

    serve(0)
    with monkeypatch.context() as broken:
        broken.setattr(worker, "write_bars", _refuse)
        with pytest.raises(OSError, match="no disk"):
            serve(1)
    serve(1)
    serve(2)
    with monkeypatch.context() as broken:
        broken.setattr("serving.bar.decide_bar", _refuse)
        serve(3)
    serve(4)
    serve(5)
    assert asked == [0, 1, 4]


def _refuse(*_given: object, **_named: object) -> None:
    raise OSError("no disk")


def test_a_round_starts_with_what_is_stored(engine, market, bundles, tmp_path):
    """Nothing yet, then served bars, a switch thrown and released, as the stored rows have it."""
    plan = plan_for(market, run="live")
    with engine.connect() as connection:
        nothing = round_start(connection, plan)
    assert (nothing.halted, nothing.resumed_ms, nothing.served_ms, nothing.decided_ms) == (False, None, None, None)
    assert nothing.numbers == (0, 0)
    live(engine, market, lambda _k: lineup_of(bundles), tmp_path, kept=True, stop=3)
    set_halt(engine, on=True, why="test", who="tester")
    with engine.connect() as connection:
        halted = round_start(connection, plan)
        assert halted.served_ms == connection.scalar(select(func.max(signals.c.bar_ms)))
        assert halted.decided_ms == connection.scalar(select(func.max(feature_rows.c.known_at_ms)))
        assert halted.decided_ms == now_at(TRAIN_END + 2)
    assert (halted.halted, halted.resumed_ms) == (True, None)
    assert halted.numbers[1] == 9
    set_halt(engine, on=False, why="test", who="tester")
    with engine.connect() as connection:
        assert round_start(connection, plan).resumed_ms is not None
