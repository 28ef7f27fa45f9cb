"""Probabilities where only one side may be taken."""

import numpy as np

from registry.sides import restrict_to_sides

P = np.array([[[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0], [np.nan] * 3]])
SIDES = np.array([[True, True], [True, False], [False, False], [True, False], [False, True]])


def test_the_closed_side_is_taken_out_and_the_rest_sums_to_one():
    """Both open: untouched. One open: its share of what remains. None open, or nothing left: HOLD. NaN stays NaN."""
    found = restrict_to_sides(P, SIDES)[0]
    assert found[0].tolist() == [0.5, 0.3, 0.2]
    np.testing.assert_allclose(found[1], [0.5, 0.5, 0.0])
    assert found[2].tolist() == [1.0, 0.0, 0.0]
    assert found[3].tolist() == [1.0, 0.0, 0.0]
    assert np.isnan(found[4]).any()


def test_open_sides_change_no_bit():
    """In mode direction the very array comes back, and a row's bits do not depend on its company."""
    assert restrict_to_sides(P, np.ones((5, 2), dtype=bool)) is P
    alone = restrict_to_sides(P[:, 1:2], SIDES[1:2])
    assert alone[0, 0].tobytes() == restrict_to_sides(P, SIDES)[0, 1].tobytes()
