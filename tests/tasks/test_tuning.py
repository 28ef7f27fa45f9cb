"""Tuning in a real PostgreSQL: killed between a trial and the ledger, it goes on, repeats nothing and loses nothing."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from infra.bootstrap import open_app
from infra.tables import trials
from tasks.trials import count_trials, ledger, tuning_trials

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose server stays up between the processes."""
    where = tmp_path_factory.mktemp("tuning") / "home"
    with open_app(where, environ={}):
        yield where


def trained(home, key, *, kill_at=0):
    """Run the training in a process of its own."""
    command = [sys.executable, "-m", "tests.tasks.tuning_process", str(home), key, str(kill_at)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def undisturbed(home):
    """The training that nobody killed, under the key that the killed one will have elsewhere."""
    done = trained(home, "k" * 40)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_trial_is_in_the_ledger_once(home, undisturbed):
    """Five of each kind, with parameters, state and inner loss; the count is what deflated Sharpe is told."""
    with open_app(home, environ={}) as app:
        rows = tuning_trials(app.engine, "k" * 40)
        assert Counter(row["name"].split()[3] for row in rows) == {"lightgbm": 5, "logistic": 5}
        assert all(row["params"] for row in rows)
        assert all(row["metrics"]["inner_log_loss"] > 0.0 for row in rows)
        assert count_trials(app.engine, "snapshot") == 10
        assert ledger(app.engine) == []  # no data snapshot of that name was ever read
    assert {one["kind"] for one in undisturbed["tuning"]} == {"lightgbm", "logistic"}


def test_killed_in_the_middle_it_goes_on_to_the_same_end(tmp_path, undisturbed):
    """SIGKILL after a trial was told and before it was entered, twice; then the same models, values and ledger."""
    home, key = tmp_path / "home", "k" * 40
    with open_app(home, environ={}) as app:
        for at in (3, 8):
            assert trained(home, key, kill_at=at).returncode == -signal.SIGKILL
        before = {row["name"] for row in tuning_trials(app.engine, key)}
        done = trained(home, key)
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout) == undisturbed
        rows = tuning_trials(app.engine, key)
        assert before < {row["name"] for row in rows}
        assert count_trials(app.engine, "snapshot") == 10
        with app.engine.connect() as connection:
            assert connection.scalars(select(trials.c.run_key).distinct()).all() == [key]


def test_a_training_that_was_tuned_once_only_looks_its_trials_up(home, undisturbed):
    """A second process with the same key runs no trial and enters none."""
    done = trained(home, "k" * 40)
    assert json.loads(done.stdout) == undisturbed
    with open_app(home, environ={}) as app:
        assert len(tuning_trials(app.engine, "k" * 40)) == 10
