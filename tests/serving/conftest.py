"""One real PostgreSQL, one small lake and two real bundles for all tests of this room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from infra.database import open_database
from infra.lake import Lake
from infra.settings import load_settings
from infra.tables import METADATA
from registry.load import LoadedBundle
from tests.fakes.small_market import SYMBOLS, TIMEFRAME, SmallMarket, copy_stamps, small_bundle, small_market
from tests.serving.fault_stand import AT


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that lives as long as the test run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def shared_engine(home: Path) -> Iterator[Engine]:
    """The migrated embedded database of that home."""
    with open_database(load_settings(home, environ={})) as opened:
        yield opened


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """The same database, empty."""
    names = ", ".join(table.name for table in METADATA.sorted_tables)
    with shared_engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    return shared_engine


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> SmallMarket:
    """Nine days of three synthetic markets; never written to by a test."""
    return small_market(tmp_path_factory.mktemp("market") / "lake")


@pytest.fixture(scope="session")
def bundle_dirs(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sealed bundles by hash."""
    root = tmp_path_factory.mktemp("bundles")
    made = {}
    for seed in (1, 2):
        bundle = small_bundle(market, root / str(seed), seed=seed)
        made[bundle.hash] = root / str(seed)
    return made


@pytest.fixture(scope="session")
def bundles(market: SmallMarket, bundle_dirs: dict[str, Path]) -> tuple[LoadedBundle, ...]:
    """The same bundles, loaded."""
    from registry.load import load_bundle

    return tuple(
        load_bundle(where, expected_hash=bundle_hash, running=market.contract)
        for bundle_hash, where in bundle_dirs.items()
    )


@pytest.fixture(scope="session")
def template(market: SmallMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the bars up to ``fault_stand.AT``; what is known later is in it and not seen before."""
    lake = Lake(tmp_path_factory.mktemp("template") / "lake")
    for symbol in SYMBOLS:
        end_ms = TIMEFRAME.open_time(AT + 1)
        lake.append_candles(market.lake.candles(symbol, TIMEFRAME, end_ms=end_ms), source="synthetic")
        copy_stamps(market.lake, lake, symbol)
    return Path(lake.root)
