"""How do the servers we start never outlive us?

A child started here dies with its parent, even after ``kill -9``: on Linux the kernel sends the signal; elsewhere,
and for children of an earlier run, a file with the process ids lets the next start end the leftover first. While the
parent lives, the same file lets other commands of the home use the server instead of starting a second one.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from infra.errors import InfraError

__all__ = ["child_process", "free_port", "running_url", "wait_until_healthy"]

_PR_SET_PDEATHSIG = 1


def free_port(preferred: int | None = None) -> int:
    """The preferred loopback port if nobody listens there, otherwise one the system picks."""
    for port in ([preferred] if preferred else []) + [0]:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InfraError("no free loopback port", why="a server needs one", remedy="close other programs")


@contextlib.contextmanager
def child_process(
    name: str, arguments: Sequence[str], *, url: str, environment: Mapping[str, str], run_dir: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``python -m arguments...`` until the block ends; its output goes to ``run_dir/name.log``."""
    state = run_dir / f"{name}.json"
    _end_leftover(state)
    with (run_dir / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  # fixed arguments of our own
            [sys.executable, "-m", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509  # one prctl call, no threads touched
        )
    try:
        _write(state, {"url": url, "child": _identity(process.pid), "parent": _identity(os.getpid())})
        yield process
    finally:
        _end(process)
        state.unlink(missing_ok=True)


def running_url(name: str, *, run_dir: Path) -> str | None:
    """Address of the server of this name that another live command of the home runs, or None."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        state = json.loads((run_dir / f"{name}.json").read_text())
        if _process(state["parent"]) and _process(state["child"]):
            return str(state["url"])
    return None


def _write(state: Path, facts: Mapping[str, object]) -> None:
    made = state.with_suffix(".tmp")
    made.write_text(json.dumps(facts))
    made.replace(state)


def _end_leftover(state_file: Path) -> None:
    """End the child of a parent that was killed; the start time guards against a reused process id."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, psutil.Error):
        leftover = _process(json.loads(state_file.read_text())["child"])
        if leftover is not None:
            leftover.terminate()
            with contextlib.suppress(psutil.TimeoutExpired):
                leftover.wait(5)
    state_file.unlink(missing_ok=True)


def _identity(pid: int) -> list[float]:
    return [pid, psutil.Process(pid).create_time()]


def _process(identity: Sequence[float]) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        found = psutil.Process(int(identity[0]))
        if abs(found.create_time() - float(identity[1])) < 1.0 and found.status() != psutil.STATUS_ZOMBIE:
            return found
    return None


def wait_until_healthy(
    url: str, *, process: "subprocess.Popen[bytes] | None", name: str, log: Path | None, timeout_s: float = 120.0
) -> None:
    """Poll ``url`` until it answers 200; raise ``InfraError`` with the log's last line if the process ends first.

    ``process`` and ``log`` are None for a server that somebody else started.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        # Somebody else's server may hold the port that was free a moment ago: only our own child's answer counts.
        if _answers(url) and (process is None or _listens(process.pid, url)):
            return
        time.sleep(0.1)
    if process is None or log is None:
        raise InfraError(
            f"no {name} server answers at {url}",
            why="its flows and pages need it",
            remedy=f"start that server, or unset {name.upper()}_API_URL so that the command starts its own",
        )
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    raise InfraError(
        f"the {name} server did not start" + (f" ({lines[-1][:200]})" if lines else ""),
        why="its flows and pages need it",
        remedy=f"read {log}",
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # loopback, or the user's own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _listens(pid: int, url: str) -> bool:
    """Whether the process or one of its children listens on the port of this address."""
    port = urllib.parse.urlsplit(url).port
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for one in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                for connection in one.net_connections(kind="inet"):
                    if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                        return True
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask_the_kernel
