"""Is this symbol's data real or made up?

The first append of a symbol, of whatever kind, claims its origin; every later one must agree. The claim is one small
file created atomically, so two processes cannot both be first.
"""

import os
from contextlib import suppress
from pathlib import Path

from infra.errors import LakeError

__all__ = ["claim_origin"]

_FOLDER = ".origin"


def claim_origin(root: Path, symbol: str, *, synthetic: bool) -> None:
    """Claim the symbol for real or synthetic rows; ``LakeError`` if the lake holds the other for it."""
    mine = "synthetic" if synthetic else "real"
    claim = root / _FOLDER / symbol
    theirs = _read(claim)
    if theirs is None or (theirs != mine and not _has_data(root, symbol)):
        theirs = _write(claim, mine, replace=theirs is not None)
    if theirs != mine:
        raise LakeError(
            f"{symbol} holds {theirs} rows, and these are {mine}",
            why="a model trained on both would be judged on data that never happened",
            remedy=f"use another --home for {mine} data, or delete this symbol's folders under {root}",
        )


def _read(claim: Path) -> str | None:
    try:
        return claim.read_text().strip()
    except FileNotFoundError:
        return None


def _write(claim: Path, mine: str, *, replace: bool) -> str:
    """Create the claim unless another process was first; what holds afterwards is returned."""
    claim.parent.mkdir(parents=True, exist_ok=True)
    temporary = claim.with_name(f".{claim.name}.{os.getpid()}.tmp")
    temporary.write_text(mine)
    try:
        if replace:
            temporary.replace(claim)
        else:
            with suppress(FileExistsError):
                claim.hardlink_to(temporary)
    finally:
        temporary.unlink(missing_ok=True)
    return _read(claim) or mine


def _has_data(root: Path, symbol: str) -> bool:
    return any(root.glob(f"*/{symbol}/*.parquet"))
