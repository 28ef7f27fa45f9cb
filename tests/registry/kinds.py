"""Which MLflow does a test of the registry talk to?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import pytest

from registry.mlflow_store import ModelStore

__all__ = ["BOTH", "SERVER", "Tracking"]

BOTH = pytest.mark.parametrize("tracking", ["database", "server"], indirect=True, scope="session")
SERVER = pytest.mark.parametrize("tracking", ["server"], indirect=True, scope="session")


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """MLflow's address, where a client puts artifacts (None: the server keeps them), and where they end up."""

    kind: Literal["database", "server"]
    uri: str
    artifact_root: Path | None
    kept_in: Path

    def store(self, model_name: str, **changes: object) -> ModelStore:
        """A registered model in this MLflow."""
        given: dict[str, object] = {"artifact_root": self.artifact_root, "model_name": model_name}
        return ModelStore(str(changes.pop("uri", self.uri)), **(given | changes))

    def model_directory(self, store: ModelStore, version: int) -> Path:
        """Where the files of a version lie on the disk of this machine."""
        source = urlsplit(store._client.get_model_version_download_uri(store.model_name, str(version)))
        path = unquote(source.path)
        return self.kept_in / path.lstrip("/") if source.scheme == "mlflow-artifacts" else Path(path)
