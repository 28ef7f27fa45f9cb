"""Tune and train on the planted market in a process that may be killed at an exact moment.

SIGKILL comes at the ``nth`` (0: never) ``entry`` of a trial into the ledger, when Optuna knows it already, or at the
``nth`` ``fit`` of tuning, inside a trial. Prints a digest of the models and the tuned values.
"""

import json
import os
import signal
from collections.abc import Callable
from hashlib import sha256
from types import SimpleNamespace

from infra.bootstrap import open_app
from learning import tuning as learning_tuning
from learning.training import train
from tasks import tuning
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config

OVERRIDES = {"tuning.groups": 3, "labels.horizon_bars": SPEC.horizon_bars}


def killed_at(nth: int, function: Callable) -> Callable:
    """The same function, whose ``nth`` call is the last thing this process does."""
    calls = 0

    def watched(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    return watched


def main(home: str, key: str, trials: int, where: str, nth: int) -> None:
    """One training; the trials of both kinds are entered one by one."""
    if where == "entry":
        tuning.enter_tuning_trial = killed_at(nth, tuning.enter_tuning_trial)
    else:
        learning_tuning.fit_model = killed_at(nth, learning_tuning.fit_model)
    config = tiny_config(models=("lightgbm", "logistic"), threads=1, logistic_c=1e-4)
    with (
        open_app(home, environ={}, overrides=OVERRIDES | {"tuning.trials": trials}) as app,
        tuning.tuning_of(
            app, key=key, snapshot=SimpleNamespace(id="snapshot"), contract=CONTRACT, config=config
        ) as found,
    ):
        panel = planted_panel(edge=1.0, bars=2000, symbols=2)
        result = train(panel, CONTRACT, SPEC, config, train_end_index=FIRST + 1900, tuning=found)
    digest = sha256(b"".join(part.payload for part in result.models)).hexdigest()
    print(json.dumps({"models": digest, "tuning": result.evaluation["tuning"]}))
