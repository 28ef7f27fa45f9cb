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
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "ForkServer"]

_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended: its exit code, or minus the signal that killed it, and its standard error."""

    code: int
    err: str


class ForkServer:
    """Runs pieces of code one after another, each in a fork of one process that ran ``warm_up``."""

    def __init__(self, warm_up: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), warm_up],
            cwd=_ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, *arguments: object) -> Ended:
        """Run ``code`` with ``arguments`` as its ``sys.argv[1:]`` to whatever end it comes."""
        request = {"code": code, "arguments": [str(one) for one in arguments]}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def _serve(warm_up: str) -> None:
    warnings.simplefilter("ignore")
    exec(compile(warm_up, "<warm up>", "exec"), {})
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


def _fork(request: dict[str, object]) -> dict[str, object]:
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            os.dup2(said.fileno(), 2)
            sys.argv = ["-c", *request["arguments"]]
            exec(compile(request["code"], "<forked>", "exec"), {"__name__": "__main__"})
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        said.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "err": said.read().decode(errors="replace")}


if __name__ == "__main__":
    _serve(sys.argv[1])
