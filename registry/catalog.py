"""Which bundles does this home know?

One row a registered bundle in PostgreSQL, so that the worker, the pages and a rollback can answer without MLflow.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, exists, extract, select
from sqlalchemy.dialects.postgresql import insert

from infra.tables import bundles, deployments, predictions
from registry.load import LoadedBundle

__all__ = ["KnownBundle", "challengers_before", "known_bundle", "record_bundle"]


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


def challengers_before(engine: Engine, bundle_hash: str) -> tuple[int, int]:
    """How many bundles of the same model and year (UTC) were tried in shadow before this one, and how many promoted.

    Who has a prediction was tried, whether or not anybody asked the gates: what can be looked at counts.
    """
    mine = bundles.alias("mine")
    year = [extract("year", one.c.created_at.op("AT TIME ZONE")("UTC")) for one in (bundles, mine)]
    tried = exists().where(predictions.c.bundle_hash == bundles.c.bundle_hash)
    promoted = exists().where(deployments.c.bundle_hash == bundles.c.bundle_hash, deployments.c.action == "promote")
    query = (
        select(promoted.label("promoted"))
        .join_from(bundles, mine, bundles.c.model_name == mine.c.model_name)
        .where(
            mine.c.bundle_hash == bundle_hash,
            bundles.c.bundle_hash != bundle_hash,
            (bundles.c.created_at < mine.c.created_at)
            | ((bundles.c.created_at == mine.c.created_at) & (bundles.c.bundle_hash < bundle_hash)),
            year[0] == year[1],
            tried,
        )
    )
    with engine.connect() as connection:
        found = connection.execute(query).scalars().all()
    return len(found), sum(found)
