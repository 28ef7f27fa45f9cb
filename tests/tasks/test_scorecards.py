"""Scorecards of a home: which bundle is meant, and a diagram that is a picture."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from infra.bootstrap import App
from infra.database import open_database
from infra.lake import Lake
from infra.settings import load_settings
from learning.scorecard import forecast_scores, trade_scores
from market.errors import LockstepError
from market.timeframe import DAY_MS
from tasks.scorecards import make_scorecards, write_reliability
from tests.tasks.ramp_life import Life


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A migrated database of this module's own."""
    with open_database(load_settings(tmp_path_factory.mktemp("scores"), environ={})) as opened:
        yield opened


@pytest.fixture
def life(shared_engine: Engine, tmp_path: Path) -> Life:
    """Two bundles that predicted, whose files are nowhere."""
    settings = load_settings(tmp_path, environ={})
    made = Life(app=App(settings=settings, engine=shared_engine, lake=Lake(tmp_path / "lake", settle_delay_ms=5000)))
    made.clear()
    for letter in "ab":
        made.champion(letter)
        made.serve(1)
    return made


@pytest.mark.integration
def test_one_bundle_or_all_and_an_ambiguous_one_is_refused(life: Life) -> None:
    """By the beginning of its hash; the window is the newest days."""
    found = make_scorecards(life.app, bundle=None, days=2, now_ms=life.now_ms)
    assert [one["bundle_hash"][0] for one in found["bundles"]] == ["b", "a"]
    assert found["until_ms"] - found["since_ms"] == 2 * DAY_MS
    (one,) = make_scorecards(life.app, bundle="aaa", days=2, now_ms=life.now_ms)["bundles"]
    assert (one["trades"]["trades"], one["trades"]["verdict"]) == (12, "unknown")
    for wrong, many in (("", 2), ("x", 0)):
        with pytest.raises(LockstepError, match=f"{many} bundles of lockstep begin with"):
            make_scorecards(life.app, bundle=wrong, days=2, now_ms=life.now_ms)


@pytest.mark.parametrize("rows", [0, 50])
def test_the_diagram_is_a_picture(tmp_path: Path, rows: int) -> None:
    """Also where nothing was resolved."""
    p = np.random.default_rng(1).dirichlet((2, 1, 1), size=rows)
    card = {
        "version": 1,
        "bundle_hash": "b" * 64,
        "forecasts": [asdict(forecast_scores("ensemble", p, np.zeros(rows, int), np.zeros(rows, int), independent=0))],
        "trades": asdict(trade_scores(np.zeros(0), np.zeros(0), independent=0, unresolved=0)),
    }
    write_reliability({"bundles": [card]}, tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
