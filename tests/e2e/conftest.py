"""One home, one set of servers and one tiny life of a model for every test of the whole command."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from infra.database import database_url, open_database
from infra.settings import load_settings
from tests.e2e.lockstep_command import DAYS, SYMBOLS, TINY, Answer, Lockstep


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Everything that is stored in a home: rows per table of both databases, SHA-256 per file of lake and bundles."""

    rows: dict[str, int]
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Life:
    """A home in which the demo ran twice: what each run said, what was stored after it, and the status then."""

    home: Path
    first: dict[str, Any]
    stored_first: Stored
    second: dict[str, Any]
    status: dict[str, Any]
    stored_second: Stored
    engine: Engine
    registry: Engine

    def stored(self) -> Stored:
        """What is stored now."""
        return stored_in(self.home, self.engine, self.registry)

    @property
    def champion_bundle(self) -> Path:
        """The champion's directory in the worker's cache."""
        return self.home / "bundles" / self.first["champion"]["bundle_hash"]


def stored_in(home: Path, *engines: Engine) -> Stored:
    """Count every row of every table, and hash every file that holds data."""
    rows = {}
    for engine in engines:
        with engine.connect() as connection:
            for table in inspect(connection).get_table_names():
                counted = connection.execute(text(f'SELECT count(*) FROM "{table}"'))
                rows[f"{engine.url.database}.{table}"] = int(counted.scalar_one())
    files = {}
    for folder in ("lake", "bundles", "mlflow-artifacts"):
        for path in sorted((home / folder).rglob("*")):
            if path.is_file() and path.name != ".lock":  # locks hold the id of who took them last
                files[str(path.relative_to(home))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Stored(rows=rows, files=files)


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The running ``lockstep up`` of the session's home."""

    process: "subprocess.Popen[str]"
    prefect: str
    mlflow: str
    home: Path


@pytest.fixture(scope="session")
def starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """``lockstep up`` of the shared home, not ready yet: tests that need no server run while it starts."""
    home = tmp_path_factory.mktemp("e2e") / "home"
    process = Lockstep(cwd=home.parent).start("up", "--home", home, "--prefect-port", 0, "--mlflow-port", 0)
    yield process, home
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=60)


@pytest.fixture(scope="session")
def pages(starting: tuple["subprocess.Popen[str]", Path]) -> Iterator[Pages]:
    """The same, ready: its Prefect and its PostgreSQL are used by every command of the session."""
    process, home = starting
    said = {}
    while len(said) < 2:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        name, _, url = line.strip().partition(" ")
        if url.strip().startswith("http"):
            said[name] = url.strip()
    yield Pages(process=process, prefect=said["Prefect"], mlflow=said["MLflow"], home=home)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2, "both servers are children of the command"
    process.terminate()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == [], "SIGTERM leaves no process behind"
    assert list((home / "run").glob("*.json")) == []


@pytest.fixture(scope="session")
def lockstep(pages: Pages) -> Iterator[Lockstep]:
    """The command under tiny settings, with the running Prefect server."""
    command = Lockstep(
        cwd=pages.home.parent, environment=TINY | {"PREFECT_API_URL": f"{pages.prefect.rstrip('/')}/api"}
    )
    yield command
    command.close()


@pytest.fixture(scope="session")
def life(pages: Pages, lockstep: Lockstep) -> Iterator[Life]:
    """The demo, run twice on the synthetic market, as a user runs it."""
    arguments = ("demo", "--home", pages.home, "--days", DAYS, "--symbols", ",".join(SYMBOLS), "--json")
    with open_database(load_settings(pages.home, environ={})) as engine:
        registry = create_engine(database_url(engine, "mlflow"))
        lockstep.prepare("--prepared")
        first = _demo(lockstep.run(*arguments))
        stored_first = stored_in(pages.home, engine, registry)
        second = _demo(lockstep.ask(*arguments))
        yield Life(
            home=pages.home,
            first=first,
            stored_first=stored_first,
            second=second,
            status=lockstep.ask("status", "--home", pages.home, "--json").json,
            stored_second=stored_in(pages.home, engine, registry),
            engine=engine,
            registry=registry,
        )
        registry.dispose()


def _demo(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err[-2000:]
    return json.loads(answer.out)
