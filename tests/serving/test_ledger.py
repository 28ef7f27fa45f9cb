"""Paper trades, bar by bar, against the exit rules applied to the whole path at once."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, insert

from infra.tables import feature_rows, paper_trades, predictions
from market.barriers import Barrier, BarrierSpec, PricePath, Side, simulate_trades
from market.timeframe import Timeframe
from registry.policy import DecisionPolicy
from serving.decision_state import DecisionState, guard_cause, new_state
from serving.ledger import Ledger, Sizes, close_ended
from serving.recall import recall_state
from serving.records import BarRecord, PaperTrade
from serving.store import write_bars

FIVE = Timeframe.parse("5m")
FIRST = 5_785_344
SPEC = BarrierSpec(horizon_bars=6, profit=2.0, stop=2.0)
POLICY = DecisionPolicy(thresholds=(0.4, 0.4), horizon_bars=6, supervisor_window=4, supervisor_min=2)


def walk(n: int, *, seed: int, funding_known: bool = True) -> PricePath:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.004, n)))
    open_ = np.concatenate(([100.0], close[:-1]))
    return PricePath(
        first_index=FIRST,
        open=open_,
        high=np.maximum(open_, close) * 1.001,
        low=np.minimum(open_, close) * 0.999,
        close=close,
        real=np.ones(n, bool),
        funding_paid=np.where(np.arange(n) % 4 == 0, 1e-4, 0.0),
        funding_known=np.full(n, funding_known),
    )


def cut(path: PricePath, first: int, last: int) -> PricePath:
    rows = slice(first - path.first_index, last + 1 - path.first_index)
    columns = ("open", "high", "low", "close", "real", "funding_paid", "funding_known")
    return PricePath(first_index=first, **{name: getattr(path, name)[rows] for name in columns})


def sizes(book: float) -> Sizes:
    """A position of this size, of which half was said."""
    return Sizes(book=book, said=book / 2, correlation=0.4)


def ledger() -> Ledger:
    return Ledger(bundle_hash="b" * 64, contract="c", spec=SPEC, timeframe=FIVE)


def test_trades_end_on_the_bar_and_at_the_return_the_whole_path_gives():
    """Knowing only the bars so far, each of 120 trades ends exactly when and as the rules say with hindsight."""
    for seed in range(60):
        path = walk(12, seed=seed)
        truth = simulate_trades(
            path,
            np.array([FIRST + 2]),
            atr_fraction=np.array([0.003]),
            vol_ratio=np.array([1.2]),
            spec=SPEC,
        )
        for column, side in enumerate((Side.LONG, Side.SHORT)):
            book = ledger()
            book.open("BTCUSDT", FIRST + 2, side=side, sizes=sizes(0.02), atr=0.003, vol_ratio=1.2)
            for index in range(FIRST + 2, FIRST + 12):
                ended = book.settle(index, lambda _, first, now=index, path=path: cut(path, first, now))
                if ended:
                    break
            assert index == truth.exit_index[0, column]
            assert ended[0].exit_ms == FIVE.open_time(int(truth.exit_index[0, column]))
            assert ended[0].barrier == truth.barrier[0, column]
            for name in ("net", "gross", "funding"):
                assert getattr(ended[0], name) == pytest.approx(getattr(truth, name)[0, column], abs=1e-15)
            assert book.open_trades == {}


def test_a_trade_with_unknown_funding_is_written_off_at_its_horizon():
    """Never zero funding: no return is recorded, and the position does not stay open for ever."""
    path = walk(12, seed=1, funding_known=False)
    book = ledger()
    book.open("BTCUSDT", FIRST + 2, side=Side.LONG, sizes=sizes(0.02), atr=0.5, vol_ratio=1.0)
    ends = [
        book.settle(index, lambda _, first, now=index: cut(path, first, now)) for index in range(FIRST + 3, FIRST + 9)
    ]
    assert ends[:-1] == [[]] * 5
    assert (ends[-1][0].net, ends[-1][0].barrier) == (None, Barrier.UNRESOLVED)
    assert ends[-1][0].exit_ms == FIVE.open_time(FIRST + 8)


def test_a_market_that_vanished_is_written_off_too():
    """Without any path the trade still ends at its horizon."""
    book = ledger()
    book.open("GONEUSDT", FIRST, side=Side.SHORT, sizes=sizes(0.02), atr=0.01, vol_ratio=1.0)
    assert book.settle(FIRST + 5, lambda *_: None) == []
    assert [one.barrier for one in book.settle(FIRST + 6, lambda *_: None)] == [Barrier.UNRESOLVED]


def prediction(symbol: str, index: int, action: int, confidence: float) -> dict[str, object]:
    return {
        "model_name": "m",
        "bundle_hash": "b" * 64,
        "symbol": symbol,
        "bar_ms": FIVE.open_time(index),
        "role": "champion",
        "run": "t",
        "contract": "c",
        "model_probabilities": [0.2, 0.5, 0.3],
        "probabilities": [0.2, 0.5, 0.3],
        "votes": [1],
        "action": action,
        "confidence": confidence,
        "size": 0.02,
        "steps": {},
        "output_hash": "h",
    }


def cause(engine: Engine, *trades: PaperTrade, confidence: float = 0.7) -> None:
    """Store the features and the prediction behind each trade."""
    with engine.begin() as connection:
        for one in trades:
            key = {"symbol": one.symbol, "bar_ms": one.bar_ms}
            row = {"contract": "c", "features": b"", "reason": 0, "known_at_ms": one.entry_ms}
            connection.execute(insert(feature_rows).values(**key, **row))
            action = 1 if one.side == Side.LONG else 2
            made = prediction(one.symbol, one.bar_ms // FIVE.ms, action, confidence)
            connection.execute(insert(predictions).values(made))


def recalled(engine: Engine, book: Ledger, before: int) -> DecisionState:
    with engine.connect() as connection:
        return recall_state(connection, book, POLICY, ("BTCUSDT", "ETHUSDT"), before_index=before)


def test_memory_comes_back_from_the_database_as_it_was_at_that_bar(engine):
    """Trades open then are open again whatever happened later, and recent actions keep their order."""
    first, second = ledger(), ledger()
    opened = (
        first.open("BTCUSDT", FIRST, side=Side.LONG, sizes=sizes(0.02), atr=0.01, vol_ratio=1.0),
        first.open("ETHUSDT", FIRST + 1, side=Side.SHORT, sizes=sizes(0.03), atr=0.01, vol_ratio=1.0),
    )
    cause(engine, *opened)
    write_bars(engine, [BarRecord(bar_ms=FIVE.open_time(FIRST + 1), opened=opened)])
    path = walk(8, seed=2)
    ended = tuple(
        one for one in first.settle(FIRST + 6, lambda _, at: cut(path, at, FIRST + 6)) if one.symbol == "BTCUSDT"
    )
    write_bars(engine, [BarRecord(bar_ms=FIVE.open_time(FIRST + 6), closed=ended)])
    state = recalled(engine, second, FIRST + 2)
    assert set(second.open_trades.values()) == set(opened)
    assert state.open_until.tolist() == [FIRST + 6, FIRST + 7]
    assert state.side.tolist() == [1, -1]
    assert state.size.tolist() == [0.02, 0.03]
    assert state.said.tolist() == [0.01, 0.015]
    assert state.correlation.tolist() == [0.4, 0.4]
    assert state.recent().tolist() == [1, 2]
    assert recalled(engine, second, FIRST + 1).side.tolist() == [1, 0]
    assert recalled(engine, second, FIRST).recent().tolist() == []
    assert recalled(engine, second, FIRST + 6).side[0] == 1
    assert recalled(engine, second, FIRST + 7).side[0] == 0


def test_actions_come_back_in_the_order_in_which_they_were_considered(engine):
    """By bar, then by confidence, then by symbol; the supervisor's window keeps the last ones."""
    book = ledger()
    for symbol, index, side, confidence in (
        ("ETHUSDT", FIRST - 3, Side.LONG, 0.9),
        ("BTCUSDT", FIRST - 2, Side.SHORT, 0.5),
        ("ETHUSDT", FIRST - 2, Side.LONG, 0.6),
        ("ETHUSDT", FIRST, Side.SHORT, 0.7),
        ("BTCUSDT", FIRST, Side.LONG, 0.7),
    ):
        trade = book.open(symbol, index, side=side, sizes=sizes(0.01), atr=0.01, vol_ratio=1.0)
        cause(engine, trade, confidence=confidence)
        write_bars(engine, [BarRecord(bar_ms=trade.bar_ms, opened=(trade,))])
    assert recalled(engine, ledger(), FIRST + 1).recent().tolist() == [1, 2, 1, 2]
    assert recalled(engine, ledger(), FIRST).recent().tolist() == [1, 1, 2]


