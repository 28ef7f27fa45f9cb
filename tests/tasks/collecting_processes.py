"""Runs collections and backfills of one home in processes of their own, some of them killed at one exact moment.

``collecting_processes.py PLAN``: a JSON object with ``home``, ``now_ms``, ``start_ms``, ``symbols`` and ``steps``. A
step is a list of jobs that run at the same time, each a fork, so that the libraries are imported once: ``do`` is
``backfill`` or ``collect``, ``stop`` the call before which the process is killed, as ``["os.replace", 3]``, or null.
The answer is one JSON list a step: new rows, the refusal, or ``killed``.
"""

import importlib
import json
import os
import signal
import sys
from typing import Any

from infra.sources import exchange  # noqa: F401  # imported before any fork, as is what follows
from market.errors import LockstepError
from tasks.exchange import backfill_exchange, collect_newest


def stop_before(target: str, nth: int) -> None:
    """Kill this process where it is about to call the function for the nth time."""
    module, _, name = target.rpartition(".")
    place: Any = importlib.import_module(module)
    original = getattr(place, name)
    calls = 0

    def counted(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **options)

    setattr(place, name, counted)


def run(plan: dict[str, Any], job: dict[str, Any]) -> object:
    """One job, in this process."""
    if job["stop"]:
        stop_before(*job["stop"])
    try:
        if job["do"] == "collect":
            found = collect_newest.fn(plan["home"], symbols=plan["symbols"], now_ms=plan["now_ms"])
        else:
            found = backfill_exchange.fn(plan["home"], symbols=plan["symbols"], start_ms=plan["start_ms"])
    except LockstepError as error:
        return str(error)
    return found["incomplete"] or found["new_rows"]


def at_once(plan: dict[str, Any], jobs: list[dict[str, Any]]) -> list[object]:
    """The outcomes of jobs that run side by side."""
    running = []
    for job in jobs:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            os.write(write, json.dumps(run(plan, job)).encode())
            os._exit(0)
        os.close(write)
        running.append((pid, read))
    outcomes: list[object] = []
    for pid, read in running:
        with os.fdopen(read) as answer:
            said = answer.read()
        _, status = os.waitpid(pid, 0)
        outcomes.append(json.loads(said) if said else "killed" if os.WIFSIGNALED(status) else f"ended with {status}")
    return outcomes


if __name__ == "__main__":
    import ccxt.async_support  # noqa: F401

    asked = json.loads(sys.argv[1])
    print(json.dumps([at_once(asked, step) for step in asked["steps"]]))
