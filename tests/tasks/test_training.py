"""What identifies a training is everything it reads."""

import os

import pytest
from sqlalchemy import select

from infra.bootstrap import open_app
from infra.tables import training_runs
from registry.errors import BundleError
from tasks.stores import bundle_cache, model_store
from tasks.training import train_and_register, training_request


def test_the_snapshot_of_the_newest_days_holds_what_warms_them_up(home):
    """A bar that is revised there changes features, so it must change the snapshot and with it the training."""
    with open_app(home, overrides={"training.max_days": 2}) as app:
        request = training_request(app)
        contract, first = request.window.contract, request.window.stretches.first
        begin = first - first % contract.block_bars - contract.warmup_bars
        held = int(app.lake.candles("SYNBTCUSDT", request.window.timeframe).open_time[0])
    assert first - begin > 288
    assert request.snapshot.first_ms <= max(held, request.window.timeframe.open_time(begin))


def test_what_no_fresh_process_can_load_is_not_registered(app, home, monkeypatch, tmp_path):
    """The bundle works in the process that made it and in no other: no version, no challenger, nothing in the cache."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'registry.verify' in sys.orig_argv:\n    raise SystemExit('only the training process has it')\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    few = {"training.lightgbm_trees": 3, "training.xgboost_trees": 3, "registry.model_name": "unverified"}
    few |= {"features.block_bars": 576, "features.warmup_bars": 640}
    with pytest.raises(BundleError, match="a fresh process could not load the bundle"):
        train_and_register.fn(str(home), few)
    with open_app(home, overrides=few) as opened:
        store = model_store(opened)
        assert store.versions() == ()
        assert store.aliases() == {}
        assert bundle_cache(opened).hashes() == ()
        rows = select(training_runs.c.status, training_runs.c.bundle_hash).where(
            training_runs.c.model_name == "unverified"
        )
        with opened.engine.connect() as connection:
            assert connection.execute(rows).all() == [("running", None)]
