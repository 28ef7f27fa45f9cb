"""What the capital ramp leaves of a signal."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from infra.settings_ramp import RampSettings
from serving.capital import capital_cause, with_capital
from serving.ramp import Stage
from serving.records import BarRecord, SignalRow

PLAN = SimpleNamespace(ramp=RampSettings(capital_10_positions=2, capital_25_positions=3))


def signal(symbol: str, *, action: int = 1, confidence: float = 0.5) -> SignalRow:
    """A signal of size .04, or none."""
    return SignalRow(
        model_name="m",
        symbol=symbol,
        bar_ms=0,
        state="FULL",
        reason="ok",
        action=action,
        confidence=confidence if action else None,
        size=0.04 if action else None,
        bundle_hash="b",
        version=1,
        run="live",
        steps='{"step":"TAKEN"}' if action else '{"step":"NO_VOTE"}',
    )


def champion(said: int):
    """A seat with so many positions that were said, those of this bar included."""
    state = SimpleNamespace(said=np.array([0.01] * said + [0.0] * 3))
    return [SimpleNamespace(role="champion", state=state), SimpleNamespace(role="challenger", state=state)]


@pytest.mark.parametrize(
    ("stage", "cause", "size"),
    [
        (Stage.OBSERVE, "no_capital", None),
        (Stage.PAPER, "no_capital", None),
        (Stage.CAPITAL_10, "ok", 0.004),
        (Stage.CAPITAL_25, "ok", 0.01),
        (Stage.CAPITAL_FULL, "ok", 0.04),
    ],
)
def test_sizes_are_the_stages_share(stage, cause, size):
    """Ten, twenty-five, a hundred per cent; without capital nothing is said and the cause is named."""
    assert capital_cause(stage) == cause
    record = BarRecord(bar_ms=0, signals=(signal("A"), signal("B", action=0)))
    acting, holding = with_capital(record, PLAN, stage, champion(1)).signals
    assert acting.size == (None if size is None else pytest.approx(size))
    assert (acting.action == 0) == (size is None)
    assert json.loads(acting.steps)["capital"] == stage.value
    assert holding is record.signals[1]


def test_no_more_positions_than_the_stage_allows_and_the_confident_come_first():
    """Two at a tenth: with one open from before, one more; the other keeps its paper trade and says nothing."""
    rows = (signal("A", confidence=0.5), signal("B", confidence=0.9), signal("C", confidence=0.7))
    record = BarRecord(bar_ms=0, signals=rows)
    found = with_capital(record, PLAN, Stage.CAPITAL_10, champion(1 + 3)).signals
    assert [row.action for row in found] == [0, 1, 0]
    assert [json.loads(row.steps)["step"] for row in found] == ["CAPITAL", "TAKEN", "CAPITAL"]
    full = with_capital(record, PLAN, Stage.CAPITAL_FULL, champion(30)).signals
    assert [row.action for row in full] == [1, 1, 1]


def test_where_nothing_is_ramped_the_bar_is_untouched():
    """Observe and paper mode, and replays: no stage, no share."""
    record = BarRecord(bar_ms=0, signals=(signal("A"),))
    assert with_capital(record, SimpleNamespace(ramp=None), None, champion(0)) is record
    assert capital_cause(None) == "ok"
