"""What is a registered version, as its tags tell it?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.decision_notes import decision_in_words
from registry.errors import StoreError

__all__ = ["ForeignVersion", "RegisteredVersion", "described", "told", "unknown_version"]

_NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """One version of the registered model as its tags describe it; ``decision`` is the last one about it, in words."""

    version: int
    bundle_hash: str
    contract: str
    synthetic: bool
    created_ms: int
    run_id: str
    aliases: tuple[str, ...]
    decision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignVersion:
    """One version that something else than Lockstep registered: it has no bundle hash, so it never serves."""

    version: int
    created_ms: int
    run_id: str
    aliases: tuple[str, ...]


def told(found: Any, aliases: Mapping[str, int]) -> RegisteredVersion | ForeignVersion:
    """A version as its tags describe it; one without a bundle hash is foreign."""
    number = int(found.version)
    created_ms, run_id = int(found.creation_timestamp), str(found.run_id)
    pointed = tuple(sorted(alias for alias, at in aliases.items() if at == number))
    if "bundle_hash" not in found.tags:
        return ForeignVersion(version=number, created_ms=created_ms, run_id=run_id, aliases=pointed)
    return RegisteredVersion(
        version=number,
        bundle_hash=found.tags["bundle_hash"],
        contract=found.tags.get("contract", ""),
        synthetic=found.tags.get("synthetic") != "false",
        created_ms=created_ms,
        run_id=run_id,
        aliases=pointed,
        decision=decision_in_words(found.tags),
    )


def described(found: Any, aliases: Mapping[str, int]) -> RegisteredVersion:
    """A version that must be a bundle; raises ``StoreError`` when it is none."""
    one = told(found, aliases)
    if isinstance(one, ForeignVersion):
        raise StoreError(
            f"version {one.version} of {found.name!r} is not a Lockstep bundle",
            why="it has no bundle hash, so nothing proves what is in it",
            remedy="delete that version in MLflow, or name one that lockstep models list shows with a bundle",
        )
    return one


def unknown_version(model_name: str, version: int, known: Sequence[int]) -> StoreError:
    """The error for a version that is not there, beside those that are."""
    if not known:
        return StoreError(
            f"version {version} of {model_name!r} does not exist",
            why="nothing is registered under this name yet",
            remedy="train first, or set registry.model_name to the model you mean",
        )
    earlier = "... " if len(known) > _NAMED_AT_MOST else ""
    return StoreError(
        f"version {version} of {model_name!r} does not exist",
        why=f"its versions are {earlier}{', '.join(map(str, known[-_NAMED_AT_MOST:]))}",
        remedy="name one of them; lockstep models list shows what each is",
    )
