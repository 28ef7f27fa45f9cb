"""What a study tries next, and which of its trials count."""

import math

import optuna
import pytest

from learning.search_space import SEARCH_SPACE
from learning.tuning_study import best_trial, close_interrupted, counted_trials, gain_over, run_trial
from tests.learning.planted import tiny_config
from tests.learning.tuning_case import memory_study

CONFIG = tiny_config()
SPLITS = 3


@pytest.fixture
def storage():
    """One storage, as several processes would share it one after the other."""
    return optuna.storages.InMemoryStorage()


def bowl(params):
    """Losses with their least at a depth of 5 and a penalty of 10, the last split the hardest for all."""
    off = (params["xgboost_depth"] - 5) ** 2 + (math.log10(params["xgboost_l2"]) - 1.0) ** 2
    return (1.0 + off + 0.5 * step for step in range(SPLITS))


def run(study, *, losses=bowl, config=CONFIG):
    return run_trial(study, "xgboost", config=config, splits=SPLITS, losses=losses)


def trials_of(storage):
    return counted_trials(memory_study("s", storage), "xgboost", CONFIG)


def test_trial_zero_is_the_configuration_as_it_stands(storage):
    """Also where settings lie outside the bounds: the trial is theirs, the sampler is told the nearest point."""
    config = tiny_config(xgboost_l2=0.0)
    study, seen = memory_study("s", storage), []
    run_trial(
        study,
        "xgboost",
        config=config,
        splits=1,
        losses=lambda params: iter([seen.append(dict(params)) or 1.0]),
    )
    assert seen[0]["xgboost_l2"] == 0.0
    assert study.trials[0].params["xgboost_l2"] == SEARCH_SPACE["xgboost"]["xgboost_l2"].low
    assert counted_trials(study, "xgboost", config)[0].params["xgboost_l2"] == 0.0


def test_what_comes_next_depends_only_on_the_seed_the_name_and_what_counted(storage):
    """One study run through, one opened anew for every trial: the same; another seed: another; it finds the bowl."""
    through = memory_study("s")
    one = [run(through) for _ in range(25)]
    two = [run(memory_study("s", storage)) for _ in range(25)]
    assert one == two
    assert list(trials_of(storage)) == one
    other = memory_study("s")
    assert [run(other, config=tiny_config(seed=8)).params for _ in range(3)][1:] != [x.params for x in one[1:3]]
    assert best_trial(one).loss < one[0].loss - 1.0
    assert sum(trial.state == "pruned" for trial in one) > 1


def test_a_trial_whose_process_died_does_not_count_and_is_tried_again(storage):
    """Dead at the first trial, dead at the seventh, dead before it was asked: the rest is as if nothing happened."""
    calm = memory_study("s")
    expected = [run(calm) for _ in range(10)]

    def dies(params):
        yield from ()
        raise KeyboardInterrupt

    study = memory_study("s", storage)
    study.enqueue_trial({"xgboost_depth": 3})  # a process died between queueing trial 0 and asking for it
    study.ask()
    got, deaths = [], 0
    for _ in range(2):
        deaths += close_interrupted(study)
        with pytest.raises(KeyboardInterrupt):
            run(study, losses=dies)
        deaths += close_interrupted(study)
        got += [run(study) for _ in range(5)]
    assert got == expected
    assert deaths == 3
    assert list(trials_of(storage)) == expected
    assert len(study.trials) == 13


def test_a_pruned_trial_stops_early_and_counts(storage):
    """It is clearly worse on the first split: the others are not computed; the last split never prunes."""
    study, asked = memory_study("s", storage), []

    def losses(worse):
        for step in range(SPLITS):
            asked.append(step)
            yield 1.0 + step + worse

    for _ in range(6):
        assert run(study, losses=lambda params: losses(0.0)).state == "complete"
    asked.clear()
    assert run(study, losses=lambda params: losses(0.1)).state == "pruned"
    assert asked == [0]
    assert [trial.state for trial in trials_of(storage)] == ["complete"] * 6 + ["pruned"]
    late = run(study, losses=lambda params: (1.0 + step + (step == SPLITS - 1) for step in range(SPLITS)))
    assert (late.state, late.number) == ("complete", 7)


def test_a_loss_that_is_not_finite_fails_the_trial_and_counts(storage):
    """Otherwise the same parameters would be tried for ever; it is never the best."""
    study = memory_study("s", storage)
    first = run(study)
    failed = run(study, losses=lambda params: iter([0.1, math.nan]))
    assert (failed.state, failed.losses) == ("fail", (0.1,))
    assert [trial.state for trial in trials_of(storage)] == ["complete", "fail"]
    assert best_trial([first, failed]) is first
    assert run(study).params != failed.params
    assert best_trial([failed]) is failed
    assert failed.loss == 0.1


def test_the_gain_has_a_standard_error_over_the_splits(storage):
    """Two trials on the same splits are compared pair by pair."""
    study = memory_study("s", storage)
    default = run(study, losses=lambda params: iter([1.0, 2.0, 3.0]))
    best = run(study, losses=lambda params: iter([0.9, 1.8, 2.7]))
    gain, error = gain_over(default, best)
    assert gain == pytest.approx(0.2)
    assert error == pytest.approx(0.1 / math.sqrt(3))
    assert gain_over(default, default) == (0.0, 0.0)
