"""Tuning in a real PostgreSQL: killed between a trial and the ledger, it goes on, repeats nothing and loses nothing."""

import json
import signal
from collections import Counter

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from infra.bootstrap import open_app
from tasks.trials import count_trials, ledger, tuning_trials
from tasks.tuning import _failures_of_the_database, _storage
from tests.forked import ForkServer

pytestmark = pytest.mark.integration
TRIALS = 5
KEY = "k" * 40
_RUN = """
import sys
from tests.tasks.tuning_process import main
home, key, trials, where, nth = sys.argv[1:]
main(home, key, int(trials), where, int(nth))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home whose server stays up between the processes."""
    where = tmp_path_factory.mktemp("tuning") / "home"
    with open_app(where, environ={}):
        yield where


@pytest.fixture(scope="module")
def trained():
    """Run the training in a process of its own, without its imports each time."""
    server = ForkServer("import lightgbm, optuna.storages, psycopg, tests.tasks.tuning_process")

    def run(home, *, trials=TRIALS, where="entry", nth=0):
        return server.run(_RUN, home, KEY, trials, where, nth)

    yield run
    server.close()


def entered(home, key=KEY):
    """The ledger's tuning trials by name."""
    with open_app(home, environ={}) as app:
        return {row["name"]: row for row in tuning_trials(app.engine, key)}


def optuna_states(home):
    """How all of Optuna's own trials of this home ended."""
    with open_app(home, environ={}) as app, _storage(app) as storage:
        trials = [one for study in storage.get_all_studies() for one in storage.get_all_trials(study._study_id)]
        return Counter(one.state.name for one in trials)


@pytest.fixture(scope="module")
def undisturbed(home, trained):
    """The training that nobody killed, under the key that the killed one will have elsewhere."""
    done = trained(home)
    assert done.code == 0, done.err[-2000:]
    return json.loads(done.out)


def test_every_trial_is_in_the_ledger_once(home, undisturbed):
    """Five of each kind, with parameters, state and inner losses; the count is what deflated Sharpe is told."""
    rows = entered(home)
    assert Counter(name.split()[3] for name in rows) == {"lightgbm": TRIALS, "logistic": TRIALS}
    for one in undisturbed["tuning"]:
        mine = [row for name, row in rows.items() if name.split()[3] == one["kind"]]
        complete = [row for row in mine if row["state"] == "complete"]
        best = min(complete, key=lambda row: row["metrics"]["inner_log_loss"])
        assert (best["params"], best["metrics"]["inner_log_loss"]) == (one["params"], one["loss"])
        assert [len(row["metrics"]["split_log_losses"]) for row in complete] == [3] * one["complete"]
    with open_app(home, environ={}) as app:
        assert count_trials(app.engine, "snapshot") == 2 * TRIALS
        assert ledger(app.engine) == []  # no data snapshot of that name was ever read


def test_killed_anywhere_it_goes_on_to_the_same_end(tmp_path, home, trained, undisturbed):
    """SIGKILL inside trial 0, between Optuna's record and the ledger's, inside a later one: all is the same."""
    killed = tmp_path / "home"
    with open_app(killed, environ={}):
        for where, nth in (("fit", 2), ("entry", 4), ("fit", 5)):
            assert trained(killed, where=where, nth=nth).code == -signal.SIGKILL
        done = trained(killed)
        assert done.code == 0, done.err[-2000:]
        assert json.loads(done.out) == undisturbed
        assert entered(killed) == entered(home)
        states = optuna_states(killed)
    assert states.pop("FAIL") == 2, "two died inside a trial; what had ended was not repeated"
    assert states == optuna_states(home)


def test_a_larger_budget_continues_and_a_smaller_one_again_tries_nothing(home, trained, undisturbed):
    """Two more trials a kind, the others as they were; and five again give what they gave, without a fit."""
    before = entered(home)
    more = trained(home, trials=TRIALS + 2)
    assert [one["complete"] + one["pruned"] for one in json.loads(more.out)["tuning"]] == [TRIALS + 2] * 2
    after = entered(home)
    assert len(after) == 2 * (TRIALS + 2)
    assert {name: after[name] for name in before} == before
    again = trained(home, where="fit", nth=1)
    assert json.loads(again.out) == undisturbed
    assert entered(home) == after


def test_what_postgresql_said_comes_through_optunas_wrapping():
    """So that a lost database is told like anywhere else, and never as an internal error of Optuna."""
    wrapped = StorageInternalError("wrapped")
    wrapped.__cause__ = OperationalError("SELECT 1", {}, Exception("server closed the connection"))
    with pytest.raises(OperationalError, match="closed the connection"), _failures_of_the_database():
        raise wrapped
    with pytest.raises(StorageInternalError, match="alone"), _failures_of_the_database():
        raise StorageInternalError("alone")
