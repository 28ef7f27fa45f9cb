"""A second worker stands by, and takes over when the first one dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import delete, func, select

from infra.bootstrap import App
from infra.locks import Lease, LockHeldError, exclusive
from infra.tables import signals
from serving.shares import lease_name, share_of
from tests.tasks.conftest import SYMBOLS, TINY

pytestmark = pytest.mark.integration

WORKER = """
import sys
from tasks.live import serve_live
serve_live(sys.argv[1], say=lambda words: print(words, flush=True), standby=len(sys.argv) > 2)
"""
PATIENCE_S = 60.0


@pytest.fixture
def worker(app: App) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a worker of this home; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*more: str, **settings: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(app.settings.home), *more],
            env=os.environ | TINY | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def serving(app: App) -> bool:
    """Whether any worker holds the right to serve."""
    try:
        with exclusive(app.engine, f"serving of {app.settings.registry.model_name}"):
            return False
    except LockHeldError:
        return True


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    began = time.monotonic()
    while not happened():
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() - began < PATIENCE_S
        time.sleep(0.1)


def bars(app: App) -> int:
    with app.engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(signals)) or 0)


def test_killed_without_warning_it_is_followed_and_no_bar_is_said_twice(
    app: App, worker: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """SIGKILL ends the first one's right with its connection; the one standing by serves, and ends when it is told."""
    first = worker()
    wait_for(lambda: serving(app), first)
    second = worker("standby")
    assert second.stdout is not None
    assert second.stdout.readline() == "standing by: another worker serves this model\n"
    wait_for(lambda: bars(app) > 0, first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    told = ""
    while not told.startswith("taking over"):
        told = second.stdout.readline()
        assert told, second.communicate()[1][-2000:]
    assert serving(app)
    with app.engine.connect() as connection:
        rows = select(signals.c.symbol, signals.c.bar_ms).group_by(signals.c.symbol, signals.c.bar_ms)
        assert len(connection.execute(rows).all()) == bars(app)
    second.terminate()
    assert second.wait(PATIENCE_S) == 0


def test_one_that_stands_by_ends_when_it_is_told(app: App, worker: Callable[..., "subprocess.Popen[str]"]) -> None:
    """At once, with nothing done; without standing by a second worker is refused in words."""
    with exclusive(app.engine, f"serving of {app.settings.registry.model_name}"):
        waiting = worker("standby")
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith("standing by")
        waiting.terminate()
        assert waiting.wait(PATIENCE_S) == 0
        refused = worker()
        assert refused.wait(PATIENCE_S) != 0
        assert "another serving of" in refused.communicate()[1]


def held(app: App, shares: int) -> set[int]:
    """Which shares somebody serves now."""
    found = set()
    for share in range(shares):
        lease = Lease.take(app.engine, lease_name(app.settings.registry.model_name, share, shares))
        if lease is None:
            found.add(share)
        else:
            lease.release()
    return found


def test_two_workers_share_the_symbols_and_one_takes_over_what_the_other_leaves(
    app: App, worker: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """Each serves its own symbols; after SIGKILL of one the other serves all, and no bar is said twice or left out."""
    with app.engine.begin() as connection:
        connection.execute(delete(signals))
    two = {"LOCKSTEP_SERVING__SHARES": "2"}
    assert {share_of(symbol, 2) for symbol in SYMBOLS} == {0, 1}
    first, second = worker(**two), worker(**two)
    wait_for(lambda: held(app, 2) == {0, 1}, first)
    wait_for(lambda: bars(app) == 2, second)
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_for(lambda: held(app, 2) == {0, 1}, second)
    with app.engine.connect() as connection:
        rows = connection.execute(select(signals.c.symbol, signals.c.bar_ms)).all()
    assert len(rows) == len(set(rows))
    assert {row.symbol for row in rows} == set(SYMBOLS)
    second.terminate()
    assert second.wait(PATIENCE_S) == 0
