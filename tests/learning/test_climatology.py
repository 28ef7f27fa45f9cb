"""Class shares as a forecast: by open sides, from training rows alone."""

from dataclasses import asdict

import numpy as np

from learning.climatology import Climatology, class_shares

Y = np.array([0, 1, 1, 2, 0, -1, 2, 0], dtype=np.int8)
SIDES = np.array([[1, 1], [1, 0], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)


def test_class_shares_leave_unresolved_rows_out():
    """Shares of HOLD, BUY, SELL among rows that have a class."""
    assert class_shares(np.array([0, 1, 1, 2, -1], dtype=np.int8)).tolist() == [0.25, 0.5, 0.25]


def test_each_question_has_its_own_shares():
    """Of three resolved longs two paid, of three shorts two paid, and the open row was a HOLD."""
    found = Climatology.of(Y, SIDES)
    assert found.both == (1.0, 0.0, 0.0)
    np.testing.assert_allclose(found.long, (1 / 3, 2 / 3, 0))
    np.testing.assert_allclose(found.short, (1 / 3, 0, 2 / 3))


def test_forecasts_follow_the_open_sides_and_survive_json():
    """A row without a side is HOLD; what was sealed forecasts the same."""
    found = Climatology.of(Y, SIDES)
    asked = np.array([[True, False], [False, True], [False, False], [True, True]])
    forecast = Climatology.from_values(asdict(found)).forecast(asked)
    np.testing.assert_array_equal(forecast, [found.long, found.short, (1.0, 0.0, 0.0), found.both])


def test_in_direction_mode_every_row_gets_the_class_shares():
    """Both sides open everywhere: one forecast, that of all rows."""
    forecast = Climatology.of(Y, np.ones((8, 2), dtype=bool)).forecast(np.ones((2, 2), dtype=bool))
    np.testing.assert_array_equal(forecast, [class_shares(Y)] * 2)
