"""The servers we start are found by others, end with us and never outlive us."""

import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from infra.errors import InfraError
from infra.processes import child_process, free_port, running_url, wait_until_healthy

pytestmark = pytest.mark.integration

PARENT = """
import sys, time
from pathlib import Path
from infra.processes import child_process
with child_process("web", ["http.server", sys.argv[2]], url="u", environment={}, run_dir=Path(sys.argv[1])) as child:
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run_dir(tmp_path):
    """The folder of state files and logs."""
    made = tmp_path / "run"
    made.mkdir()
    return made


def web(run_dir, port, **environment):
    """A web server of the standard library as child."""
    arguments = ["http.server", str(port), "--bind", "127.0.0.1", "--directory", str(run_dir)]
    url = f"http://127.0.0.1:{port}"
    return child_process("web", arguments, url=url, environment=environment, run_dir=run_dir)


def test_a_preferred_port_is_taken_only_when_it_is_free():
    """Otherwise the system picks another."""
    port = free_port()
    assert free_port(port) == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert free_port(port) not in {port, 0}


def test_a_child_answers_is_found_and_ends_with_the_block(run_dir):
    """Its address is known to others while it runs, and neither process nor state file remain."""
    port = free_port()
    with web(run_dir, port) as child:
        wait_until_healthy(f"http://127.0.0.1:{port}/", process=child, name="web", log=run_dir / "web.log")
        assert running_url("web", run_dir=run_dir) == f"http://127.0.0.1:{port}"
        assert running_url("other", run_dir=run_dir) is None
    assert child.poll() is not None
    assert running_url("web", run_dir=run_dir) is None
    assert not (run_dir / "web.json").exists()


def test_an_error_inside_ends_the_child_too(run_dir):
    """And comes through."""
    with pytest.raises(ZeroDivisionError), web(run_dir, free_port()) as child:
        raise ZeroDivisionError
    assert child.poll() is not None


def test_a_child_that_cannot_start_is_told_with_its_last_words(run_dir):
    """At once, not after the timeout, and with the place of the log."""
    arguments = ["no_such_module_anywhere"]
    told = r"the web server did not start .*no_such_module_anywhere.*web.log"
    with (
        child_process("web", arguments, url="u", environment={}, run_dir=run_dir) as child,
        pytest.raises(InfraError, match=told),
    ):
        wait_until_healthy("http://127.0.0.1:1/", process=child, name="web", log=run_dir / "web.log")


def test_nobody_waits_longer_than_asked(run_dir):
    """A server that runs but never answers is refused after the timeout."""
    with web(run_dir, free_port()) as child, pytest.raises(InfraError, match="did not start"):
        wait_until_healthy("http://127.0.0.1:1/", process=child, name="web", log=run_dir / "web.log", timeout_s=0.3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's signal is Linux only")
def test_a_killed_parent_takes_its_child_along(run_dir, run_python):
    """Even after ``kill -9``."""
    parent = run_python(PARENT, run_dir, free_port())
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    child.wait(10)
    assert not child.is_running()


def test_the_leftover_of_a_killed_parent_is_ended_first(run_dir):
    """A child whose parent is gone does not keep its port; the new one takes its place."""
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        gone = [orphan.pid + 100_000, 1.0]
        identity = [orphan.pid, psutil.Process(orphan.pid).create_time()]
        (run_dir / "web.json").write_text(json.dumps({"url": "u", "child": identity, "parent": gone}))
        assert running_url("web", run_dir=run_dir) is None
        with web(run_dir, free_port()):
            orphan.wait(10)
            assert not psutil.pid_exists(orphan.pid)
    finally:
        orphan.kill()
        orphan.wait()


def test_a_reused_process_id_is_left_alone(run_dir):
    """The start time tells that it is somebody else."""
    stranger = [os.getpid(), psutil.Process().create_time() - 1000]
    (run_dir / "web.json").write_text(json.dumps({"url": "u", "child": stranger, "parent": stranger}))
    assert running_url("web", run_dir=run_dir) is None
    with web(run_dir, free_port()):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": "u"}', '{"url": "u", "parent": [], "child": []}'])
def test_a_damaged_state_file_counts_as_none(run_dir, content):
    """It is replaced by the next start."""
    (run_dir / "web.json").write_text(content)
    assert running_url("web", run_dir=run_dir) is None
    with web(run_dir, free_port()):
        assert running_url("web", run_dir=run_dir) is not None


def test_another_servers_answer_on_the_port_is_not_ours(run_dir):
    """A server of somebody else on the same port does not make our child healthy."""
    with web(run_dir, free_port()) as theirs:
        state = json.loads((run_dir / "web.json").read_text())
        wait_until_healthy(state["url"], process=theirs, name="web", log=run_dir / "web.log")
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as ours:
            with pytest.raises(InfraError, match="did not start"):
                wait_until_healthy(state["url"], process=ours, name="web", log=run_dir / "web.log", timeout_s=1.0)
            ours.kill()
