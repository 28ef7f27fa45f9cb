"""Which bundle is champion, and which one would a rollback return to?

The last row of ``deployments`` is the truth; MLflow's aliases follow it. Reading it needs PostgreSQL alone. Changes of
one model are serialised by an advisory lock that ends with its transaction, so a killed process holds nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, insert, select, text

from infra.locks import lock_key
from infra.tables import deployments

__all__ = [
    "Action",
    "Deployment",
    "append",
    "changing_champion",
    "current_champion",
    "deployment_history",
    "disputed",
    "rollback_target",
]

Action = Literal["promote", "rollback", "adopt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One change of champion; ``previous_hash`` is the champion it replaced."""

    id: int
    model_name: str
    bundle_hash: str
    version: int
    previous_hash: str | None
    action: str
    card_id: int | None
    why: str
    who: str
    created_at: datetime


def current_champion(engine: Engine, model_name: str) -> Deployment | None:
    """The champion now, or None before the first promotion."""
    with engine.connect() as connection:
        return _last(connection, model_name)


def disputed(engine: Engine, model_name: str) -> str:
    """Why nobody can tell who is champion, in words; empty where the last row follows from the one before it.

    Every change names the champion it replaced. A last row that replaced another one than the row before it made was
    written past the lock: by hand, or by a second database that was merged in. Both bundles then claim to be champion,
    and only a person knows which is meant; the next promotion or rollback settles it.
    """
    query = select(deployments).where(deployments.c.model_name == model_name).order_by(deployments.c.id.desc()).limit(2)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    if len(rows) < 2 or rows[0].previous_hash == rows[1].bundle_hash:
        return ""
    replaced = "none" if rows[0].previous_hash is None else rows[0].previous_hash[:12]
    return (
        f"deployment {rows[0].id} made {rows[0].bundle_hash[:12]} champion in place of {replaced}, "
        f"but the champion was {rows[1].bundle_hash[:12]}"
    )


def deployment_history(engine: Engine, model_name: str) -> tuple[Deployment, ...]:
    """Every change of champion, oldest first."""
    with engine.connect() as connection:
        return _all(connection, model_name)


def rollback_target(history: Sequence[Deployment]) -> Deployment | None:
    """The champion before the current one that no rollback has left, or None.

    A rollback leaves the bundles it goes back over: after A, B, C and a rollback to B the next target is A, never C.
    """
    kept: list[Deployment] = []
    for row in history:
        hashes = [one.bundle_hash for one in kept]
        if row.action == "rollback" and row.bundle_hash in hashes:
            del kept[hashes.index(row.bundle_hash) + 1 :]
        else:
            kept.append(row)
    earlier = [row for row in kept if row.bundle_hash != history[-1].bundle_hash] if kept else []
    return earlier[-1] if earlier else None


@contextmanager
def changing_champion(
    engine: Engine, model_name: str
) -> Iterator[tuple[Connection, Deployment | None, tuple[Deployment, ...]]]:
    """One transaction under the model's lock: (connection, champion, history); commits when the block ends well."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(f"champion {model_name}")})
        history = _all(connection, model_name)
        yield connection, history[-1] if history else None, history


def append(
    connection: Connection,
    *,
    model_name: str,
    bundle_hash: str,
    version: int,
    previous: Deployment | None,
    action: Action,
    card_id: int | None,
    why: str,
    who: str,
) -> Deployment:
    """Insert one change of champion; only within ``changing_champion``."""
    statement = insert(deployments).values(
        model_name=model_name,
        bundle_hash=bundle_hash,
        version=version,
        previous_hash=None if previous is None else previous.bundle_hash,
        action=action,
        card_id=card_id,
        why=why,
        who=who,
    )
    return Deployment(**connection.execute(statement.returning(*deployments.c)).mappings().one())


def _last(connection: Connection, model_name: str) -> Deployment | None:
    query = select(deployments).where(deployments.c.model_name == model_name).order_by(deployments.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Deployment(**row)


def _all(connection: Connection, model_name: str) -> tuple[Deployment, ...]:
    query = select(deployments).where(deployments.c.model_name == model_name).order_by(deployments.c.id)
    return tuple(Deployment(**row) for row in connection.execute(query).mappings())
