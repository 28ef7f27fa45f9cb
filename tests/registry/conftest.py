"""Real boosters, a real kernel, a real PostgreSQL and a real MLflow for the registry's tests.

MLflow is there twice: its database, asked directly, and a tracking server over HTTP on that database, which keeps the
artifacts itself. What asks for ``store`` or ``desk`` gets the database; marked ``BOTH`` it runs on each.
"""

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, delete

from features.batch import compute_features
from features.contract import FeatureContract, running_contract
from features.inputs import BarInputs
from infra.bootstrap import App
from infra.database import database_url, open_database
from infra.lake import Lake
from infra.servers import mlflow_server
from infra.settings import load_settings
from infra.tables import outcomes, parity_runs, predictions, signals, switches, trigger_checks
from registry.bundle import BundleParts, load_bundle, seal
from registry.canonical import sha256_hex
from registry.catalog import record_bundle
from registry.manifest import MANIFEST, manifest_bytes, read_sealed
from registry.mlflow_access import client_for
from registry.mlflow_store import ModelStore
from registry.predictors import ModelPart
from registry.run_record import RunRecord
from registry.scaler import Scaler
from tasks.stores import bundle_cache
from tests.forked import ForkServer
from tests.registry.desk import Desk
from tests.registry.kinds import Tracking
from tests.registry.made_bundles import SPEC, Sealed, assemble, made_up_bars, train_models

Reseal = Callable[[dict[str, bytes | None]], str]
_NAMES = itertools.count()


@pytest.fixture(scope="session")
def contract() -> FeatureContract:
    return running_contract(SPEC)


@pytest.fixture(scope="session")
def bars(contract: FeatureContract) -> BarInputs:
    """One block of a made-up market and the warm-up before it."""
    return made_up_bars(contract, seed=11)


@pytest.fixture(scope="session")
def rows(bars: BarInputs, contract: FeatureContract) -> np.ndarray:
    """Valid feature rows, ``(n, F) float32``."""
    block = compute_features(bars, contract)
    return np.ascontiguousarray(block.values[block.reason == 0])


@pytest.fixture(scope="session")
def model_parts(rows: np.ndarray, contract: FeatureContract) -> tuple[tuple[ModelPart, ...], Scaler]:
    """Small real models on a planted signal: one of each kind."""
    return train_models(rows, contract, seed=3)


@pytest.fixture(scope="session")
def parts(
    contract: FeatureContract, bars: BarInputs, rows: np.ndarray, model_parts: tuple[tuple[ModelPart, ...], Scaler]
) -> BundleParts:
    models, scaler = model_parts
    return assemble(contract, bars, rows, models, scaler, seed=3)


