"""History is divided in one place, without overlap, or refused with the days that are missing."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import load_settings
from learning.config import TrainingConfig
from learning.errors import EnsembleError
from learning.walk_forward import WalkForward, fewest_test_bars, walk_forward
from market.errors import LockstepError
from registry.policy import DecisionPolicy
from tasks.plan import (
    NotEnoughHistoryError,
    barrier_spec,
    config_facts,
    contract_of,
    plan_stretches,
    training_config,
)

PER_DAY = 288
ROOT = Path(__file__).resolve().parents[2]


def settings(**values):
    """Settings with these overrides, from no environment."""
    return load_settings(Path("/nowhere"), environ={}, overrides={k.replace("__", "."): v for k, v in values.items()})


@given(
    first=st.integers(0, 10_000_000),
    days=st.integers(1, 400),
    shadow=st.integers(1, 30),
    serve=st.integers(1, 10),
    train=st.integers(1, 60),
)
def test_stretches_meet_without_overlap_or_hole(first, days, shadow, serve, train):
    """Every bar belongs to one stretch; what is judged and served is as long as was asked; too little is refused."""
    found = settings(
        shadow__shadow_days=shadow, shadow__serve_days=serve, training__min_train_days=train, training__folds=2
    )
    needed = 1152 + train * PER_DAY + 2 * (2 * 48)
    end = first + days * PER_DAY
    if days * PER_DAY - (shadow + serve) * PER_DAY < needed:
        with pytest.raises(NotEnoughHistoryError):
            plan_stretches(first=first, end=end, settings=found)
        return
    plan = plan_stretches(first=first, end=end, settings=found)
    assert plan.first == first
    assert plan.shadow_end - plan.train_end == shadow * PER_DAY
    assert plan.serve_end - plan.shadow_end == serve * PER_DAY
    assert plan.serve_end == end
    assert plan.train_end - plan.first >= needed


def test_no_more_days_train_than_are_allowed():
    """Newest days only; the stretches after them stay; a limit that leaves too little is refused and named."""
    whole = plan_stretches(first=0, end=100 * PER_DAY, settings=settings())
    few = plan_stretches(first=0, end=100 * PER_DAY, settings=settings(training__max_days=40))
    assert (few.train_end, few.shadow_end, few.serve_end) == (whole.train_end, whole.shadow_end, whole.serve_end)
    assert few.first == few.train_end - 40 * PER_DAY
    assert plan_stretches(first=0, end=100 * PER_DAY, settings=settings(training__max_days=99)).first == whole.first
    with pytest.raises(NotEnoughHistoryError, match=r"training\.max_days"):
        plan_stretches(first=0, end=100 * PER_DAY, settings=settings(training__max_days=5))


def test_the_days_that_are_missing_are_enough():
    """With as many more as the message names, the plan succeeds; with one fewer it does not."""
    found = settings()
    with pytest.raises(NotEnoughHistoryError, match=r"10\.0 days of history.*backfill (\d+) more days") as refused:
        plan_stretches(first=0, end=10 * PER_DAY, settings=found)
    missing = int(refused.value.remedy.split()[1])
    plan_stretches(first=0, end=(10 + missing) * PER_DAY, settings=found)
    with pytest.raises(NotEnoughHistoryError):
        plan_stretches(first=0, end=(10 + missing - 1) * PER_DAY, settings=found)


@pytest.mark.parametrize("horizon", [48, 900])
def test_what_the_plan_grants_walk_forward_can_cut(horizon):
    """The fewest days that are accepted hold every fold: the message never sends for days that turn out too few."""
    found = settings(labels__horizon_bars=horizon)
    days = next(days for days in range(20, 200) if _accepted(days, found))
    plan = plan_stretches(first=0, end=days * PER_DAY, settings=found)
    bars = np.arange(plan.first + 1152, plan.train_end)
    folds = WalkForward(folds=5, min_train_bars=20 * PER_DAY, min_test_bars=fewest_test_bars(horizon))
    cut = walk_forward(bars, bars + 1, trainable=np.ones(bars.size, bool), end_index=plan.train_end, plan=folds)
    assert len(cut) == 5


def test_newest_days_need_no_warm_up_of_their_own():
    """Bars before the newest days warm the features up, so the days themselves need not."""
    plan = plan_stretches(first=0, end=100 * PER_DAY, settings=settings(training__max_days=22))
    assert plan.first == plan.train_end - 22 * PER_DAY
    with pytest.raises(NotEnoughHistoryError):
        plan_stretches(first=0, end=38 * PER_DAY, settings=settings(training__max_days=22))


def test_a_quorum_that_cannot_be_is_refused():
    """More healthy models than there are models would train a bundle that never acts."""
    with pytest.raises(LockstepError, match=r"min_healthy is 4, but 3 models"):
        training_config(settings(decision__min_healthy=4))
    assert training_config(settings(decision__min_healthy=3)).policy.min_healthy == 3


def _accepted(days, found):
    try:
        plan_stretches(first=0, end=days * PER_DAY, settings=found)
    except NotEnoughHistoryError:
        return False
    return True


def test_every_number_that_shapes_a_training_is_in_its_facts():
    """Two settings that train differently never share an identity; threads and serving do not count."""
    base = config_facts(settings(training__threads=1))
    for changed in (
        {"training__seed": 8},
        {"training__lightgbm_trees": 7},
        {"training__decay_half_life_days": 30.0},
        {"training__class_balance": "balanced"},
        {"training__device": "cuda"},
        {"ensemble__rule": "fixed"},
        {"labels__horizon_bars": 24},
        {"labels__taker_fee_bps": 4.0},
        {"features__warmup_bars": 1200},
        {"features__reference_symbol": "ETHUSDT"},
        {"decision__max_positions": 4},
    ):
        assert config_facts(settings(training__threads=1, **changed)) != base, changed
    assert config_facts(settings(training__threads=1, serving__max_age_bars=9)) == base


def test_settings_become_the_values_of_the_rooms_below():
    """Units are converted once, here."""
    found = settings(training__min_train_days=3, labels__horizon_bars=24, data__timeframe="1h", training__threads=2)
    config = training_config(found)
    assert (config.min_train_bars, config.threads, config.policy.horizon_bars) == (3 * 24, 2, 24)
    assert config.policy.thresholds == (1.0, 1.0)
    assert barrier_spec(found).horizon_bars == 24
    assert contract_of(found).timeframe_ms == 3_600_000


def test_the_defaults_of_training_are_written_once():
    """A default setting gives the configuration's own default, so the two cannot drift apart."""
    config = training_config(settings())
    plain = TrainingConfig(policy=config.policy, min_train_bars=config.min_train_bars, threads=config.threads)
    assert config == plain


def test_decision_thresholds_stand_in_the_settings_and_the_policy_only():
    """Both say the same, and no other code that decides or judges holds a share or confidence of its own."""
    policy = training_config(settings()).policy
    assert policy == DecisionPolicy(thresholds=(1.0, 1.0), horizon_bars=policy.horizon_bars)
    rooms = [ROOT / "learning" / f"{name}.py" for name in ("backtest", "combination", "thresholds", "evaluation")]
    for path in [*(ROOT / "serving").glob("*.py"), *rooms]:
        numbers = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not numbers & {0.4, 0.55, 0.6, 0.65, 0.7, 0.75, 0.85}, path


def test_ensemble_settings_are_refused_before_anything_is_read():
    """Fixed weights of 208 % never reach a training."""
    wrong = settings(ensemble__fixed_weights="xgboost=0.98, lightgbm=1.1")
    with pytest.raises(EnsembleError, match="sum to 208 %"):
        training_config(wrong)
