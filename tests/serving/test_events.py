"""Serving follows the bundle's event rule: it decides where training decided, and on the side that rule opened."""

import json

import numpy as np
import pytest
from sqlalchemy import select

from features.batch import compute_features
from features.events import EventRule
from infra.tables import predictions, signals
from serving.lake_inputs import batch_inputs
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, TRAIN_END, small_bundle
from tests.serving.replays import N, content, lineup_of, run

RULES = {
    "meta": EventRule(mode="meta", every_bars=3),
    "cusum": EventRule(sampling="cusum"),
}


@pytest.fixture(scope="session", params=sorted(RULES))
def ruled(request, market, tmp_path_factory):
    """A bundle with a rule of its own."""
    where = tmp_path_factory.mktemp("ruled") / "bundle"
    return small_bundle(market, where, seed=1, events=RULES[request.param])


def open_sides(market, rule):
    """Sides ``(S, N, 2)`` by the rule over batch features of the served bars."""
    found = []
    for symbol in SYMBOLS:
        inputs = batch_inputs(
            market.lake, symbol, market.contract, first_index=TRAIN_END, end_index=TRAIN_END + N, as_of_ms=None
        )
        X = compute_features(inputs, market.contract, start_index=TRAIN_END).values
        found.append(rule.sides(X, np.arange(TRAIN_END, TRAIN_END + N), market.contract.names))
    return np.stack(found)


def test_predictions_exist_exactly_at_events(engine, market, ruled):
    """A bar that is no event has a signal that says so and no prediction; an event has both."""
    run(engine, market, lineup_of((ruled,)))
    sides = open_sides(market, ruled.events)
    with engine.connect() as connection:
        made = connection.execute(select(predictions)).mappings().all()
        said = connection.execute(select(signals)).mappings().all()
    at = {(SYMBOLS.index(row["symbol"]), row["bar_ms"] // TIMEFRAME.ms - TRAIN_END): row for row in made}
    assert set(at) == {(int(s), int(t)) for s, t in zip(*np.nonzero(sides.any(axis=2)), strict=True)}
    assert 0 < len(at) < 3 * N
    for (s, t), row in at.items():
        assert (np.array(row["probabilities"][1:]) > 0.0).tolist() == sides[s, t].tolist()
        assert row["action"] == 0 or sides[s, t, row["action"] - 1]
    for row in said:
        event = (SYMBOLS.index(row["symbol"]), row["bar_ms"] // TIMEFRAME.ms - TRAIN_END) in at
        steps = row["steps"] if isinstance(row["steps"], dict) else json.loads(row["steps"])
        assert (steps["step"] == "NO_EVENT") == (not event)
        assert (row["reason"], row["state"]) == ("ok", "FULL")
        if ruled.events.mode == "meta":
            assert list(steps["primary"]) == list(ruled.events.primary.versions)
    assert any(row["action"] for row in said)


def test_a_second_run_finds_all_events_served(engine, market, ruled):
    """Bars without an event are no holes, and a lost prediction is one."""
    run(engine, market, lineup_of((ruled,)))
    before = content(engine)
    assert run(engine, market, lineup_of((ruled,))).already_served == N
    with engine.begin() as connection:
        untraded = select(predictions.c.id, predictions.c.bar_ms).where(predictions.c.action == 0)
        row, lost = connection.execute(untraded.order_by(predictions.c.bar_ms).offset(40).limit(1)).one()
        connection.execute(predictions.delete().where(predictions.c.id == row))
    assert run(engine, market, lineup_of((ruled,))).already_served == lost // TIMEFRAME.ms - TRAIN_END
    assert content(engine) == before
