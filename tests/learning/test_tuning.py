"""Tuning: inside one window, the same every time, never worse than the defaults, and every trial told."""

from dataclasses import replace

import numpy as np
import optuna
import pytest

from learning.config import TrainingConfig
from learning.search_space import SEARCH_SPACE, default_params, distributions, with_params
from learning.training import train
from learning.tuning import Tuning, tuning_facts
from registry.predictors import KINDS
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config
from tests.learning.tuning_case import PLAN, WINDOW_END, made_panel, memory_study, tuned


@pytest.fixture(scope="module")
def panel():
    """A market with an edge."""
    return made_panel()


@pytest.fixture(scope="module")
def whole(panel):
    """An undisturbed search, with what was told of it."""
    told, ticks = [], []
    found = tuned(panel, on_trial=told.append, tick=lambda *tick: ticks.append(tick))
    return found, told, ticks


def test_every_kind_has_a_space_of_fields_that_exist():
    """Names are fields of the configuration, defaults lie within the bounds, and Optuna reads the same bounds."""
    config = tiny_config()
    assert set(SEARCH_SPACE) == set(KINDS)
    for kind, space in SEARCH_SPACE.items():
        defaults = default_params(kind, TrainingConfig(policy=config.policy, min_train_bars=1))
        assert set(defaults) == set(distributions(kind)) == set(space)
        assert all(space[name].holds(value) for name, value in defaults.items())
        assert with_params(config, defaults) != config or kind == "logistic"


def test_the_defaults_come_first_and_nothing_is_worse(whole):
    """Trial 0 is the configuration itself; the best inner loss is at most its."""
    found, told, _ = whole
    config = tiny_config()
    for kind, chosen in found.models.items():
        first = next(one for one in told if one.kind == kind)
        assert (first.number, first.params) == (0, default_params(kind, config))
        assert first.loss == chosen.default_loss >= chosen.loss
        assert chosen.complete + chosen.pruned == PLAN.trials


def test_something_better_than_bad_defaults_is_found(panel):
    """A model that is held down by its regularisation is let go."""
    found = tuned(panel, models=("logistic",), logistic_c=1e-4, plan=replace(PLAN, trials=6))
    chosen = found.models["logistic"]
    assert chosen.loss < chosen.default_loss - 0.02
    assert chosen.params["logistic_c"] > 1e-3


def test_every_trial_is_told_and_progress_ends_at_the_total(whole):
    """Each finished trial once, and the last tick says all."""
    _, told, ticks = whole
    assert sorted((one.kind, one.number) for one in told) == [
        (k, n) for k in ("lightgbm", "logistic") for n in range(4)
    ]
    assert {one.state for one in told} <= {"complete", "pruned"}
    assert ticks[-1] == (8, 8)


def test_a_search_is_the_same_every_time_and_another_seed_is_another_search(panel, whole):
    """Equal arguments choose equal values, whatever the threads."""
    found, told, _ = whole
    again = []
    assert tuned(panel, threads=1, on_trial=again.append) == found
    assert sorted(map(repr, again)) == sorted(map(repr, told))
    other = []
    tuned(panel, seed=8, on_trial=other.append)
    assert [one.params for one in other if one.number == 2] != [one.params for one in told if one.number == 2]


def test_a_search_that_was_cut_off_ends_where_it_would_have(panel, whole):
    """Two trials, a third that never ended, then the rest: the same choices, and no finished trial is run again."""
    found, _, _ = whole
    storage = optuna.storages.InMemoryStorage()

    def study(kind):
        return memory_study(f"study {kind}", storage)

    tuned(panel, open_study=study, plan=replace(PLAN, trials=2))
    for kind in ("lightgbm", "logistic"):
        study(kind).ask(fixed_distributions=distributions(kind))
    told = []
    assert tuned(panel, open_study=study, on_trial=told.append) == found
    assert [(one.number, one.state) for one in told if one.kind == "logistic"] == [(n, "complete") for n in range(4)]
    assert len(study("logistic").trials) == 5


def test_nothing_after_the_window_is_looked_at(panel, whole):
    """Features and labels from the window's end on may be anything."""
    later = panel.bar_index >= WINDOW_END
    spoilt = replace(
        panel,
        X=np.where(later[:, None], np.float32(7.0), panel.X),
        y=np.where(panel.label_end >= WINDOW_END, 1, panel.y).astype(np.int8),
    )
    assert tuned(spoilt) == whole[0]


def test_time_ends_a_search(panel):
    """With an hour a look at the clock and one and a half to spend, there is one trial beside that of the settings."""
    hours = iter(range(0, 3600 * 10_000, 3600))
    found = tuned(
        panel, models=("logistic",), plan=replace(PLAN, trials=50, seconds=5400.0), clock=lambda: float(next(hours))
    )
    assert found.models["logistic"].complete == 2


