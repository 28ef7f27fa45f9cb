"""What is stored as JSON can be judged later as it was measured."""

import json

import numpy as np

from infra.settings import load_settings
from learning.shadow import ShadowEvidence
from tasks.deciding import profile_of
from tasks.shadow_evidence import restored_skill
from tasks.training_evidence import json_ready


def test_no_number_that_json_lacks_is_stored():
    """NaN and infinities become null at any depth; everything else stays."""
    given = {"a": np.nan, "b": {"c": [1.5, float("inf"), (float("-inf"), "x")]}, "d": None, "e": True, "f": 3}
    ready = json_ready(given)
    assert ready == {"a": None, "b": {"c": [1.5, None, [None, "x"]]}, "d": None, "e": True, "f": 3}
    assert json.loads(json.dumps(ready, allow_nan=False)) == ready


def test_skill_comes_back_from_json_as_it_was():
    """Nulls are NaN again, so that a gate which could not measure fails instead of passing."""
    names = ShadowEvidence.__dataclass_fields__
    stored = {name: None if k == 3 else k for k, name in enumerate(names)}
    found = restored_skill(stored)
    assert [getattr(found, name) for k, name in enumerate(names) if k != 3] == [k for k in range(len(names)) if k != 3]
    assert np.isnan(getattr(found, list(names)[3]))


def test_settings_replace_single_thresholds_of_the_profile(tmp_path):
    """In paper also those of the shadow run; strict keeps its own there."""
    given = {"gates.min_sharpe": 2.5, "gates.max_pbo": 0.1, "shadow.min_resolved": 7, "data.min_coverage": 0.9}
    paper = profile_of(load_settings(tmp_path, environ={}, overrides=given))
    assert [paper.threshold(name) for name in ("walk_forward_sharpe_min", "shadow_sharpe_min")] == [2.5, 2.5]
    assert [paper.threshold(name) for name in ("pbo_max", "shadow_resolved_min", "coverage_min")] == [0.1, 7, 0.9]
    strict = profile_of(load_settings(tmp_path, environ={}, overrides=given | {"gates.profile": "strict"}))
    assert strict.threshold("shadow_resolved_min") == 300
    assert profile_of(load_settings(tmp_path, environ={})).threshold("walk_forward_sharpe_min") == 0.0
