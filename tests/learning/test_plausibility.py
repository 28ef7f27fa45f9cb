"""The numbers that say whether a result is too good to be true."""

from dataclasses import asdict

import numpy as np
import pytest

from learning.plausibility import Plausibility, leading_feature, plausibility, restored_plausibility
from learning.training import train
from tests.learning.planted import CONTRACT, FIRST, NAMES, SPEC, planted_panel, tiny_config


def test_the_leading_feature_leads_in_every_window():
    """One that carries a single window does not lead; a window in which nothing was learnt leaves nobody leading."""
    alone = np.array([[0.95, 0.05], [0.02, 0.98], [0.5, 0.5]])
    assert leading_feature(alone) == (1, 0.05)
    assert leading_feature(np.array([[0.0, 1.0], [0.1, 0.9]])) == (1, 0.9)
    assert leading_feature(np.array([[0.0, 1.0], [0.0, 0.0]]))[1] == 0.0


def test_it_comes_back_from_json_as_it_was():
    """Null is NaN again and fails its gate; a training that did not measure it has nothing."""
    found = Plausibility(
        skill_share=0.03, seen_share=0.1, overfit_gap=0.07, importance_share=0.4, importance_feature="roc"
    )
    assert restored_plausibility(asdict(found)) == found
    assert np.isnan(restored_plausibility({**asdict(found), "overfit_gap": None}).overfit_gap)
    assert restored_plausibility(None) is None
    with pytest.raises(TypeError):
        restored_plausibility({"skill_share": 0.03})


def test_where_one_side_is_open_it_is_measured_on_that_question():
    """In meta mode the closed side has probability zero on seen rows as on unseen ones."""
    panel = planted_panel(edge=1.0, mode="meta")
    result = train(panel, CONTRACT, SPEC, tiny_config(threads=1), train_end_index=FIRST + 2800)
    found = plausibility(result, panel, names=NAMES)
    assert 0.0 < found.skill_share < 1.0
    assert abs(found.overfit_gap) < 0.2
    assert found.importance_feature == "hint"
