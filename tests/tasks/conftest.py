"""A home with eight days of two synthetic markets in its lake, opened once for the tests of this room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.bootstrap import App, open_app
from tests.tasks.universe_homes import make_home  # noqa: F401  a fixture

DAYS = 8
SYMBOLS = ("SYNBTCUSDT", "SYNETHUSDT")
TINY = {
    "LOCKSTEP_DATA__SYMBOLS": ",".join(SYMBOLS),
    "LOCKSTEP_FEATURES__REFERENCE_SYMBOL": "SYNBTCUSDT",
    "LOCKSTEP_TRAINING__FOLDS": "2",
    "LOCKSTEP_TRAINING__MIN_TRAIN_DAYS": "1",
    "LOCKSTEP_SHADOW__SHADOW_DAYS": "1",
    "LOCKSTEP_SHADOW__SERVE_DAYS": "1",
    "LOCKSTEP_LABELS__HORIZON_BARS": "12",
}


@pytest.fixture(scope="session", autouse=True)
def _prefect_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tasks are called as plain functions; what Prefect keeps at import goes to a folder of the tests."""
    before = os.environ.get("PREFECT_HOME")
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    yield
    os.environ.pop("PREFECT_HOME")
    if before is not None:
        os.environ["PREFECT_HOME"] = before


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The open home; tests may add rows but never change settings or bars."""
    from market.timeframe import DAY_MS, Timeframe

    with open_app(tmp_path_factory.mktemp("tasks") / "home", environ=TINY) as opened:
        from infra.sources.synthetic import SyntheticSource
        from tasks.collecting import fetch_into_lake
        from tasks.symbols import SYNTHETIC_START_MS as START

        source = SyntheticSource(start_ms=START, seed=7)
        for symbol in SYMBOLS:
            fetch_into_lake(
                opened.lake, source, symbol, Timeframe.parse("5m"), start_ms=START, end_ms=START + DAYS * DAY_MS
            )
        yield opened


@pytest.fixture
def home(app: App, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same home for code that opens it by itself, under the same settings."""
    for name, value in TINY.items():
        monkeypatch.setenv(name, value)
    return app.settings.home
