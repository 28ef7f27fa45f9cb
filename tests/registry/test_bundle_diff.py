"""Two bundles side by side."""

import json
from dataclasses import replace

import numpy as np
import pytest

from registry.bundle import LoadedBundle, load_bundle
from registry.bundle_diff import bundle_diff
from tests.registry.made_bundles import Sealed


@pytest.fixture
def first(sealed: Sealed) -> LoadedBundle:
    return load_bundle(sealed.directory, expected_hash=sealed.hash)


def test_a_bundle_does_not_differ_from_itself(first: LoadedBundle) -> None:
    """Only weights and scores are told, side by side."""
    found = bundle_diff(first, first)
    assert found["same"]
    assert found["features"] == {"added": [], "removed": [], "reordered": False}
    assert [found[name] for name in ("contract", "label_spec", "events", "policy", "settings", "facts")] == [{}] * 6
    assert found["models"]["xgboost"] == {"kind": ["xgboost", "xgboost"], "weight": [0.35, 0.35]}
    json.dumps(found)


def test_every_difference_is_a_pair_with_its_name(first: LoadedBundle) -> None:
    """Features, costs, thresholds, rule, weights, scores, settings and facts; in their places and nowhere else."""
    names = first.contract.names
    second = replace(
        first,
        hash="f" * 64,
        contract=replace(first.contract, names=(*names[2:], names[0], "new_one"), max_filled=3),
        label_spec=replace(first.label_spec, costs=replace(first.label_spec.costs, taker_fee_bps=9.0)),
        policy=replace(first.policy, thresholds=(0.5, 0.4)),
        events=replace(first.events, mode="meta"),
        weights=np.array([0.5, 0.5]),
        model_names=first.model_names[:2],
        predictors=first.predictors[:2],
        facts={
            **first.facts,
            "seed": 99,
            "config": {"training": {"folds": 3}},
            "metrics": {"log_loss": 0.9, "lightgbm": {"log_loss": 1.0, "sharpe": 2.0}},
        },
    )
    first = replace(first, facts={**first.facts, "config": {"training": {"folds": 5, "gap_bars": 1}}, "metrics": {}})
    found = bundle_diff(first, second)
    assert not found["same"]
    assert found["features"] == {"added": ["new_one"], "removed": [names[1]], "reordered": True}
    assert found["contract"] == {"max_filled": [first.contract.max_filled, 3]}
    assert found["label_spec"] == {"costs.taker_fee_bps": [first.label_spec.costs.taker_fee_bps, 9.0]}
    assert found["policy"] == {"thresholds": [[0.4, 0.4], [0.5, 0.4]]}
    assert found["events"] == {"mode": ["direction", "meta"]}
    assert found["settings"] == {"training.folds": [5, 3], "training.gap_bars": [1, None]}
    assert found["facts"] == {"seed": [first.facts["seed"], 99]}
    assert found["models"]["logistic"] == {"kind": ["logistic", None], "weight": [0.25, None]}
    assert found["metrics"] == {
        "ensemble": {"log_loss": [None, 0.9]},
        "lightgbm": {"log_loss": [None, 1.0], "sharpe": [None, 2.0]},
    }
