"""Real boosters, a real kernel, a real PostgreSQL and a real MLflow for the registry's tests."""

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from features.batch import compute_features
from features.contract import FeatureContract, running_contract
from features.inputs import BarInputs
from infra.database import database_url, open_database
from infra.settings import load_settings
from registry.bundle import BundleParts, seal
from registry.canonical import sha256_hex
from registry.manifest import MANIFEST, manifest_bytes, read_sealed
from registry.mlflow_store import ModelStore
from registry.predictors import ModelPart
from registry.scaler import Scaler
from tests.registry.made_bundles import SPEC, Sealed, assemble, made_up_bars, train_models


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
def reseal(copied: Path) -> Callable[[dict[str, bytes | None]], str]:
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


_NAMES = itertools.count()


@pytest.fixture(scope="session")
def mlflow_uri(engine: Engine) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401  # its own import warns about other libraries
    return database_url(engine, "mlflow")


@pytest.fixture
def store(mlflow_uri: str, tmp_path: Path) -> ModelStore:
    """A registered model of its own in one shared MLflow database."""
    return ModelStore(mlflow_uri, artifact_root=tmp_path / "artifacts", model_name=f"model-{next(_NAMES)}")
