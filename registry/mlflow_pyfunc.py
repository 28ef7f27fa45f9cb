"""How does a sealed bundle become a model that MLflow itself can load?"""

import shutil
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from registry.bundle_files import decode
from registry.load import LoadedBundle
from registry.manifest import read_sealed

__all__ = ["save_pyfunc"]

_EXAMPLE_ROWS = 2


def save_pyfunc(directory: Path, bundle: LoadedBundle, into: Path) -> None:
    """The MLflow model directory ``into``: code, requirements, signature, input example and the bundle."""
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    copy = into.parent / "bundle"
    shutil.copytree(directory, copy)
    packages = ("lockstep", "mlflow", "lightgbm", "xgboost", "numpy", "numba", "pandas")
    save_model(
        into,
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={"bundle": str(copy)},
        model_config={"bundle_hash": bundle.hash},
        signature=ModelSignature(
            inputs=Schema([ColSpec("double", name) for name in bundle.contract.names]),
            outputs=Schema([ColSpec("double", name) for name in ("p_hold", "p_buy", "p_sell")]),
        ),
        input_example=_golden_rows(copy, bundle),
        pip_requirements=[f"{name}=={installed(name)}" for name in packages],
    )


def _golden_rows(directory: Path, bundle: LoadedBundle) -> Any:
    """The first golden rows as the frame a caller would send: what they predict is proven at every load."""
    from pandas import DataFrame

    _, files = read_sealed(directory, expected_hash=bundle.hash)
    rows = decode(files).golden.features[:_EXAMPLE_ROWS].astype("float64")
    return DataFrame(rows, columns=list(bundle.contract.names))
