"""What a bundle's stored trades say of it, and where its signals ended."""

import numpy as np
import pytest
from sqlalchemy import func, select

from infra.tables import paper_trades, position_checks, signals
from learning.metrics import max_drawdown
from market.barriers import Barrier
from registry.policy import DecisionPolicy
from serving.errors import ServingError
from serving.funnel import read_funnel
from serving.paper_book import bundle_named, read_book
from serving.reevaluation import AGREES, HOLDS, OPPOSES, UNKNOWN, verdict_of
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, TRAIN_END
from tests.serving.replays import N, lineup_of, run

POLICY = DecisionPolicy(thresholds=(0.4, 0.45), horizon_bars=4)


@pytest.fixture
def served(engine, market, bundles):
    """A replay of one bundle."""
    run(engine, market, lineup_of((bundles[0],)))
    return engine


def test_the_equity_curve_is_the_sum_of_stored_results(served, bundles):
    """Computed again from the rows one by one: said, book, how trades ended, and which are open."""
    book = read_book(served, bundles[0].hash)
    with served.connect() as connection:
        rows = connection.execute(select(paper_trades).order_by(paper_trades.c.settled_ms, paper_trades.c.symbol)).all()
    said = total = 1.0
    curve = []
    for row in rows:
        if row.net is not None:
            said += row.size * row.net
            total += row.book_size * row.net
            curve.append((row.settled_ms, said, total))
    assert len(curve) > 20
    np.testing.assert_allclose(np.column_stack((book.settled_ms, book.said_equity, book.book_equity)), curve)
    assert sum(book.barriers.values()) == sum(row.settled_ms is not None for row in rows)
    assert set(book.barriers) <= {one.name.lower() for one in Barrier}
    assert [(one["symbol"], one["bar_ms"]) for one in book.open_positions] == sorted(
        ((row.symbol, row.bar_ms) for row in rows if row.settled_ms is None), key=lambda key: key[::-1]
    )
    assert 0.0 <= max_drawdown(book.said_equity) < 1.0


def test_open_positions_are_looked_at_again_each_bar(served, bundles):
    """From the bar after the decision to the bar before the end, once each, with the price's change so far."""
    with served.connect() as connection:
        trades = connection.execute(select(paper_trades)).all()
        looks = connection.execute(select(position_checks)).all()
    by_trade: dict[tuple[str, int], list] = {}
    for look in looks:
        by_trade.setdefault((look.symbol, look.bar_ms), []).append(look)
    last = TIMEFRAME.open_time(TRAIN_END + N - 1)
    for trade in trades:
        end = last + TIMEFRAME.ms if trade.settled_ms is None else trade.settled_ms
        wanted = list(range(trade.bar_ms + TIMEFRAME.ms, end, TIMEFRAME.ms))
        assert sorted(look.at_ms for look in by_trade.get((trade.symbol, trade.bar_ms), [])) == wanted
    assert {look.verdict for look in looks} >= {AGREES, HOLDS, OPPOSES}
    assert all(look.gross is not None and abs(look.gross) < 0.2 for look in looks)
    newest = read_book(served, bundles[0].hash).open_positions
    assert all(one["at_ms"] in (None, last) for one in newest)


@pytest.mark.parametrize(
    ("probabilities", "side", "verdict"),
    [
        ((0.2, 0.6, 0.2), 1, AGREES),
        ((0.2, 0.6, 0.2), -1, OPPOSES),
        ((0.2, 0.2, 0.6), -1, AGREES),
        ((0.2, 0.2, 0.6), 1, OPPOSES),
        ((0.4, 0.39, 0.21), 1, HOLDS),
        ((0.3, 0.26, 0.44), 1, HOLDS),
        ((0.3, np.nan, 0.44), 1, UNKNOWN),
        (None, 1, UNKNOWN),
    ],
)
def test_a_position_is_judged_by_the_thresholds_of_its_policy(probabilities, side, verdict):
    """The side's own threshold, the greater of both sides; without a number nothing is said."""
    given = None if probabilities is None else np.array(probabilities)
    assert verdict_of(POLICY, side, given) == verdict


def test_the_funnel_sums_to_bars_times_symbols(served):
    """Blocked, held and said are all there is; the window takes whole bars."""
    found = read_funnel(served, model_name="m")
    assert found.adds_up
    assert (found.bars, found.signals) == (N, N * len(SYMBOLS))
    assert found.said > 0
    assert found.blocked == {}
    part = read_funnel(
        served,
        model_name="m",
        since_ms=TIMEFRAME.open_time(TRAIN_END + 10),
        until_ms=TIMEFRAME.open_time(TRAIN_END + 30),
    )
    assert (part.bars, part.signals, part.adds_up) == (20, 20 * len(SYMBOLS), True)
    with served.begin() as connection:
        first = connection.scalar(select(func.min(signals.c.bar_ms)))
        stale = signals.update().where(signals.c.bar_ms == first)
        connection.execute(stale.values(state="FLAT", reason="stale_data", action=0))
    assert read_funnel(served, model_name="m").blocked == {"stale_data": len(SYMBOLS)}


def test_a_bundle_is_named_by_the_beginning_of_its_hash(served):
    """Nobody and anybody are refused in words."""
    with pytest.raises(ServingError, match="there is no champion"):
        bundle_named(served, "m", None)
    with pytest.raises(ServingError, match="0 bundles of m begin with 'zz'"):
        bundle_named(served, "m", "zz")