def test_the_record_of_closed_trades_comes_back_as_it_was_settled(engine):
    """Results in the order in which they were settled move guard and equity as they did; later ones do not count."""
    book, lived = ledger(), new_state(2, POLICY)
    rows, nets = {"BTCUSDT": 0, "ETHUSDT": 1}, np.random.default_rng(5).normal(0, 0.5, 40)
    at = FIRST
    for k, net in enumerate(nets.tolist()):
        symbol = ("BTCUSDT", "ETHUSDT")[k % 2]
        trade = book.open(symbol, at, side=Side.LONG, sizes=sizes(0.02), atr=0.01, vol_ratio=1.0)
        lived.open_position(rows[symbol], side=1, size=0.02, said=0.01, correlation=0.4, until_index=at + 6)
        cause(engine, trade)
        ended = replace(book.settle(at + 6, lambda *_: None)[0], net=net if k % 7 else None)
        close_ended(POLICY, lived, [ended], rows, index=at + 6)
        write_bars(engine, [BarRecord(bar_ms=trade.bar_ms, opened=(trade,), closed=(ended,))])
        at += 3
    found = recalled(engine, ledger(), at + 10)
    for name in ("gains", "counts", "money"):
        np.testing.assert_array_equal(getattr(found, name), getattr(lived, name))
    assert recalled(engine, ledger(), FIRST + 6).counts[0] == 0


