"""Does a home survive an operator's worst day: kills, Ctrl-C, two at once, rotten bytes?"""

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, select

from infra.database import database_url, open_database
from infra.environment import mlflow_environment, prefect_environment
from infra.settings import load_settings
from infra.tables import METADATA
from registry.mlflow_store import ModelStore
from tests.e2e.lockstep_command import SYMBOLS, TINY, Answer, Lockstep
from tests.forked import ForkServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

_MODEL = "lockstep-synthetic"
_VARIES = {"id", "card_id", "created_at", "updated_at", "started_at", "finished_at", "decided_at", "resolved_at", "at"}
_MOMENTS = (
    ("SIGINT", "infra.lake_files:write_months", 2),
    ("SIGKILL", "registry.mlflow_run:log_run", 1),
    ("SIGTERM", "serving.store:write_bars", 3),
    ("SIGKILL", "registry.mlflow_store:ModelStore.set_alias", 1),
    ("SIGKILL", "serving.store:write_bars", 2),
)
_NEVER = ("SIGKILL", "-", 0)
# What every demo imports before it does anything of its own.
_WARM_UP = """
import lightgbm, matplotlib.figure, mlflow.store.model_registry.sqlalchemy_store, xgboost
import mlflow.store.tracking.sqlalchemy_store, sklearn.linear_model
import cli.main, flows.demo, learning.trainers, tests.e2e.stop_at
"""
_RUN = """
import json, sys
from tests.e2e.stop_at import run_until
target, nth, name, arguments = json.loads(sys.argv[1])
run_until(target, nth, name, arguments)
"""
_SMALL = {name: value for name, value in TINY.items() if "GATES" not in name} | {
    "LOCKSTEP_TRAINING__MIN_TRAIN_DAYS": "3",
    "LOCKSTEP_SHADOW__SHADOW_DAYS": "1",
}


@pytest.fixture(scope="module")
def command(pages) -> Iterator[Lockstep]:
    """Commands under tiny settings that share the session's Prefect server."""
    api = f"{pages.prefect.rstrip('/')}/api"
    # Not under pytest's own folder: each session that starts closes it to other accounts, PostgreSQL's among them.
    with tempfile.TemporaryDirectory(prefix="lockstep-durability-") as folder:
        made = Lockstep(cwd=Path(folder), environment=_SMALL | {"PREFECT_API_URL": api})
        yield made
        made.close()


@pytest.fixture(scope="module")
def forks(command) -> Iterator[ForkServer]:
    """Processes of their own for the commands that are to be stopped, without their imports each time."""
    quiet = prefect_environment(command.cwd) | mlflow_environment()
    made = ForkServer(_WARM_UP, cwd=command.cwd, environment=command.variables(quiet))
    yield made
    made.close()


@pytest.fixture(scope="module")
def meeting(command, forks) -> dict[str, Any]:
    """A home whose demo was never disturbed, except that others tried their luck meanwhile."""
    home = command.cwd / "undisturbed"
    first = _start(forks, ("SIGSTOP", "learning.trainers:train_lightgbm", 1), (*_demo(home), "--json"))
    deadline = time.monotonic() + 120
    while (state := psutil.Process(first).status()) != psutil.STATUS_STOPPED:
        assert state != psutil.STATUS_ZOMBIE, "the first demo ended early"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    answers = {
        "demo": command.ask(*_demo(home)),
        "train": command.ask("train", "--home", home),
        "status": command.ask("status", "--home", home, "--json"),
    }
    os.kill(first, signal.SIGCONT)
    ended = _answer(forks, first)
    assert ended.code == 0, ended.err[-2000:]
    return {"home": home, "demo": json.loads(ended.out), "others": answers, "state": _state(home)}


def test_one_of_two_at_once_wins_and_the_other_is_told_why(meeting):
    """A second demo and a training are refused in one line; status answers; the first is done as if alone."""
    for name in ("demo", "train"):
        refused = meeting["others"][name]
        assert refused.code == 1
        assert len(refused.lines) == 1
        assert "is running on this home" in refused.lines[0]
    assert meeting["others"]["status"].code == 0, meeting["others"]["status"].err
    assert meeting["demo"]["champion"]["version"] == 1, [one for one in meeting["demo"]["gates"] if not one["passed"]]
    assert _left_over(meeting["home"]) == []


