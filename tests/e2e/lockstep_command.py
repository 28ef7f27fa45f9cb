"""The ``lockstep`` command as a user has it, and one small market in which a model can be promoted within seconds."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(sys.executable).parent / "lockstep"
SYMBOLS = ("SYNBTCUSDT", "SYNETHUSDT", "SYNSOLUSDT", "SYNXRPUSDT", "SYNBNBUSDT", "SYNDOGEUSDT")
DAYS = 30
TINY = {
    "LOCKSTEP_TRAINING__FOLDS": "2",
    "LOCKSTEP_TRAINING__MIN_TRAIN_DAYS": "12",
    "LOCKSTEP_TRAINING__LIGHTGBM_TREES": "20",
    "LOCKSTEP_TRAINING__XGBOOST_TREES": "20",
    "LOCKSTEP_TRAINING__LIGHTGBM_LEAVES": "7",
    "LOCKSTEP_TRAINING__XGBOOST_DEPTH": "3",
    "LOCKSTEP_TRAINING__THREADS": "1",
    "LOCKSTEP_LABELS__HORIZON_BARS": "12",
    "LOCKSTEP_LABELS__TAKER_FEE_BPS": "3",
    "LOCKSTEP_SHADOW__SHADOW_DAYS": "2",
    "LOCKSTEP_SHADOW__SERVE_DAYS": "1",
    "LOCKSTEP_SHADOW__MIN_RESOLVED": "20",
    "LOCKSTEP_SHADOW__MIN_INDEPENDENT": "5",
    # Two days of shadow cannot prove profit; proof of skill is still asked for.
    "LOCKSTEP_GATES__MIN_TRADES": "10",
    "LOCKSTEP_GATES__MIN_SHARPE": "-10",
    "LOCKSTEP_GATES__MIN_PROFIT_FACTOR": "0",
    "LOCKSTEP_GATES__MIN_DEFLATED_SHARPE": "0",
    # So small a model pays its costs hardly half the time, and its guard would end what these tests look at.
    "LOCKSTEP_GUARD__REDUCED_HIT_RATE": "0",
    "LOCKSTEP_GUARD__PAUSED_HIT_RATE": "0",
    "LOCKSTEP_GUARD__REDUCED_STREAK": "1000",
    "LOCKSTEP_GUARD__PAUSED_STREAK": "1000",
}
"""Settings under which the synthetic market's planted edge is found and promoted, with room to spare at each gate."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command left behind: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output; NaN and infinities are no JSON."""
        return json.loads(self.out, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))

    @property
    def lines(self) -> list[str]:
        """Lines on standard error, without the progress of stages (``stage ... (n)``, ``stage: done``)."""
        said = [line for line in self.err.splitlines() if line.strip()]
        return [line for line in said if " ... (" not in line and not line.endswith(": done")]


@dataclass(kw_only=True)
class Lockstep:
    """Runs commands, as processes of their own or, where only their answers matter, in one shared process."""

    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)
    _host: "subprocess.Popen[str] | None" = None

    def variables(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of a command: nobody's ``LOCKSTEP_`` settings but ours."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOCKSTEP_", "PREFECT_", "MLFLOW_"))
        }
        return own | {"OMP_NUM_THREADS": "1"} | self.environment | (more or {})

    def start(self, *arguments: object, more: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """The installed script, running."""
        return subprocess.Popen(
            [str(SCRIPT), *map(str, arguments)],
            cwd=self.cwd,
            env=self.variables(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, more: dict[str, str] | None = None) -> Answer:
        """The installed script, to its end."""
        process = self.start(*arguments, more=more)
        out, err = process.communicate(timeout=240)
        return Answer(code=process.returncode, out=out, err=err)

    def ask(self, *arguments: object, more: dict[str, str] | None = None) -> Answer:
        """The same entry point inside the shared process."""
        if self._host is None:
            self.prepare()
        settings = {n: v for n, v in self.variables(more).items() if n.startswith(("LOCKSTEP_", "PREFECT_"))}
        request = {"arguments": [str(one) for one in arguments], "environment": settings, "cwd": str(self.cwd)}
        self._host.stdin.write(json.dumps(request) + "\n")
        self._host.stdin.flush()
        return Answer(**json.loads(self._host.stdout.readline()))

    def prepare(self, *options: str) -> None:
        """Start the shared process; with ``--prepared`` it imports the heavy libraries meanwhile."""
        self._host = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/e2e/command_host.py"), *options],
            cwd=ROOT,
            env=self.variables({"PREFECT_HOME": str(self.cwd / "prefect"), "PYTHONPATH": str(ROOT)}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the shared process."""
        if self._host is not None:
            self._host.communicate(timeout=60)
