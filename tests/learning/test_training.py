"""Training end to end on a small market whose answer is known."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from learning.climatology import class_shares
from learning.ensemble import EnsembleRule
from learning.errors import HistoryError, LabelError
from learning.fold_models import run_job, with_matrix
from learning.metrics import brier, log_loss, sharpe
from learning.training import train
from learning.weights import average_uniqueness
from registry.predictors import ensemble_mean, load_predictor, predict_all
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config

END = FIRST + 2800


def trained(panel, **changes):
    return train(panel, CONTRACT, SPEC, tiny_config(**changes), train_end_index=END)


@pytest.fixture(scope="module")
def panel():
    """A market where the hint tells much of the next hour."""
    return planted_panel(edge=1.0)


@pytest.fixture(scope="module")
def result(panel):
    """Its training."""
    return trained(panel)


def everything(result):
    """All bytes of a result, and its JSON."""
    arrays = [result.scored.ensemble, result.scored.models, result.equity, result.weights, result.importance]
    arrays += [result.trades.net, result.trades.size, *result.bar_returns.values()]
    parts = [part.payload + part.calibration.matrix.tobytes() for part in result.models]
    return parts, [array.tobytes() for array in arrays], json.dumps(result.evaluation), result.policy


def test_training_twice_gives_the_same_bytes_whatever_the_threads(panel, result):
    """A second training with two models at a time equals the first, byte by byte."""
    one, two = everything(result), everything(trained(panel, threads=2))
    assert one == two


def test_jobs_sent_elsewhere_give_the_same_bytes(panel, result, tmp_path):
    """Sent as small values in another order, over a memory map of the features, fitted by a copy: nothing changes."""
    sent = []

    def elsewhere(work, jobs, on_model):
        np.save(tmp_path / "X.npy", work.binned.data.X)
        light = pickle.dumps(with_matrix(work, np.empty((0, len(CONTRACT.names)), dtype=np.float32)))
        there = with_matrix(pickle.loads(light), np.load(tmp_path / "X.npy", mmap_mode="r"))
        sent.append((len(light), work.binned.data.X.nbytes))
        results = [run_job(there, pickle.loads(pickle.dumps(job))) for job in reversed(jobs)]
        on_model(len(jobs), len(jobs))
        return results

    other = train(panel, CONTRACT, SPEC, tiny_config(), train_end_index=END, run_jobs=elsewhere)
    assert everything(other) == everything(result)
    assert sent


def test_fixed_weights_and_balanced_classes_reach_the_bundle(panel, result):
    """The rule replaces what would be learnt, and every model carries the class weights it is to undo."""
    given = EnsembleRule(rule="fixed", weights={"lightgbm": 0.2, "xgboost": 0.3, "logistic": 0.5})
    other = trained(panel, ensemble=given, class_balance="balanced", decay_half_life_bars=500.0)
    assert other.weights.tolist() == [0.2, 0.3, 0.5]
    assert other.evaluation["folds"][-1]["weights"] == [0.2, 0.3, 0.5]
    assert all(part.class_weight != (1.0, 1.0, 1.0) for part in other.models)
    scores = other.evaluation["strategies"]
    assert scores["ensemble"]["log_loss"] < scores["climatology"]["log_loss"] - 0.15
    assert other.evaluation["final"]["kish_rows"] < 0.8 * result.evaluation["final"]["kish_rows"]
    np.testing.assert_allclose(other.scored.ensemble.mean(axis=0), result.scored.ensemble.mean(axis=0), atol=0.02)


def test_the_facts_state_what_the_rows_are_worth_and_what_calibration_changed(panel, result):
    """Effective sample sizes per window, and log loss before and after for every model."""
    final, rows = result.evaluation["final"], result.training_rows
    unique = average_uniqueness(panel.symbol_id[rows], panel.bar_index[rows], panel.label_end[rows])
    assert final["unique_rows"] == pytest.approx(unique.sum())
    assert final["kish_rows"] == pytest.approx(unique.sum() ** 2 / np.square(unique).sum())
    worth = [fold["unique_rows"] for fold in result.evaluation["folds"]]
    assert 0 < worth[0] < worth[1] < worth[2] < final["unique_rows"] < rows.size
    for name, one in final["calibration_log_loss"].items():
        assert one["kept"] == (one["after"] < one["before"])
        assert final["calibration_gain"].get(name, 0.0) == (one["before"] - one["after"] if one["kept"] else 0.0)
    assert result.evaluation["devices"] == {"lightgbm": "cpu", "xgboost": "cpu", "logistic": "cpu"}


def test_the_bytes_depend_on_the_seed_and_the_rows(panel, result):
    """The equality above is not that of constants: another seed gives other models."""
    other = trained(panel, seed=8)
    assert other.models[0].payload != result.models[0].payload
    assert other.models[1].payload != result.models[1].payload


def test_a_planted_edge_is_found(result):
    """Far better than the class shares, and profitable after costs, for every model and the ensemble."""
    scores = result.evaluation["strategies"]
    for name in ("ensemble", "lightgbm", "xgboost", "logistic"):
        assert scores[name]["log_loss"] < scores["climatology"]["log_loss"] - 0.15
        assert scores[name]["profit_factor"] > 2.0
    assert result.policy.thresholds[0] > 0.5
    assert result.importance.argmax(axis=1).tolist() == [0] * 4
    assert not result.evaluation["final"]["no_profitable_threshold"]


def test_no_model_saw_a_row_it_was_judged_on(panel, result):
    """Prices changed from the last test window on change nothing that came before it."""
    folds = result.evaluation["folds"]
    cut = folds[-1]["test_first_index"]
    later = panel.label_end >= cut
    spoilt = replace(
        panel,
        y=np.where(later & (panel.y > 0), 3 - panel.y, panel.y),
        net=np.where(later[:, None], panel.net[:, ::-1], panel.net),
        X=np.where((panel.bar_index >= cut)[:, None], panel.X * np.float32(-1.0), panel.X),
    )
    other = trained(spoilt)
    before = result.scored.bar_index < cut
    known = result.scored.label_end < cut
    np.testing.assert_array_equal(other.scored.ensemble[before], result.scored.ensemble[before])
    np.testing.assert_array_equal(other.scored.y[known], result.scored.y[known])
    assert other.evaluation["folds"][-1]["weights"] == folds[-1]["weights"]
    assert other.evaluation["folds"][-1]["thresholds"] == folds[-1]["thresholds"]
    assert other.models[0].payload != result.models[0].payload


def test_nothing_from_the_end_of_training_on_is_used(panel, result):
    """Everything decided or resolved from the end index on can change without changing a byte."""
    beyond = panel.bar_index >= END
    unknown = panel.exit_index >= END
    spoilt = replace(
        panel,
        X=np.where(beyond[:, None], np.float32(9.0), panel.X),
        net=np.where(unknown, 0.5, panel.net),
        y=np.where(panel.label_end >= END, 1, panel.y).astype(np.int8),
        close=np.where(beyond, 1.0, panel.close),
    )
    assert everything(trained(spoilt)) == everything(result)


def test_what_was_judged_can_be_computed_again(result):
    """Scores come from the stored probabilities, and trading numbers from the stored trades."""
    scores, scored = result.evaluation["strategies"], result.scored
    assert scores["ensemble"]["log_loss"] == log_loss(scored.ensemble, scored.y)
    assert scores["xgboost"]["brier"] == brier(scored.models[1], scored.y)
    assert scores["ensemble"]["net_return"] == pytest.approx(result.trades.results.sum())
    assert scores["ensemble"]["trades"] == result.trades.resolved.sum()
    assert scores["ensemble"]["sharpe"] == sharpe(result.bar_returns["ensemble"], bars_per_year=365 * 288)
    assert result.equity[-1] == pytest.approx(1.0 + result.trades.results.sum())
    steps = result.evaluation["decision_steps"]
    assert sum(steps.values()) == result.evaluation["scored"]["decisions"]
    assert steps["TAKEN"] == len(result.trades)


def test_warm_up_folds_are_not_scored(result):
    """The first test window feeds the combination only, and the facts say so."""
    folds = result.evaluation["folds"]
    assert [fold["scored"] for fold in folds] == [False, True, True]
    assert 0 <= result.scored.bar_index.min() - folds[1]["test_first_index"] < 2
    assert set(result.scored.fold.tolist()) == {1, 2}
    assert "weights" not in folds[0]


def test_training_and_judging_follow_one_event_rule(panel, result):
    """Every second bar trains, and exactly those bars are predicted and decided on."""
    found = result.scored
    mine = (panel.bar_index >= found.bar_index.min()) & (panel.bar_index < END) & (panel.label_end < END)
    assert found.y.size == (mine & (panel.bar_index % 2 == 0)).sum()
    for indices in (found.bar_index, result.trades.bar_index, panel.bar_index[result.training_rows]):
        assert (indices % 2 == 0).all()
    assert panel.label_end[result.training_rows].max() < END


def test_the_final_parts_predict_like_a_bundle_would(panel, result):
    """The sealed bytes load, agree with the label on unseen bars, and carry weights that sum to one."""
    unseen = (panel.bar_index >= END) & (panel.y >= 0)
    predictors = [load_predictor(part, result.scaler, len(CONTRACT.names)) for part in result.models]
    p = ensemble_mean(predict_all(predictors, panel.X[unseen]), result.weights)
    shares = np.broadcast_to(class_shares(panel.y[result.training_rows]), p.shape)
    assert log_loss(p, panel.y[unseen]) < log_loss(shares, panel.y[unseen]) - 0.1
    assert np.isclose(result.weights.sum(), 1.0)
    assert 6 not in result.scaler.columns.tolist()


def test_facts_are_plain_json_without_nan(result):
    """The bundle stores them as they are."""
    assert json.loads(json.dumps(result.evaluation, allow_nan=False)) == result.evaluation


def test_progress_counts_to_its_total(panel):
    """Every model fit is reported once, and every scored fold."""
    calls = []
    train(
        panel,
        CONTRACT,
        SPEC,
        tiny_config(models=("logistic",)),
        train_end_index=END,
        on_progress=lambda *call: calls.append(call),
    )
    assert calls == [("fit", i, 4) for i in range(1, 5)] + [("score", 1, 2), ("score", 2, 2)]


def test_a_short_history_is_refused_with_numbers(panel):
    """Nine hundred bars of training and three windows do not fit into nine hundred and fifty."""
    with pytest.raises(HistoryError, match=r"walk-forward needs 972 bars .* but the history has 950"):
        train(panel, CONTRACT, SPEC, tiny_config(), train_end_index=FIRST + 950)


def test_one_fold_cannot_be_judged(panel):
    """Calibration needs an earlier fold, so one fold alone is refused."""
    with pytest.raises(HistoryError, match="use at least two folds"):
        train(panel, CONTRACT, SPEC, tiny_config(folds=1), train_end_index=END)


def test_a_class_that_hardly_occurs_is_refused(panel):
    """Four HOLD rows cannot be learnt, and no rows are made up."""
    few = replace(panel, y=np.where((panel.y == 0) & (np.arange(len(panel)) > 30), 1, panel.y).astype(np.int8))
    with pytest.raises(LabelError, match=r"HOLD.*cannot be learnt, and none are made up"):
        trained(few)


@pytest.fixture(scope="module")
def meta():
    """A panel on which the primary rule names the side, and its training."""
    found = planted_panel(edge=1.0, mode="meta")
    return found, trained(found)


def test_meta_mode_learns_only_where_the_primary_rule_speaks(meta):
    """Training rows have one open side, and their class is that side or HOLD."""
    panel, result = meta
    rows = result.training_rows
    sides = panel.sides[rows]
    assert (sides.sum(axis=1) == 1).all()
    y = panel.y[rows]
    assert set(y[sides[:, 0]].tolist()) == {0, 1}
    assert set(y[sides[:, 1]].tolist()) == {0, 2}
    pays = (panel.net[rows] * sides > 0.0).any(axis=1)
    np.testing.assert_array_equal(y > 0, pays)


def test_meta_mode_never_trades_against_the_primary_rule(meta):
    """Every trade, of the ensemble and of the rule itself, is on the side that the rule named at its bar."""
    panel, result = meta
    at = {(int(s), int(b)): k for k, (s, b) in enumerate(zip(panel.symbol_id, panel.bar_index, strict=True))}
    trades = result.trades
    assert len(trades) > 20
    for symbol, bar, side in zip(trades.symbol_id, trades.bar_index, trades.side, strict=True):
        assert panel.sides[at[int(symbol), int(bar)]].tolist() == [side > 0, side < 0]
    assert result.evaluation["strategies"]["primary_rule"]["trades"] > len(trades)


def test_meta_probabilities_say_whether_the_named_side_pays(meta):
    """The other side has probability zero, the forecast beats the rule's own pay rate, and so does trading on it."""
    _, result = meta
    scored, scores = result.scored, result.evaluation["strategies"]
    assert (np.count_nonzero(scored.ensemble[:, 1:], axis=1) == 1).all()
    np.testing.assert_allclose(scored.ensemble.sum(axis=1), 1.0)
    assert scores["ensemble"]["log_loss"] < scores["climatology"]["log_loss"] - 0.05
    assert scores["climatology"]["log_loss"] < np.log(2.0)
    assert scores["ensemble"]["profit_factor"] > scores["primary_rule"]["profit_factor"]