def test_killed_at_any_moment_the_same_command_ends_in_the_same_state(meeting, command, forks):
    """Stopped five times in one home, from backfill to the served bars, it ends where the undisturbed home is."""
    home = command.cwd / "disturbed"
    for name, target, nth in _MOMENTS:
        stopped = _answer(forks, _start(forks, (name, target, nth), _demo(home)))
        number = getattr(signal, name)
        assert stopped.code == (-9 if name == "SIGKILL" else 128 + number), (target, stopped.err[-2000:])
        assert "Traceback" not in stopped.err, (target, stopped.err[-2000:])
        if name != "SIGKILL":
            assert len(stopped.lines) == 1
            assert stopped.lines[0].startswith("interrupted")
            assert _left_over(home) == [], "a signal that can be heard leaves no server behind"
    finished = _answer(forks, _start(forks, _NEVER, _demo(home)))
    assert finished.code == 0, finished.err[-2000:]
    assert _state(home) == meeting["state"]
    assert _left_over(home) == []
    scratch = [path for path in home.rglob("*") if path.suffix == ".tmp" or path.name.startswith(("sealing-", ".arr"))]
    assert scratch == []


def test_a_rotten_byte_is_recomputed_fetched_again_or_refused_by_name(meeting, command):
    """Feature block: recomputed; bundle: downloaded again; candles: refused, named, and nothing is served from them."""
    home = meeting["home"]
    block = min((home / "lake/features").rglob("*.blk"))
    model = next((home / "bundles").glob("*/model_lightgbm.txt"))
    before = {path: sha256(path.read_bytes()).hexdigest() for path in (block, model)}
    for path in before:
        _flip(path)
    drift = command.ask("drift", "--home", home)
    assert drift.code == 0, drift.err[-2000:]
    assert {path: sha256(path.read_bytes()).hexdigest() for path in before} == before
    candles = min((home / "lake/candles_5m").rglob("*.parquet"))
    kept = candles.read_bytes()
    _flip(candles)
    refused = command.ask(*_demo(home))
    candles.write_bytes(kept)
    assert refused.code == 1
    assert len(refused.lines) == 1
    assert str(candles) in refused.lines[0]
    assert _state(home) == meeting["state"]


def _demo(home: Path) -> tuple[object, ...]:
    return ("demo", "--home", home, "--days", 11, "--symbols", SYMBOLS[0])


def _answer(forks: ForkServer, pid: int) -> Answer:
    ended = forks.wait(pid)
    return Answer(code=ended.code, out=ended.out, err=ended.err)


def _start(forks: ForkServer, moment: tuple[str, str, int], arguments: tuple[object, ...]) -> int:
    """The command as ``stop_at`` runs it, in a session of its own; the id of its process."""
    name, target, nth = moment
    return forks.start(_RUN, json.dumps([target, nth, name, [str(one) for one in arguments]]))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def _left_over(home: Path) -> list[str]:
    """Processes that work in the home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(home) in process.cwd() or any(str(home) in word for word in process.cmdline()):
                found.append(" ".join(process.cmdline()))
    return found


def _state(home: Path) -> dict[str, object]:
    """Every row of every table, MLflow's versions and aliases: without ids and moments of writing."""
    with open_database(load_settings(home, environ={})) as engine:
        rows = {table.name: _rows(engine, table) for table in METADATA.sorted_tables}
        store = ModelStore(database_url(engine, "mlflow"), artifact_root=home / "mlflow-artifacts", model_name=_MODEL)
        versions = [(one.version, one.bundle_hash, one.aliases) for one in store.versions()]
    return {"rows": rows, "versions": versions}


def _rows(engine: Engine, table: Any) -> tuple[int, str]:
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(select(table)).mappings()]
    lines = sorted(json.dumps(_lasting(row), sort_keys=True, default=repr) for row in found)
    return len(lines), sha256("\n".join(lines).encode()).hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(one) for name, one in value.items() if name not in _VARIES and not name.endswith("_s")}
    return [_lasting(one) for one in value] if isinstance(value, list | tuple) else value
