"""Tune and train on the planted market in a process that may be killed between a trial and its entry in the ledger.

``python -m tests.tasks.tuning_process HOME KEY KILL_AT``: SIGKILL comes at that entry (0: never). Prints a digest of
the models and the tuned values.
"""

import json
import os
import signal
import sys
from hashlib import sha256
from types import SimpleNamespace

from infra.bootstrap import open_app
from learning.training import train
from tasks import tuning
from tests.learning.planted import CONTRACT, FIRST, SPEC, planted_panel, tiny_config

OVERRIDES = {"tuning.trials": 5, "tuning.groups": 3, "labels.horizon_bars": SPEC.horizon_bars}


def main(home: str, key: str, kill_at: int) -> None:
    """One training; the trials of both kinds are entered one by one."""
    entered = 0
    enter = tuning.enter_tuning_trial

    def watched(*args: object, **kwargs: object) -> None:
        nonlocal entered
        entered += 1
        if entered == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        enter(*args, **kwargs)

    tuning.enter_tuning_trial = watched
    config = tiny_config(models=("lightgbm", "logistic"), threads=1)
    with (
        open_app(home, environ={}, overrides=OVERRIDES) as app,
        tuning.tuning_of(
            app, key=key, snapshot=SimpleNamespace(id="snapshot"), contract=CONTRACT, config=config
        ) as found,
    ):
        panel = planted_panel(edge=1.0, bars=2000, symbols=2)
        result = train(panel, CONTRACT, SPEC, config, train_end_index=FIRST + 1900, tuning=found)
    digest = sha256(b"".join(part.payload for part in result.models)).hexdigest()
    print(json.dumps({"models": digest, "tuning": result.evaluation["tuning"]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
