"""What a worker needs to start."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from infra.bootstrap import App
from infra.tables import deployments
from registry.bundle import LoadedBundle
from registry.deployments import append, changing_champion
from tasks.lineups import local_lineup
from tasks.stores import bundle_cache
from tests.fakes.small_market import small_bundle, small_market


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LoadedBundle]:
    """A sealed bundle, and where it lies."""
    place = tmp_path_factory.mktemp("bundle") / "b"
    return place, small_bundle(small_market(tmp_path_factory.mktemp("market") / "lake"), place, seed=1)


@pytest.fixture
def deployed(app: App, bundle: tuple[Path, LoadedBundle]) -> Iterator[str]:
    """It is champion of the home, and in no cache yet."""
    name = app.settings.registry.model_name
    with changing_champion(app.engine, name) as (connection, champion, _):
        append(
            connection,
            model_name=name,
            bundle_hash=bundle[1].hash,
            version=3,
            previous=champion,
            action="promote",
            card_id=None,
            why="test",
            who="tester",
        )
    yield bundle[1].hash
    shutil.rmtree(app.settings.home / "bundles" / bundle[1].hash, ignore_errors=True)
    with app.engine.begin() as connection:
        connection.execute(delete(deployments))


def test_neither_prefect_nor_mlflow_is_imported_to_start():
    """Seconds of import that no bar has to wait for, and two services that may be down."""
    code = "import sys, tasks.live; print([name for name in ('mlflow', 'prefect', 'ccxt') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.integration
def test_a_champion_in_the_cache_needs_no_registry(app: App, bundle: tuple[Path, LoadedBundle], deployed: str):
    """Without the files, or with damaged ones, the registry has to be asked; with them it is not."""
    assert local_lineup(app) is None
    place = bundle_cache(app).put(bundle[0], deployed)
    found = local_lineup(app)
    assert found is not None
    assert found.champion is not None
    assert (found.champion.bundle.hash, found.champion.version) == (deployed, 3)
    damaged = place / "policy.json"
    kept = damaged.read_bytes()
    damaged.chmod(0o600)
    damaged.write_bytes(kept[:-1] + b" ")
    assert local_lineup(app) is None
    damaged.write_bytes(kept)


@pytest.mark.integration
def test_where_nobody_is_champion_the_registry_is_asked(app: App):
    """Somebody may have set the alias by hand."""
    assert local_lineup(app) is None