def test_a_person_who_resumed_starts_the_drawdown_anew(engine):
    """What was lost before the resume does not kill again; what is lost after it does."""
    policy = replace(POLICY, drawdown_limit=0.05)
    book = ledger()
    for k in range(2):
        trade = book.open("BTCUSDT", FIRST + 10 * k, side=Side.LONG, sizes=sizes(1.0), atr=0.01, vol_ratio=1.0)
        cause(engine, trade)
        ended = replace(book.settle(FIRST + 10 * k + 6, lambda *_: None)[0], net=-0.2)
        write_bars(engine, [BarRecord(bar_ms=trade.bar_ms, opened=(trade,), closed=(ended,))])
    with engine.connect() as connection:

        def killed(resumed_index: int | None) -> bool:
            at = None if resumed_index is None else FIVE.open_time(resumed_index)
            state = recall_state(connection, ledger(), policy, ("BTCUSDT",), before_index=FIRST + 30, resumed_ms=at)
            return guard_cause(policy, state) == "drawdown"

        assert killed(None)
        assert killed(FIRST + 12)
        assert not killed(FIRST + 25)


def test_a_share_recalls_its_own_symbols_alone(engine):
    """Positions and results of symbols that another worker serves are not this one's."""
    book = ledger()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        trade = book.open(symbol, FIRST, side=Side.LONG, sizes=sizes(0.02), atr=0.01, vol_ratio=1.0)
        cause(engine, trade)
        write_bars(engine, [BarRecord(bar_ms=trade.bar_ms, opened=(trade,))])
    mine = ledger()
    with engine.connect() as connection:
        state = recall_state(connection, mine, POLICY, ("BTCUSDT",), before_index=FIRST + 1, of=("BTCUSDT",))
    assert [symbol for symbol, _ in mine.open_trades] == ["BTCUSDT"]
    assert state.recent().tolist() == [1]


def test_ended_trades_free_their_symbol(engine):
    """The decision forgets a position when its paper trade ends; an unlisted symbol is no error."""
    book = ledger()
    opened = book.open("ETHUSDT", FIRST, side=Side.SHORT, sizes=sizes(0.03), atr=0.01, vol_ratio=1.0)
    cause(engine, opened)
    write_bars(engine, [BarRecord(bar_ms=FIVE.open_time(FIRST), opened=(opened,))])
    state = recalled(engine, ledger(), FIRST + 1)
    ended = book.settle(FIRST + 6, lambda *_: None)
    rows = {"BTCUSDT": 0, "ETHUSDT": 1}
    close_ended(POLICY, state, [replace(ended[0], symbol="XRPUSDT"), *ended], rows, index=FIRST + 6)
    assert state.side.tolist() == [0, 0]


def test_an_exit_is_recorded_once(engine):
    """A second exit for the same trade changes nothing."""
    book = ledger()
    opened = book.open("BTCUSDT", FIRST, side=Side.LONG, sizes=sizes(0.02), atr=0.01, vol_ratio=1.0)
    cause(engine, opened)
    ended = book.settle(FIRST + 6, lambda *_: None)[0]
    record = BarRecord(
        bar_ms=FIVE.open_time(FIRST + 6), opened=(opened,), closed=(replace(ended, net=0.01, barrier=1),)
    )
    write_bars(engine, [record])
    write_bars(engine, [replace(record, closed=(replace(ended, net=0.99, barrier=2),))])
    with engine.connect() as connection:
        rows = connection.execute(paper_trades.select()).all()
    assert [(row.net, row.barrier) for row in rows] == [(0.01, 1)]
