"""How two versions look side by side, and what ``lockstep status`` says of the registry."""

import io

import pytest
from rich.console import Console

from cli.models_diff import _rows
from cli.output import table
from cli.status import _registry

FOUND = {
    "versions": [1, 2],
    "same": False,
    "bundle_hash": ["a" * 64, "b" * 64],
    "contract": {"max_filled": [12, 3]},
    "features": {"added": ["new_one"], "removed": ["old_one"], "reordered": False},
    "label_spec": {},
    "events": {"mode": ["direction", "meta"]},
    "policy": {"thresholds": [[0.4, 0.4], [0.5, 0.4]]},
    "models": {"logistic": {"kind": ["logistic", None], "weight": [0.25, None]}},
    "metrics": {"ensemble": {"log_loss": [1.0, 0.98]}},
    "settings": {"training.folds": [5, 3]},
    "facts": {"symbols": [["A", "B"], ["B", "C"]], "commit": ["x" * 60, None]},
}


def test_each_difference_is_a_row_under_its_section():
    """Numbers with their change, lists with what came and went, long words cut."""
    rows = list(_rows(FOUND))
    assert ("features", "added", "", "new_one", "") in rows
    assert ("", "removed", "old_one", "", "") in rows
    assert ("contract", "max_filled", "12", "3", "-9") in rows
    assert ("events", "mode", "direction", "meta", "") in rows
    assert ("facts", "symbols", "2 items", "2 items", "-A +C") in rows
    assert ("weights", "logistic", "0.25", "-", "") in rows
    assert ("out of fold", "ensemble log_loss", "1", "0.98", "-0.02") in rows
    assert not any(row[0] == "label spec" for row in rows)
    assert max(len(cell) for row in rows for cell in row) <= 40
    written = io.StringIO()
    Console(file=written, width=140).print(table("t", ("", "", "1", "2", "change"), rows))
    assert "new_one" in written.getvalue()


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (None, "not looked at yet"),
        ({"cause": "ok", "detail": "", "note": "", "age_s": 120}, "as it should be (looked 2 min ago)"),
        ({"cause": "ok", "detail": "", "note": "it was deleted", "age_s": 60}, "it was deleted (looked 1 min ago)"),
        (
            {"cause": "bundle_refused", "detail": "version 4 is not taken over", "note": "", "age_s": 60},
            "bundle_refused: version 4 is not taken over (looked 1 min ago)",
        ),
    ],
)
def test_status_tells_what_the_last_look_found(look, told):
    """With its age: it may be long ago."""
    assert _registry(look) == told
