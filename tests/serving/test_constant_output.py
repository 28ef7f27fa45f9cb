"""Is a champion that says one thing to everything silenced, and heard again once it tells bars apart?"""

from dataclasses import replace

import numpy as np
from sqlalchemy import func, select

from infra.tables import predictions
from serving.constant_output import EPSILON, OutputRing, all_alike, recall_outputs
from serving.lineup import Lineup, ServedBundle
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, TRAIN_END
from tests.serving.replays import lineup_of, run, said

K = 24


class _Constant:
    """A model that was unplugged."""

    name, kind = "logistic", "logistic"

    def predict(self, X):
        return np.tile([0.1, 0.8, 0.1], (X.shape[0], 1))


def unplugged(bundle) -> object:
    """The bundle with every model saying one thing."""
    return replace(bundle, predictors=(_Constant(),) * len(bundle.predictors))


def test_answers_are_alike_below_the_epsilon_and_enough_of_them():
    """One class further apart than that, or one answer fewer, is no evidence."""
    near = np.full((20, 3), 1 / 3) + np.linspace(0, EPSILON / 2, 20)[:, None]
    assert all_alike(near, fewest=20)
    assert not all_alike(near, fewest=21)
    apart = near.copy()
    apart[7, 2] += 2 * EPSILON
    assert not all_alike(apart, fewest=20)


def test_the_champion_is_silent_from_the_bar_that_fills_its_memory(engine, market, bundles):
    """Eight bars of three markets; its predictions and paper decisions go on all the while."""
    lineup = Lineup(champion=ServedBundle(bundle=unplugged(bundles[0]), version=1))
    run(engine, market, lineup, bars=12, constant_predictions=K)
    by_bar = {row.bar_ms // TIMEFRAME.ms - TRAIN_END: row.reason for row in said(engine)}
    assert by_bar == {bar: "ok" if bar < 7 else "constant_output" for bar in range(12)}
    assert {row.action for row in said(engine) if row.reason != "ok"} == {0}
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(predictions)) == 36


def test_a_restart_forgets_nothing_and_one_other_answer_clears_it(engine, market, bundles):
    """The memory comes back from the rows: the first bar after it is silent still, and the sound models are heard."""
    dumb = Lineup(champion=ServedBundle(bundle=unplugged(bundles[0]), version=1))
    run(engine, market, dumb, bars=9, constant_predictions=K)
    again = run(engine, market, dumb, bars=10, constant_predictions=K)
    assert (again.bars, again.reasons) == (1, {"constant_output": 3})
    healed = run(engine, market, lineup_of(bundles[:1]), bars=11, constant_predictions=K)
    assert (healed.bars, healed.reasons) == (1, {"ok": 3})


def test_a_constant_challenger_silences_nobody(engine, market, bundles):
    """It is the champion that speaks; the gates judge the other."""
    lineup = replace(lineup_of(bundles[:1]), challengers=(ServedBundle(bundle=unplugged(bundles[1]), version=2),))
    assert run(engine, market, lineup, bars=12, constant_predictions=K).reasons == {"ok": 36}


def test_only_its_own_earlier_answers_are_recalled(engine, market, bundles):
    """Neither those of another bundle nor those of the bar itself or later."""
    run(engine, market, lineup_of(bundles), bars=3)
    with engine.connect() as connection:
        ring = recall_outputs(
            connection,
            model_name="m",
            bundle_hash=bundles[0].hash,
            symbols=SYMBOLS,
            before_ms=TIMEFRAME.open_time(TRAIN_END + 2),
            size=K,
        )
        rows = connection.execute(
            select(predictions.c.probabilities).where(
                predictions.c.bundle_hash == bundles[0].hash,
                predictions.c.bar_ms < TIMEFRAME.open_time(TRAIN_END + 2),
            )
        ).scalars()
        assert sorted(map(tuple, ring.outputs.tolist())) == sorted(map(tuple, rows))
    assert OutputRing(2, [(1, 0, 0), (0, 1, 0), (0, 0, 1)]).outputs.tolist() == [[0, 1, 0], [0, 0, 1]]
