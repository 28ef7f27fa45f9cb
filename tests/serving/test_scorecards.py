"""Scorecards of real bundles over a served stretch: every number again, slowly, from the rows."""

import math

import pytest
from sqlalchemy import Engine, select

from infra.tables import outcomes, paper_trades, predictions
from learning.scorecard import wilson
from learning.scorecards import agreed_side, read_scorecard, scored_bundles
from registry.catalog import record_bundle
from registry.load import LoadedBundle
from serving.outcomes import resolve_outcomes
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, TRAIN_END, SmallMarket
from tests.serving.replays import lineup_of, run

pytestmark = pytest.mark.integration
SINCE, UNTIL = TIMEFRAME.open_time(TRAIN_END + 10), TIMEFRAME.open_time(TRAIN_END + 100)


@pytest.fixture
def served(engine: Engine, market: SmallMarket, bundles: tuple[LoadedBundle, ...]) -> Engine:
    """Both bundles served 120 bars, with every outcome that can be known."""
    for version, bundle in enumerate(bundles, start=1):
        record_bundle(engine, bundle, model_name="m", version=version)
    run(engine, market, lineup_of(bundles))
    resolve_outcomes(
        engine,
        market.lake,
        label_spec=bundles[0].label_spec,
        contract=market.contract,
        symbols=SYMBOLS,
        start_index=TRAIN_END,
        end_index=TRAIN_END + 120,
    )
    return engine


def test_every_number_is_that_of_the_rows(served: Engine, bundles: tuple[LoadedBundle, ...]) -> None:
    """Ensemble, each model and trades, in plain loops over what is stored, inside the window alone."""
    for bundle in bundles:
        with served.connect() as connection:
            names = bundle.model_names
            card = read_scorecard(connection, bundle.hash, since_ms=SINCE, until_ms=UNTIL, model_names=names)
            known = {
                (row.symbol, row.bar_ms): row for row in connection.execute(select(outcomes)) if row.exit_ms < UNTIL
            }
            made = [
                (row, known[row.symbol, row.bar_ms])
                for row in connection.execute(select(predictions).where(predictions.c.bundle_hash == bundle.hash))
                if SINCE <= row.bar_ms < UNTIL and (row.symbol, row.bar_ms) in known
            ]
            trades = [
                row
                for row in connection.execute(select(paper_trades).where(paper_trades.c.bundle_hash == bundle.hash))
                if row.bar_ms >= SINCE and row.exit_ms is not None and row.exit_ms < UNTIL and row.net is not None
            ]
        assert card is not None
        assert len(made) > 50, "a window without rows would prove nothing"
        assert [one.name for one in card.forecasts] == ["ensemble", *names]
        for at, scores in enumerate(card.forecasts):
            _check(scores, at, made)
        wins = sum(row.net > 0 for row in trades)
        assert (card.trades.trades, card.trades.win_interval) == (len(trades), wilson(wins, len(trades)))
        assert trades
        assert card.trades.net_return == pytest.approx(sum(row.net * row.book_size for row in trades))
        assert 0 < card.trades.independent <= len(trades)


def _check(scores, at: int, made) -> None:
    """``at`` 0 is the ensemble, else the model before it."""
    p = [row.probabilities if at == 0 else row.model_probabilities[3 * at - 3 : 3 * at] for row, _ in made]
    sides = [agreed_side(row.votes, row.steps, row.confidence) if at == 0 else row.votes[at - 1] for row, _ in made]
    labels = [outcome.label for _, outcome in made]
    hits = [side == label for side, label in zip(sides, labels, strict=True) if side > 0]
    assert (scores.n, scores.with_side) == (len(made), len(hits))
    assert scores.hit_rate == (pytest.approx(sum(hits) / len(hits)) if hits else None)
    brier = sum((q - (c == label)) ** 2 for row, label in zip(p, labels, strict=True) for c, q in enumerate(row))
    assert scores.brier == pytest.approx(brier / len(made))
    assert 0 < scores.independent < scores.n


def test_the_side_agreed_on_is_the_action_wherever_one_was_taken(served: Engine) -> None:
    """And there are rows with a side that a later rule kept back."""
    with served.connect() as connection:
        rows = connection.execute(select(predictions)).all()
    sides = {row.id: agreed_side(row.votes, row.steps, row.confidence) for row in rows}
    assert all(sides[row.id] == row.action for row in rows if row.action)
    assert any(sides[row.id] and not row.action for row in rows)
    assert all(math.isfinite(row.confidence) == (sides[row.id] > 0) for row in rows)


def test_an_unknown_bundle_has_no_card_and_an_empty_window_an_unknown_one(
    served: Engine, bundles: tuple[LoadedBundle, ...]
) -> None:
    """Nothing is made up for either."""
    with served.connect() as connection:
        assert scored_bundles(connection, "m") == (bundles[1].hash, bundles[0].hash)
        assert read_scorecard(connection, "nobody", since_ms=0, until_ms=UNTIL) is None
        card = read_scorecard(connection, bundles[0].hash, since_ms=0, until_ms=1)
    assert card is not None
    assert (card.forecasts[0].verdict, card.forecasts[0].hit_rate) == ("unknown", None)
    assert (card.trades.profit_factor, card.trades.profit_factor_reason) == (None, "no trades")
