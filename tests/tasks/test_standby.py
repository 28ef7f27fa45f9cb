"""A second worker stands by, and takes over when the first one dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import func, select

from infra.bootstrap import App
from infra.locks import LockHeldError, exclusive
from infra.tables import signals
from tests.tasks.conftest import TINY

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

    def start(*more: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(app.settings.home), *more],
            env=os.environ | TINY,
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
