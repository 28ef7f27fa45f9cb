"""Which bundles does this home know?

One row a registered bundle in PostgreSQL, so that the worker, the pages and a rollback can answer without MLflow.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert

from infra.tables import bundles
from registry.load import LoadedBundle

__all__ = ["KnownBundle", "known_bundle", "record_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBundle:
    """What PostgreSQL keeps of a bundle; ``contract`` and ``label_spec`` are fingerprints."""

    bundle_hash: str
    model_name: str
    version: int
    contract: str
    label_spec: str
    synthetic: bool
    train_end_ms: int


def record_bundle(engine: Engine, bundle: LoadedBundle, *, model_name: str, version: int) -> None:
    """Store the row of a registered bundle; a second time changes nothing."""
    row = {
        "bundle_hash": bundle.hash,
        "model_name": model_name,
        "version": version,
        "contract": bundle.contract.fingerprint,
        "label_spec": bundle.label_spec.fingerprint,
        "synthetic": bundle.facts["synthetic"],
        "train_end_ms": int(str(bundle.facts["train_end_ms"])),
        "facts": bundle.facts,
    }
    with engine.begin() as connection:
        connection.execute(insert(bundles).values(**row).on_conflict_do_nothing())


def known_bundle(engine: Engine, bundle_hash: str) -> KnownBundle | None:
    """The row of a bundle, or None."""
    names = ("bundle_hash", "model_name", "version", "contract", "label_spec", "synthetic", "train_end_ms")
    query = select(*(bundles.c[name] for name in names)).where(bundles.c.bundle_hash == bundle_hash)
    with engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else KnownBundle(**row)
