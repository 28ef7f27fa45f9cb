"""Where are finished feature blocks kept, and can they be trusted?

A block is arrays under a key that hashes everything they were computed from, so a finished block never changes and
never goes stale: other inputs have another key. Each file carries the SHA-256 of its content; a damaged one is removed
and counts as absent. Nothing here knows what the arrays mean.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import LakeError

__all__ = ["BlockCache"]

_DIGEST = 32


class BlockCache:
    """Immutable blocks of arrays under ``root/<namespace>/<key>``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, namespace: str, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays stored under the key, or None where there are none or they are damaged."""
        path = self._path(namespace, key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        payload = content[_DIGEST:]
        if sha256(payload).digest() != content[:_DIGEST]:
            path.unlink(missing_ok=True)
            return None
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def put(self, namespace: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store arrays atomically; a second writer of the same key writes the same bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        payload = buffer.getvalue()
        path = self._path(namespace, key)
        temporary = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp-", delete=False) as out:
                temporary = out.name
                out.write(sha256(payload).digest() + payload)
                out.flush()
                os.fsync(out.fileno())
            Path(temporary).replace(path)
        except OSError as error:
            if temporary:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink(missing_ok=True)
            raise LakeError(
                f"cannot write {path.parent} ({error.strerror or error})",
                why="this feature block was not stored",
                remedy="free space or fix the permissions there, then run this again",
            ) from error

    def _path(self, namespace: str, key: str) -> Path:
        return self.root / namespace / key[:2] / f"{key}.blk"