def test_time_is_shared_alike_by_the_kinds(panel):
    """On one thread the kinds take turns; when time is over from the start each still has its settings judged."""
    minutes = iter(range(0, 60 * 10_000, 60))
    plan = replace(PLAN, trials=50, seconds=360.0)
    models = tuned(panel, threads=1, plan=plan, clock=lambda: float(next(minutes))).models
    counts = [one.complete + one.pruned for one in models.values()]
    assert 3 <= sum(counts) < 12
    assert max(counts) - min(counts) <= 1
    late = iter([0.0, *[1e9] * 99])
    models = tuned(panel, plan=plan, clock=lambda: next(late)).models
    assert [one.complete for one in models.values()] == [1, 1]


def test_an_interrupt_ends_a_search_at_once(panel):
    """Ctrl-C after the third trial: no trial is begun after it, and those that run end at their next inner split."""
    told = []

    def interrupted(trial):
        told.append(trial)
        if len(told) == 3:
            raise KeyboardInterrupt

    storage = optuna.storages.InMemoryStorage()
    with pytest.raises(KeyboardInterrupt):
        tuned(
            panel,
            plan=replace(PLAN, trials=500),
            on_trial=interrupted,
            open_study=lambda kind: memory_study(kind, storage),
        )
    begun = sum(len(storage.get_all_trials(one._study_id)) for one in storage.get_all_studies())
    assert 3 <= begun <= 5


def test_settings_outside_the_bounds_are_judged_and_kept_as_they_are(panel):
    """Where nothing is better they stay; the nearest point inside is never used in their place."""
    outside = {"logistic_c": 1e-9}
    found = tuned(panel, models=("logistic",), **outside, plan=replace(PLAN, trials=1))
    chosen = found.models["logistic"]
    assert (chosen.params, chosen.used) == (outside, False)
    assert found.used() == {}
    nearest = tuned(panel, models=("logistic",), logistic_c=1e-4, plan=replace(PLAN, trials=1))
    assert nearest.models["logistic"].loss < chosen.loss


def test_only_what_is_clearly_better_replaces_the_settings(panel, whole):
    """A gain within its own standard error over the inner splits leaves the settings."""
    for chosen in whole[0].models.values():
        assert chosen.used == (chosen.gain > chosen.gain_error)
        assert chosen.gain == pytest.approx(chosen.default_loss - chosen.loss)
    better = tuned(panel, models=("logistic",), logistic_c=1e-4, plan=replace(PLAN, trials=6))
    assert better.used() == {"logistic": better.models["logistic"].params}


def test_hopeless_trials_are_pruned_and_count(panel):
    """Among many trials some are stopped early; they are finished all the same."""
    told = []
    found = tuned(panel, models=("lightgbm",), plan=replace(PLAN, trials=14), on_trial=told.append)
    pruned = [one for one in told if one.state == "pruned"]
    assert len(pruned) == found.models["lightgbm"].pruned > 0
    assert len(told) == 14


def test_rows_are_thinned_evenly(panel):
    """Fewer rows are another search, over the same stretch."""
    assert tuned(panel, models=("logistic",), plan=replace(PLAN, max_rows=400)) != tuned(panel, models=("logistic",))


def test_a_training_uses_what_was_tuned_and_says_so():
    """Values of the first window in every window; the facts name them; the models are others than untuned ones."""
    market = planted_panel(edge=1.0, bars=2000, symbols=2)
    config, end = tiny_config(models=("logistic",), logistic_c=1e-4), FIRST + 1900
    seen = []

    def tune(panel, window, number):
        seen.append((number, int(panel.label_end[window.rows].max())))
        return tuned(made_panel(), models=("logistic",), logistic_c=1e-4, plan=replace(PLAN, trials=2))

    plain = train(market, CONTRACT, SPEC, config, train_end_index=end)
    first = train(market, CONTRACT, SPEC, config, train_end_index=end, tuning=Tuning(windows="first", tune=tune))
    assert [number for number, _ in seen] == [0]
    assert seen[0][1] < first.evaluation["folds"][0]["test_first_index"]
    (fact,) = first.evaluation["tuning"]
    assert (fact["window"], fact["kind"], fact["complete"]) == (1, "logistic", 2)
    assert plain.evaluation["tuning"] == []
    assert fact["used"]
    assert first.models[0].payload != plain.models[0].payload
    given = train(market, CONTRACT, SPEC, with_params(config, fact["params"]), train_end_index=end)
    assert first.models[0].payload == given.models[0].payload
    train(market, CONTRACT, SPEC, config, train_end_index=end, tuning=Tuning(windows="each", tune=tune))
    assert [number for number, _ in seen[1:]] == [0, 1, 2, 3]


def test_facts_are_json(whole):
    """One entry a kind, with the gain over the defaults; windows that share a tuning are told once."""
    found = whole[0]
    facts = tuning_facts([found, found])
    assert [(one["window"], one["kind"]) for one in facts] == [(1, "lightgbm"), (1, "logistic")]
    assert all(one["gain"] >= 0.0 for one in facts)
