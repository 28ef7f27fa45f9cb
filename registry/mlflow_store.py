"""How do bundles become versions that people can see, compare and point at?

One registered MLflow model per ``model_name``; every version is one sealed bundle inside a models-from-code pyfunc,
found again by its bundle hash, so registering twice gives the same version. Aliases ``champion``, ``challenger`` and
``previous`` show the state that PostgreSQL's ``deployments`` decides. MLflow hashes no artifacts itself: what is
downloaded is checked against the version's hash. No global state of MLflow is changed, and it is imported at the
first question (3 s), not before.
"""

import contextlib
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from registry import mlflow_run
from registry.canonical import sha256_hex
from registry.decision_notes import NotedDecision, decision_tags, with_decision
from registry.load import LoadedBundle, load_bundle
from registry.manifest import MANIFEST, read_sealed
from registry.mlflow_access import PATIENCE_S, asking, client_for
from registry.mlflow_pyfunc import save_pyfunc
from registry.mlflow_texts import about_experiment, about_model
from registry.mlflow_versions import ForeignVersion, RegisteredVersion, described, told, unknown_version
from registry.model_card import model_card
from registry.run_record import RunRecord
from registry.seal import place

__all__ = ["Alias", "ForeignVersion", "ModelStore", "RegisteredVersion"]

Alias = Literal["challenger", "champion", "previous"]
SYNCED = "lockstep.deployment"


