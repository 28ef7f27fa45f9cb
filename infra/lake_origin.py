"""Is this symbol's data real or made up?

The first append of a symbol, of whatever kind, claims its origin; every later one must agree. The claim is one small
file that of two processes only one can create, so both cannot be first.
"""

from infra.errors import LakeError
from infra.lake_contents import kinds
from infra.lake_files import data_files
from infra.lake_storage import Held, Storage

__all__ = ["claim_origin"]

_FOLDER = ".origin"


def claim_origin(storage: Storage, symbol: str, *, synthetic: bool, held: Held, timeout_s: float) -> None:
    """Claim the symbol for real or synthetic rows; ``LakeError`` if the lake holds the other for it."""
    mine = "synthetic" if synthetic else "real"
    claim = f"{_FOLDER}/{symbol}"
    theirs = _read(storage, claim)
    if theirs is None:
        storage.create(claim, mine.encode(), timeout_s=timeout_s)
        theirs = _read(storage, claim)
    elif theirs != mine and not _has_data(storage, symbol):
        storage.write([(claim, memoryview(mine.encode()))], held=held)
        theirs = mine
    if theirs != mine:
        raise LakeError(
            f"{symbol} holds {theirs} rows, and these are {mine}",
            why="a model trained on both would be judged on data that never happened",
            remedy=f"use another --home for {mine} data, or delete this symbol's folders under {storage.shown('')}",
        )


def _read(storage: Storage, claim: str) -> str | None:
    try:
        return storage.read([claim])[0].decode().strip()
    except FileNotFoundError:
        return None


def _has_data(storage: Storage, symbol: str) -> bool:
    return any(data_files(storage, f"{kind}/{symbol}") for kind in kinds(storage))
