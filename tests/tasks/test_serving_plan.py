"""What is served under which settings?"""

import pytest

from infra.settings import load_settings
from tasks.serving_plan import drift_block_hours


@pytest.mark.parametrize(
    ("mode", "block", "hours"),
    [
        ("observe", "live", None),
        ("paper", "live", None),
        ("live", "live", 48),
        ("paper", "always", 48),
        ("live", "never", None),
    ],
)
def test_by_default_drift_blocks_in_live_mode_alone(tmp_path, mode, block, hours):
    """In observe and paper nothing is at stake, and what would have been said is worth seeing."""
    environ = {"LOCKSTEP_SERVING__MODE": mode}
    if block != "live":
        environ["LOCKSTEP_SERVING__DRIFT_BLOCK"] = block
    serving = load_settings(tmp_path, environ=environ).serving
    assert drift_block_hours(serving, run="live") == hours
    assert drift_block_hours(serving, run="replay") is None
