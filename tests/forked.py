"""How is code run in a real process that may be killed, without paying for its imports each time?

One process warms up and forks: each fork is a process of its own, which SIGKILL ends as it would end any other. While
warming up it may import and compute, but open no connection and leave no thread, so that nothing is shared.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["Ended", "ForkServer"]

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its exit code, or minus the signal that killed it, and what it said."""

    code: int
    out: str
    err: str


class ForkServer:
    """Runs pieces of code one after another, each in a fork of one process that ran ``warm_up``."""

    def __init__(self, warm_up: str, *, cwd: Path = _ROOT, environment: Mapping[str, str] = os.environ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), warm_up],
            cwd=cwd,
            env={**environment, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, *arguments: object) -> Ended:
        """Run ``code`` with ``arguments`` as its ``sys.argv[1:]`` to whatever end it comes."""
        return self.wait(self.start(code, *arguments))

    def start(self, code: str, *arguments: object) -> int:
        """The same without waiting for its end: the id of the process, which leads a session of its own."""
        return int(self._ask({"code": code, "arguments": [str(one) for one in arguments]}))

    def wait(self, pid: int) -> Ended:
        """How the process with this id ended."""
        return Ended(**self._ask({"wait": pid}))

    def _ask(self, request: dict[str, object]) -> Any:
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def _serve(warm_up: str) -> None:
    warnings.simplefilter("ignore")
    exec(compile(warm_up, "<warm up>", "exec"), {})
    said: dict[int, tuple[IO[bytes], IO[bytes]]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer: object = _end(request["wait"], *said.pop(request["wait"]))
        else:
            files = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  closed when it is waited for
            answer = _fork(request, *files)
            said[answer] = files
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _fork(request: dict[str, Any], out: IO[bytes], err: IO[bytes]) -> int:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for number, file in enumerate((nothing, out.fileno(), err.fileno())):
            os.dup2(file, number)
        sys.argv = ["-c", *request["arguments"]]
        exec(compile(request["code"], "<forked>", "exec"), {"__name__": "__main__"})
        sys.exit()
    return pid


def _end(pid: int, *said: IO[bytes]) -> dict[str, object]:
    _, status = os.waitpid(pid, 0)
    texts = []
    for file in said:
        with file:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return {"code": os.waitstatus_to_exitcode(status), "out": texts[0], "err": texts[1]}


if __name__ == "__main__":
    _serve(sys.argv[1])
