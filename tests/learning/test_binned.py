"""Bins are made once, from the first window alone, and serve every later one."""

import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from learning.binned import BinnedPanel, row_blocks
from registry.predictors import load_predictor
from registry.scaler import Scaler
from tests.learning.fit_cases import FIRST_END, fitted, made_data, sample

TREES = ("lightgbm", "xgboost")
NO_SCALER = Scaler(columns=np.zeros(0, dtype=np.int64), mean=np.zeros(0), scale=np.zeros(0))


def split_values(part) -> np.ndarray:
    """Every threshold of a tree model, read from its own format."""
    if part.kind == "lightgbm":
        lines = re.findall(r"^threshold=(.+)$", part.payload.decode(), re.MULTILINE)
        return np.array([float(one) for line in lines for one in line.split()])
    import xgboost as xgb

    trees = xgb.Booster(model_file=bytearray(part.payload)).get_dump(dump_format="json")
    found: list[float] = []

    def walk(node):
        if "split_condition" in node:
            found.append(node["split_condition"])
            for child in node["children"]:
                walk(child)

    for tree in trees:
        walk(json.loads(tree))
    return np.array(found)


@pytest.mark.parametrize("kind", TREES)
def test_future_rows_move_no_edge_and_change_no_byte_of_the_first_model(kind):
    """Everything from the first test window on is replaced; a change of one early row would be seen."""
    data = made_data()
    first = fitted(data, kind, sample(0, 700), sample(720, FIRST_END)).part.payload
    spoilt = data.X.copy()
    spoilt[FIRST_END:] = 50.0 - 20.0 * spoilt[FIRST_END:]
    assert fitted(replace(data, X=spoilt), kind, sample(0, 700), sample(720, FIRST_END)).part.payload == first
    early = data.X.copy()
    early[:350, 0] = 1.0 - early[:350, 0]
    assert fitted(replace(data, X=early), kind, sample(0, 700), sample(720, FIRST_END)).part.payload != first


@pytest.mark.parametrize("kind", TREES)
def test_a_later_window_splits_only_at_the_first_windows_edges(kind):
    """Values ten times as wide appear later; with edges of their own, trees would split among them."""
    data = made_data(later_scale=10.0)
    fit, stop = sample(FIRST_END, 2500), sample(2520, 3000)
    shared = split_values(fitted(data, kind, fit, stop).part)
    own = split_values(fitted(replace(data, edge_rows=fit.rows), kind, fit, stop).part)
    assert shared.max() < 2.1 < own.max()  # XGBoost ends its last bin at twice the largest value, 1


def test_a_subset_is_what_lightgbm_would_have_binned_with_the_same_edges():
    """The shared data set gives the model of a data set made for this window alone."""
    import lightgbm as lgb

    data = made_data()
    binned, rows = BinnedPanel(data), sample(100, 1500)
    part = binned.lightgbm(rows)
    direct = lgb.Dataset(
        data.X[rows.rows],
        label=data.y[rows.rows],
        weight=rows.weight,
        reference=binned.lightgbm(rows),
        params=part.params,
    )
    params = {**part.params, "objective": "multiclass", "num_class": 3, "min_data_in_leaf": 20, "deterministic": True}
    trees = [lgb.train(params, one, num_boost_round=5).model_to_string() for one in (part, direct)]
    assert trees[0] == trees[1]


def test_a_column_first_missing_after_the_first_window_is_still_read_as_missing():
    """LightGBM would otherwise take a missing value for zero, because it saw none when edges were set."""
    data = made_data()
    y = np.where(np.isnan(data.X[:, 4]), 1, data.y * 2 % 4).astype(np.int8)
    X = data.X.copy()
    X[:FIRST_END, 4] -= 0.5
    X[FIRST_END:, 4] -= np.float32(0.5)
    part = fitted(replace(data, X=X, y=y), "lightgbm", sample(FIRST_END, 2500), sample(2520, 3000)).part
    row = np.full((2, 5), 0.5, dtype=np.float32)
    row[:, 4] = (np.nan, 0.0)
    p = load_predictor(part, NO_SCALER, 5).predict(row)
    assert p[0, 1] > 0.6 > 0.4 > p[1, 1]


def test_rows_that_were_not_named_are_refused():
    """A sample may only hold rows the panel was binned for: another row's bins would be taken for its own."""
    data = replace(made_data(), rows=np.arange(0, 3000, 2))
    with pytest.raises(ValueError, match="rows that were not named"):
        BinnedPanel(data).lightgbm(sample(0, 10))
    BinnedPanel(data).lightgbm(replace(sample(0, 10), rows=np.arange(0, 20, 2)))


@pytest.mark.parametrize("kind", TREES)
def test_another_process_would_bin_the_same(kind):
    """A panel that was sent carries its data only, and fits the same bytes."""
    from learning.fold_models import one_blas_thread
    from learning.trainers import fit_model
    from tests.learning.planted import tiny_config

    binned = BinnedPanel(made_data())
    arguments = (kind, sample(0, 1500), sample(1520, 2000))
    with one_blas_thread():
        here = fit_model(binned, *arguments, scaler=NO_SCALER, config=tiny_config())
        there = fit_model(pickle.loads(pickle.dumps(binned)), *arguments, scaler=NO_SCALER, config=tiny_config())
    assert here.part.payload == there.part.payload


def test_blocks_are_the_rows_and_neighbours_are_not_copied():
    """Together the blocks are ``X[rows]``; a block of consecutive rows is a view."""
    X = np.arange(60, dtype=np.float32).reshape(20, 3)
    rows = np.array([0, 1, 2, 3, 7, 9, 11, 12, 13, 14])
    blocks = list(row_blocks(X, rows, 4))
    np.testing.assert_array_equal(np.concatenate(blocks), X[rows])
    assert [np.shares_memory(block, X) for block in blocks] == [True, False, True]
