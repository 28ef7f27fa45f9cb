"""Uniqueness weights against the definition, bar by bar."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.weights import average_uniqueness, uniqueness_weights


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
