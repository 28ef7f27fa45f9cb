"""Faults of audited trainings that no other test covers, and the page that says which test covers which."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from learning.metrics import log_loss_rows
from learning.walk_forward import split_by_time
from tests.learning.honest_runs import edge_market, judge, noise_market, trained

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "honesty.md"
NAMED = re.compile(r"`((?:[a-z_]+/)+test_[a-z_]+\.py)::(test_[a-z0-9_]+)`")


def test_trees_keep_their_best_round_and_not_their_last():
    """Of the rounds that were kept none is worse than one before it on the later slice (F29)."""
    one = edge_market(0)
    changes = {"lightgbm_trees": 120, "lightgbm_leaves": 31, "learning_rate": 0.3, "early_stopping_rounds": 40}
    result = trained(one.panel, models=("lightgbm", "logistic"), **changes)
    rounds = result.evaluation["final"]["rounds"]["lightgbm"]
    booster = lgb.Booster(model_str=result.models[0].payload.decode())
    assert booster.num_trees() == 3 * rounds < 3 * 120
    rows = result.training_rows
    _, later = split_by_time(one.panel.bar_index[rows], one.panel.label_end[rows], later_share=0.15)
    X, y = one.panel.X[rows[later]], one.panel.y[rows[later]]
    losses = [log_loss_rows(booster.predict(X, num_iteration=k), y).mean() for k in range(1, rounds + 1)]
    assert losses[-1] <= min(losses) + 1e-3


def test_a_class_that_comes_often_is_no_reason_to_trade():
    """Where six of ten longs win a little and four lose more, nobody buys for the odds alone (F23)."""
    panel = noise_market(0).panel
    rng = np.random.default_rng(4)
    luck = rng.random(len(panel))
    known = panel.y >= 0
    y = np.where(luck < 0.6, 1, np.where(luck < 0.8, 2, 0)).astype(np.int8)
    long = np.where(luck < 0.6, 0.001, -0.005)
    short = np.where((luck >= 0.6) & (luck < 0.8), 0.001, -0.005)
    often = replace(
        panel, y=np.where(known, y, panel.y), net=np.where(known[:, None], np.stack([long, short], axis=1), panel.net)
    )
    one = judge(often)
    facts = one.result.evaluation
    assert facts["mean_probabilities"][1] == pytest.approx(0.6, abs=0.03)
    assert one.result.policy.thresholds[0] > facts["class_shares"][1], "a threshold below the prior would buy always"
    assert len(one.result.trades) < 0.05 * facts["scored"]["decisions"]
    assert {"class_share_max", "skill_climatology_min", "deflated_sharpe_min"} <= one.failed


def test_every_fault_has_a_test_that_exists():
    """The page names each fault from F22 to F40, and every test it names is in the file it names."""
    text = PAGE.read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if re.match(r"\| F\d\d ", line)}
    assert list(rows) == [f"F{number}" for number in range(22, 41)]
    for fault, row in rows.items():
        assert NAMED.search(row), f"{fault} names no test"
    named = NAMED.findall(text)
    missing = [f"{file}::{name}" for file, name in named if name not in names_in(file)]
    assert missing == []
    assert len(set(named)) > 40


def names_in(file: str) -> set[str]:
    """Names of the tests in a file below ``tests/``; none where there is no such file."""
    path = ROOT / "tests" / file
    if not path.is_file():
        return set()
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_a_test_that_is_not_there_would_be_missed():
    """The search can fail: another name, and another file."""
    assert "test_trees_keep_their_best_round_and_not_their_last" in names_in("learning/test_honesty_audit.py")
    assert "test_that_is_not_there" not in names_in("learning/test_honesty_audit.py")
    assert names_in("learning/test_no_such_file.py") == set()
