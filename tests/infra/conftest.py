"""One real PostgreSQL for all tests of this room that need no server of their own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from infra.database import open_database
from infra.settings import Settings, load_settings

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Default settings of a home that lives as long as the test run."""
    return load_settings(tmp_path_factory.mktemp("home"), environ={})


@pytest.fixture(scope="session")
def engine(settings: Settings) -> Iterator[Engine]:
    """The migrated embedded database of that home."""
    with open_database(settings) as engine:
        yield engine


@pytest.fixture
def run_python() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a Python script with arguments in a process of its own; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