class ModelStore:
    """A view of one registered model in MLflow.

    ``tracking_uri`` is a ``postgresql+psycopg://`` database of MLflow's own or the http(s) address of a server;
    ``artifact_root`` is where artifacts of a new experiment go (None: where the server wants them). A server has
    ``patience_s`` for each answer.
    """

    def __init__(
        self, tracking_uri: str, *, artifact_root: Path | str | None, model_name: str, patience_s: float = PATIENCE_S
    ) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self.model_name = model_name
        self.patience_s = patience_s

    def log_and_register(self, directory: Path | str, bundle_hash: str, record: RunRecord) -> int:
        """Log one run with the bundle and register it; returns the version, the same one for the same bundle.

        The bundle hash travels in the same statement that makes the version: killed at any point, a second call either
        finds the version or makes it. Raises ``BundleError`` for a bundle that does not load here.
        """
        bundle = load_bundle(directory, expected_hash=bundle_hash)
        with self._asking("the registration"):
            found = self._find(bundle_hash)
            if found is not None:
                return found
            run_id, artifact_uri = mlflow_run.log_run(
                self._client,
                self._experiment(),
                bundle,
                record,
                tags=_bundle_tags(bundle),
                model=lambda into: save_pyfunc(Path(directory), bundle, into),
            )
            self._ensure_model()
            self._client.create_model_version(
                self.model_name,
                source=f"{artifact_uri}/model",
                run_id=run_id,
                tags={**_told_of_versions(record.tags), **_bundle_tags(bundle)},
                description=model_card(bundle),
            )
            # Two processes may have registered at once: everybody agrees on the first.
            return self._find(bundle_hash) or 0

    def find_version_by_hash(self, bundle_hash: str) -> int | None:
        """The first version that holds this bundle, or None."""
        with self._asking("a look-up"):
            return self._find(bundle_hash)

    def versions(self) -> tuple[RegisteredVersion | ForeignVersion, ...]:
        """Every version, oldest first; empty when nothing was registered."""
        with self._asking("the list of versions"):
            aliases = self._aliases()
            return tuple(told(one, aliases) for one in self._search())

    def version(self, version: int) -> RegisteredVersion:
        """One version; raises ``StoreError`` when there is none or it is no bundle."""
        with self._asking(f"version {version}"):
            return described(self._one(version), self._aliases())

    def has_version(self, version: int) -> bool:
        """Whether MLflow (still) has this version, whatever it holds."""
        with self._asking(f"version {version}"):
            return bool(self._search(f" and version_number = {version}"))

    def bundle_of(self, version: int) -> str | None:
        """The hash of the bundle that a version holds; None where there is no such version or it holds none."""
        with self._asking(f"version {version}"):
            found = self._search(f" and version_number = {version}")
            return found[0].tags.get("bundle_hash") if found else None

    def aliases(self) -> dict[str, int]:
        """Every alias with the version it points at."""
        with self._asking("the aliases"):
            return self._aliases()

    def get_alias(self, alias: Alias) -> int | None:
        """The version an alias points at, or None."""
        with self._asking(f"the alias {alias}"):
            return self._aliases().get(alias)

    def set_alias(self, alias: Alias, version: int) -> None:
        """Point an alias at a version; doing it twice changes nothing."""
        with self._asking(f"the alias {alias}"):
            self._client.set_registered_model_alias(self.model_name, alias, str(version))

    def remove_alias(self, alias: Alias) -> None:
        """Remove an alias, if it is there."""
        with self._asking(f"the alias {alias}"):
            if alias in self._aliases():
                self._client.delete_registered_model_alias(self.model_name, alias)

    def add_decision(self, version: int, decision: NotedDecision) -> None:
        """Show a decision on the version it judged, in its tags and its model card; twice changes nothing."""
        with self._asking(f"the decision on version {version}"):
            found = self._one(version)
            card = with_decision(str(found.description or ""), decision)
            if card != found.description:
                self._client.update_model_version(self.model_name, str(version), description=card)
            for name, value in decision_tags(decision).items():
                if found.tags.get(name) != value:
                    self._client.set_model_version_tag(self.model_name, str(version), name, value)

    def synced_deployment(self) -> int | None:
        """The id of the deployment the aliases were last moved for, or None."""
        with self._asking("the tags"):
            model = self._model()
            found = None if model is None else model.tags.get(SYNCED)
            return None if found is None else int(found)

    def mark_synced(self, deployment_id: int) -> None:
        """Note that the aliases show this deployment."""
        with self._asking("the tags"):
            self._client.set_registered_model_tag(self.model_name, SYNCED, str(deployment_id))

    def download(self, version: int, destination: Path | str) -> str:
        """Fetch a version's bundle to ``destination`` (verified, then renamed into place); returns its hash.

        Raises ``BundleError`` when the stored artifacts are not what was registered.
        """
        target = Path(destination)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._asking(f"the download of version {version}"):
            known = described(self._one(version), {})
            source = f"{self._client.get_model_version_download_uri(self.model_name, str(version))}/artifacts/bundle"
            with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as scratch:
                # Alone first: MLflow asks for every file, each with its retries, before it says that the first failed.
                seal = self._fetch(f"{source}/{MANIFEST}", Path(scratch) / "seal")
                if sha256_hex(seal.read_bytes()) == known.bundle_hash:
                    made = self._fetch(source, Path(scratch) / "whole")
                else:
                    made = seal.parent
                read_sealed(made, expected_hash=known.bundle_hash)
                place(made, target, known.bundle_hash)
        return known.bundle_hash

    def _fetch(self, artifact_uri: str, into: Path) -> Path:
        from mlflow.artifacts import download_artifacts

        into.mkdir()
        return Path(download_artifacts(artifact_uri=artifact_uri, dst_path=str(into), tracking_uri=self.tracking_uri))

    @property
    def _client(self) -> Any:
        return client_for(self.tracking_uri)

    def _asking(self, what: str) -> AbstractContextManager[None]:
        return asking(self.tracking_uri, f"{what} of {self.model_name!r}", patience_s=self.patience_s)

    def _search(self, condition: str = "") -> list[Any]:
        """The versions that meet a condition (all of them without one), oldest first."""
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_model_versions(f"name='{self.model_name}'{condition}", page_token=token)
            found += page
            token = page.token
            if not token:
                return sorted(found, key=lambda one: int(one.version))

    def _one(self, version: int) -> Any:
        found = self._search(f" and version_number = {version}")
        if not found:
            raise unknown_version(self.model_name, version, [int(one.version) for one in self._search()])
        return found[0]

    def _find(self, bundle_hash: str) -> int | None:
        found = self._search(f" and tags.bundle_hash = '{bundle_hash}'")
        return int(found[0].version) if found else None

    def _model(self) -> Any:
        found = self._client.search_registered_models(f"name = '{self.model_name}'")
        return found[0] if found else None

    def _aliases(self) -> dict[str, int]:
        model = self._model()
        return {} if model is None else {str(name): int(version) for name, version in model.aliases.items()}

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        if self._model() is None:
            with contextlib.suppress(MlflowException):  # another process made it first; the next call tells otherwise
                self._client.create_registered_model(self.model_name, description=about_model(self.model_name))

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.model_name)
        if found is None:
            location = None if self.artifact_root is None else _as_uri(self.artifact_root, self.model_name)
            try:
                made = self._client.create_experiment(
                    self.model_name, artifact_location=location, tags=_experiment_tags(self.model_name)
                )
                return str(made)
            except MlflowException:
                found = self._client.get_experiment_by_name(self.model_name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        for name, value in _experiment_tags(self.model_name).items():
            if name not in found.tags:  # what an operator wrote there stays
                self._client.set_experiment_tag(found.experiment_id, name, value)
        return str(found.experiment_id)


def _as_uri(root: Path | str, model_name: str) -> str:
    if isinstance(root, str) and "://" in root:
        return f"{root.rstrip('/')}/{model_name}"
    return (Path(root).resolve() / model_name).as_uri()


def _experiment_tags(model_name: str) -> dict[str, str]:
    """A description, and the kind that keeps MLflow's page from asking for one."""
    return {
        "mlflow.note.content": about_experiment(model_name),
        "mlflow.experimentKind": "custom_model_development",
    }


def _told_of_versions(tags: Mapping[str, str]) -> dict[str, str]:
    """The few tags of a run that tell versions apart in their list; the others are one click away."""
    return {name: tags[name] for name in ("period", "mode", "commit", "training_key") if name in tags}


def _bundle_tags(bundle: LoadedBundle) -> dict[str, str]:
    return {
        "bundle_hash": bundle.hash,
        "contract": bundle.contract.fingerprint,
        "synthetic": "true" if bundle.facts["synthetic"] else "false",
        "snapshot_id": str(bundle.facts["snapshot_id"]),
    }
