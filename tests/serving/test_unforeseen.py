"""An error nobody foresaw: the bar is FLAT, its kind is counted once, somebody hears of it, and the worker lives on."""

from threading import Event

import pytest
from sqlalchemy import select

from infra.heartbeats import read_heartbeats
from infra.tables import signals
from serving.guards import Guards
from serving.store import UNFORESEEN
from serving.symbol_market import SymbolMarket
from serving.worker import serve_forever
from tests.fakes.small_market import SYMBOLS, TIMEFRAME
from tests.serving.fault_stand import AT, BROKEN, Stand, made_stand


@pytest.fixture
def stand(engine, template, market, bundles, bundle_dirs, tmp_path) -> Stand:
    """A worker that has served one bar, all well."""
    return made_stand(engine, template, market, bundles, bundle_dirs, tmp_path)


def counted(stand: Stand) -> dict:
    """The counts by kind."""
    beats = read_heartbeats(stand.engine)
    return dict(beats[UNFORESEEN].detail) if UNFORESEEN in beats else {}


def test_a_models_error_is_named_counted_and_told(stand):
    """Per bar once, over bars as a sum, beside other kinds; the steps of each signal name it."""

    def divide(_model, _X):
        raise ZeroDivisionError("division by zero")

    def index(_model, _X):
        raise IndexError("out of bounds")

    assert counted(stand) == {}
    sound = stand.loaded
    for k, predict in enumerate((divide, divide, index), start=1):
        stand.loaded = sound
        stand.wear(predict)
        stand.collect(AT + k)
        stand.serve(AT + k)
    assert counted(stand) == {"ZeroDivisionError": 2, "IndexError": 1}
    assert stand.errors == ["unknown_error"] * 3
    rows = [row for row in stand.said() if row.bar_ms > TIMEFRAME.open_time(AT)]
    assert {row.reason for row in rows} == {"unknown_error"}
    assert [row.steps["error"] for row in rows] == ["ZeroDivisionError"] * 6 + ["IndexError"] * 3
    stand.serve(AT + 3)
    assert counted(stand) == {"ZeroDivisionError": 2, "IndexError": 1}, "serving a bar again counts nothing twice"


def test_one_markets_error_is_that_markets(stand, monkeypatch):
    """The others speak; the kind is in its steps alone."""
    answer = SymbolMarket.answer

    def broken(self, index):
        if self.symbol == BROKEN:
            raise ArithmeticError("nobody foresaw this")
        return answer(self, index)

    monkeypatch.setattr(SymbolMarket, "answer", broken)
    stand.collect(AT + 1)
    stand.serve(AT + 1)
    told = {row.symbol: (row.reason, row.steps.get("error")) for row in stand.said(AT + 1)}
    assert told == dict.fromkeys(SYMBOLS, ("ok", None)) | {BROKEN: ("unknown_error", "ArithmeticError")}
    assert counted(stand) == {"ArithmeticError": 1}


def test_an_error_outside_every_bundle_stops_the_bar_and_not_the_next(stand, monkeypatch):
    """Two bars are due: the first is FLAT and named, the second is served in the same breath, as if alone."""
    check, calls = Guards.check, []

    def broken(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bug in a check")
        return check(self, *arguments, **named)

    monkeypatch.setattr(Guards, "check", broken)
    stand.collect(AT + 2)
    stand.serve(AT + 2)
    assert [(row.reason, row.steps.get("error")) for row in stand.said(AT + 1)] == [
        ("unknown_error", "RuntimeError")
    ] * 3
    assert stand.said(AT + 2) == []
    stand.serve(AT + 2)
    assert [row.reason for row in stand.said(AT + 2)] == ["ok"] * 3
    assert counted(stand) == {"RuntimeError": 1}


def test_a_round_that_fails_before_any_bar_is_recorded_and_survived(stand):
    """Whoever is asked who serves has a bug: the bar that is due is FLAT, the one before its time is left alone."""
    stop, errors, turns = Event(), [], []
    stand.collect(AT + 1)
    now = [TIMEFRAME.close_time(AT + 1) + 4000]

    def who(_loaded):
        turns.append(now[0])
        if len(turns) == 4:
            stop.set()
            return stand.loaded
        if len(turns) == 2:
            assert stand.said(AT + 1) == [], "the bar has not settled yet"
            now[0] += 3000
        raise RuntimeError("a bug in adoption")

    serve_forever(
        stand.engine,
        stand.lake,
        plan_for=lambda _lineup: stand.plan,
        timeframe=TIMEFRAME,
        adopt=who,
        stop=stop,
        settle_delay_ms=5000,
        poll_s=0.001,
        on_error=lambda error, cause: errors.append((type(error).__name__, cause)),
        clock_ms=lambda: now[0],
    )
    assert errors == [("RuntimeError", "unknown_error")] * 3
    assert [(row.state, row.reason, row.steps["error"]) for row in stand.said(AT + 1)] == [
        ("FLAT", "unknown_error", "RuntimeError")
    ] * 3
    assert counted(stand) == {"RuntimeError": 1}
    with stand.engine.connect() as connection:
        assert len(connection.execute(select(signals)).all()) == 6