@pytest.fixture(scope="session")
def sealed(parts: BundleParts, rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """A sealed bundle; tests that change files copy it first (``copied``)."""
    directory = tmp_path_factory.mktemp("sealed") / "bundle"
    return Sealed(directory=directory, hash=seal(parts, directory), parts=parts, X=rows)


@pytest.fixture(scope="session")
def others(
    contract: FeatureContract, bars: BarInputs, rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sealed, ...]:
    """Two more bundles, from other seeds."""
    made = []
    for seed in (4, 5):
        models, scaler = train_models(rows, contract, seed=seed)
        parts = assemble(contract, bars, rows, models, scaler, seed=seed)
        directory = tmp_path_factory.mktemp("sealed") / "bundle"
        made.append(Sealed(directory=directory, hash=seal(parts, directory), parts=parts, X=rows))
    return tuple(made)


@pytest.fixture
def copied(sealed: Sealed, tmp_path: Path) -> Path:
    """A copy of the sealed bundle to damage."""
    return Path(shutil.copytree(sealed.directory, tmp_path / "copy"))


@pytest.fixture
def reseal(copied: Path) -> Reseal:
    """Change files of the copy (None removes one) and write a fitting manifest, as an attacker could."""

    def change(changes: dict[str, bytes | None]) -> str:
        _, files = read_sealed(copied, expected_hash=None)
        merged = {name: data for name, data in (files | changes).items() if data is not None}
        for name in files:
            (copied / name).unlink()
        for name, data in {**merged, MANIFEST: manifest_bytes(merged)}.items():
            (copied / name).write_bytes(data)
        return sha256_hex(manifest_bytes(merged))

    return change


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = load_settings(tmp_path_factory.mktemp("home"), environ={}, overrides=None)
    with open_database(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def mlflow_uri(engine: Engine) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401  # its own import warns about other libraries
    return database_url(engine, "mlflow")


@pytest.fixture(scope="session")
def served(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """A real MLflow server over HTTP (ten seconds to start), with its own artifact store."""
    home = tmp_path_factory.mktemp("served")
    artifacts = home / "artifacts"
    # The same database: its tables are made by now, and made once.
    client_for(mlflow_uri)
    with mlflow_server(home, backend_uri=mlflow_uri, artifact_root=str(artifacts), port=None) as url:
        yield Tracking(kind="server", uri=url, artifact_root=None, kept_in=artifacts)


@pytest.fixture(scope="session")
def tracking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """Where MLflow is: its database, or the server in front of it for a test that is marked so."""
    if getattr(request, "param", "database") == "server":
        return request.getfixturevalue("served")
    artifacts = tmp_path_factory.mktemp("artifacts")
    return Tracking(
        kind="database", uri=request.getfixturevalue("mlflow_uri"), artifact_root=artifacts, kept_in=artifacts
    )


@pytest.fixture
def store(tracking: Tracking) -> ModelStore:
    """A registered model of its own in one shared MLflow."""
    return tracking.store(f"model-{next(_NAMES)}")


@pytest.fixture(scope="session")
def shelf(engine: Engine, tracking: Tracking, sealed: Sealed, others: tuple[Sealed, ...]) -> ModelStore:
    """Three bundles registered once in each MLflow, as versions 1, 2 and 3."""
    made = tracking.store(f"shelf-{tracking.kind}")
    for at, one in enumerate((sealed, *others), start=1):
        assert made.log_and_register(one.directory, one.hash, RunRecord()) == at
        loaded = load_bundle(one.directory, expected_hash=one.hash)
        record_bundle(engine, loaded, model_name=made.model_name, version=at)
    return made


@pytest.fixture
def desk(engine: Engine, tracking: Tracking, shelf: ModelStore, sealed: Sealed, others: tuple[Sealed, ...]) -> Desk:
    """A registered model of its own, whose versions share the runs and artifacts of the shelf."""
    store = tracking.store(f"desk-{next(_NAMES)}")
    client = store._client
    client.create_registered_model(store.model_name)
    for at in (1, 2, 3):
        held = client.get_model_version(shelf.model_name, str(at))
        client.create_model_version(store.model_name, source=held.source, run_id=held.run_id, tags=held.tags)
    return Desk(engine=engine, store=store, bundles=(sealed, *others))


_WARM_UP = """
import psycopg
import mlflow.pyfunc, mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from registry import mlflow_store, promotion
from registry.load import load_bundle
load_bundle({directory!r}, expected_hash=None)
"""


@pytest.fixture(scope="session")
def forks(sealed: Sealed) -> Iterator[ForkServer]:
    """Processes to kill that have loaded a bundle and imported what MLflow imports at its first question."""
    server = ForkServer(_WARM_UP.format(directory=str(sealed.directory)))
    yield server
    server.close()


@pytest.fixture
def app(desk: Desk, tmp_path: Path) -> Iterator[App]:
    """A home that works with the desk's model; its cache holds all three bundles."""
    settings = load_settings(
        tmp_path,
        environ={},
        overrides={"registry.model_name": desk.name, "registry.tracking_uri": desk.store.tracking_uri},
    )
    made = App(settings=settings, engine=desk.engine, lake=Lake(tmp_path / "lake", settle_delay_ms=5000))
    for one in desk.bundles:
        bundle_cache(made).put(one.directory, one.hash)
    yield made
    with desk.engine.begin() as connection:
        for table in (signals, predictions, outcomes, parity_runs, trigger_checks, switches):
            connection.execute(delete(table))
