"""The worker throws the halt switch itself, and only a person takes it back."""

import pytest
from sqlalchemy import select

from infra.tables import switches
from registry.errors import PredictionError
from serving.halt import is_halted
from serving.kill_switch import throw_if_due
from serving.records import BarRecord, SignalRow
from serving.store import write_bars
from serving.worker import serve_once
from tests.fakes.small_market import TIMEFRAME, TRAIN_END
from tests.serving.replays import lineup_of, plan_for, said, until

FIVE_MS = 300_000


def bar(index: int, *reasons: str) -> BarRecord:
    """A bar whose symbols were answered with these reasons."""
    rows = tuple(
        SignalRow(
            model_name="m",
            symbol=f"S{k}USDT",
            bar_ms=index * FIVE_MS,
            state="FLAT",
            reason=reason,
            action=0,
            confidence=None,
            size=None,
            bundle_hash="b",
            version=1,
            run="live",
            steps="{}",
        )
        for k, reason in enumerate(reasons)
    )
    return BarRecord(bar_ms=index * FIVE_MS, signals=rows)


def live(engine, records) -> list[str | None]:
    """Store each bar and ask for the switch after it."""
    said = []
    for record in records:
        write_bars(engine, [record])
        said.append(throw_if_due(engine, record, model_name="m", timeframe_ms=FIVE_MS, max_error_bars=3))
    return said


def halted(engine) -> bool:
    with engine.connect() as connection:
        return is_halted(connection)


def test_so_many_bars_of_errors_in_a_row_halt(engine):
    """Two do not, three do, and the switch says who threw it and why."""
    said = live(engine, [bar(k, "model_error", "model_error") for k in range(3)])
    assert said[:2] == [None, None]
    assert "failed on 3 bars in a row" in str(said[2])
    with engine.connect() as connection:
        row = connection.execute(select(switches)).one()
    assert (row.value, row.who, row.why) == ("on", "worker", said[2])


@pytest.mark.parametrize("good", [("ok", "model_error"), ("stale_data", "model_error")])
def test_one_bar_that_was_not_all_errors_begins_the_count_anew(engine, good):
    """One symbol that went well, or failed for the market's sake, is no failure of the champion."""
    said = live(engine, [bar(0, *["model_error"] * 2), bar(1, *good), *(bar(k, "model_error") for k in (2, 3))])
    assert said == [None] * 4
    assert not halted(engine)


def test_a_missing_bar_is_no_error(engine):
    """Three failures with a hole between them are not three in a row."""
    assert live(engine, [bar(k, "unknown_error") for k in (0, 1, 5)]) == [None] * 3


def test_a_drawdown_halts_at_once_and_once(engine):
    """The first bar throws the switch; while it is on nothing is thrown again."""
    assert live(engine, [bar(0, "drawdown", "drawdown")])[0]
    assert live(engine, [bar(1, "drawdown", "drawdown")]) == [None]
    assert halted(engine)


def test_a_failing_champion_halts_the_worker(engine, market, bundles, monkeypatch):
    """Served for real: ten bars of errors in a row, then HALT, which the next bar says."""

    def broken(self, X):
        raise PredictionError("a model that breaks", why="it was told to", remedy="none")

    monkeypatch.setattr(type(bundles[0]), "predict_models", broken)
    plan = plan_for(market, run="live", max_error_bars=3)
    lineup = lineup_of((bundles[0],))
    for k in range(4):
        now_ms = TIMEFRAME.close_time(TRAIN_END + k) + 10_000
        serve_once(engine, until(market, TRAIN_END + k), lineup, plan=plan, now_ms=now_ms)
    by_bar = {}
    for row in said(engine):
        by_bar.setdefault(row.bar_ms, set()).add((row.state, row.reason))
    told = [reasons for _, reasons in sorted(by_bar.items())]
    assert told == [{("FLAT", "model_error")}] * 3 + [{("HALT", "halted")}]
    assert halted(engine)
