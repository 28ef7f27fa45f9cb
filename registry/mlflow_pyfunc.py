"""How does a sealed bundle become a model that MLflow itself can load?"""

import shutil
from importlib.metadata import version as installed
from pathlib import Path

from registry.load import LoadedBundle

__all__ = ["save_pyfunc"]


def save_pyfunc(directory: Path, bundle: LoadedBundle, into: Path) -> None:
    """The MLflow model directory ``into``: code, requirements, signature and the bundle."""
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
        pip_requirements=[f"{name}=={installed(name)}" for name in packages],
    )
