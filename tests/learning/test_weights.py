"""Uniqueness weights against the definition, bar by bar."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.fold_models import window_weights
from learning.weights import average_uniqueness, class_weights, effective_rows, time_decay, uniqueness_weights
from tests.learning.planted import planted_panel, tiny_config


def oracle(symbol_id, bar_index, label_end):
    """Lopez de Prado's definition with plain loops."""
    spans = [(s, set(range(b + 1, e + 1))) for s, b, e in zip(symbol_id, bar_index, label_end, strict=True)]
    return [
        np.mean([1.0 / sum(other == s and bar in theirs for other, theirs in spans) for bar in mine])
        for s, mine in spans
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_uniqueness_equals_the_definition(rows):
    """The cumulative sums give what counting every bar of every label gives."""
    symbol_id, bar_index, length = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    found = average_uniqueness(symbol_id, bar_index, bar_index + length)
    np.testing.assert_allclose(found, oracle(symbol_id, bar_index, bar_index + length), rtol=1e-12)


def test_labels_of_other_symbols_do_not_share_bars():
    """Two symbols at the same time are two observations."""
    found = average_uniqueness(np.array([0, 1]), np.array([5, 5]), np.array([9, 9]))
    assert found.tolist() == [1.0, 1.0]


def test_weights_have_mean_one_and_favour_lonely_labels():
    """A label alone weighs more than one in a crowd, and the sum stays the number of rows."""
    weights = uniqueness_weights(np.zeros(4, dtype=int), np.array([0, 1, 2, 50]), np.array([12, 13, 14, 62]))
    assert np.isclose(weights.mean(), 1.0)
    assert weights[3] > 2.0 * weights[1]


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=30), st.floats(0.5, 3000.0))
def test_decay_halves_every_half_life(bars, half_life):
    """Row by row: one half to the power of its age in half-lives."""
    found = time_decay(np.array(bars), half_life_bars=half_life)
    np.testing.assert_allclose(found, [0.5 ** ((max(bars) - bar) / half_life) for bar in bars], rtol=1e-12)


def test_no_half_life_is_no_decay():
    """Zero leaves every row as it is."""
    assert time_decay(np.array([1, 9000]), half_life_bars=0.0).tolist() == [1.0, 1.0]


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.01, 5.0)), min_size=1, max_size=40))
def test_balanced_classes_weigh_the_same_in_sum(rows):
    """Every class sums to a third of the whole, and the whole stays what it was."""
    pairs = [*rows, (0, 1.0), (1, 1.0), (2, 1.0)]
    y, weight = np.array([one for one, _ in pairs]), np.array([one for _, one in pairs])
    balanced = weight * class_weights(y, weight)[y]
    sums = [balanced[y == k].sum() for k in range(3)]
    np.testing.assert_allclose(sums, np.full(3, weight.sum() / 3.0))


@given(st.lists(st.floats(0.01, 10.0), min_size=1, max_size=30))
def test_effective_rows_are_kishs(weights):
    """Plain sums; never more than the rows, and as many where all weigh the same."""
    assert effective_rows(np.array(weights)) == pytest.approx(sum(weights) ** 2 / sum(one * one for one in weights))
    assert effective_rows(np.array(weights)) <= len(weights) * (1 + 1e-12)
    assert effective_rows(np.full(len(weights), 0.7)) == pytest.approx(len(weights))


def test_a_windows_weights_are_the_product_of_all_three():
    """Uniqueness times decay times class balance by plain loops, mean 1; the effective size is that of uniqueness."""
    panel = planted_panel(bars=400)
    rows = np.flatnonzero((panel.y >= 0) & (panel.bar_index % 3 == 0))
    found = window_weights(panel, rows, tiny_config(decay_half_life_bars=96.0, class_balance="balanced"))
    unique = average_uniqueness(panel.symbol_id[rows], panel.bar_index[rows], panel.label_end[rows])
    base = [
        u * 0.5 ** ((panel.bar_index[rows].max() - b) / 96.0)
        for u, b in zip(unique, panel.bar_index[rows], strict=True)
    ]
    sums = [sum(w for w, k in zip(base, panel.y[rows], strict=True) if k == label) for label in range(3)]
    plain = np.array([w / sums[k] for w, k in zip(base, panel.y[rows], strict=True)])
    np.testing.assert_allclose(found.weight, plain / plain.mean())
    assert found.unique_rows == pytest.approx(unique.sum())
    even = window_weights(panel, rows, tiny_config())
    np.testing.assert_allclose(even.weight, unique / unique.mean())
    assert even.class_weight.tolist() == [1.0, 1.0, 1.0]
