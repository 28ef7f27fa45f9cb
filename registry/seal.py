"""How do parts become one bundle?

Written to a temporary directory beside the target, loaded and verified there like any other bundle, made durable and
renamed: the target either does not exist or is whole. Equal parts give the same hash.
"""

import os
import shutil
import tempfile
from pathlib import Path

from registry.bundle_files import check_parts, encode
from registry.bundle_parts import BundleParts
from registry.canonical import sha256_hex
from registry.errors import BundleError
from registry.load import load_bundle
from registry.manifest import MANIFEST, manifest_bytes, read_sealed

__all__ = ["place", "seal", "write_sealed"]


def seal(parts: BundleParts, directory: Path | str) -> str:
    """Write the bundle to ``directory`` and return its hash; sealing the same parts there twice changes nothing.

    Raises ``BundleError`` when the parts do not make a bundle that loads, or ``directory`` holds anything else.
    """
    check_parts(parts)
    target = Path(directory)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sealing-", dir=target.parent) as scratch:
        made = Path(scratch) / "bundle"
        bundle_hash = write_sealed(encode(parts), made)
        load_bundle(made, expected_hash=bundle_hash)
        place(made, target, bundle_hash)
    return bundle_hash


def write_sealed(files: dict[str, bytes], directory: Path) -> str:
    """Write files and their manifest into a new directory, durably; the manifest's hash. Verifies nothing."""
    seal_bytes = manifest_bytes(files)
    directory.mkdir(parents=True)
    for name, data in {**files, MANIFEST: seal_bytes}.items():
        with (directory / name).open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    _sync(directory)
    return sha256_hex(seal_bytes)


def place(made: Path, target: Path, bundle_hash: str) -> None:
    """Rename a verified directory to ``target``; if the same bundle is already there, leave it."""
    try:
        made.rename(target)
        _sync(target.parent)
    except OSError as occupied:
        try:
            read_sealed(target, expected_hash=bundle_hash)
        except BundleError as other:
            raise BundleError(
                f"{target.name} cannot take bundle {bundle_hash[:12]} ({occupied.strerror})",
                why="another bundle, or something else, is in its place, and nothing is overwritten",
                remedy="choose another directory or remove that one",
            ) from other
        shutil.rmtree(made)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
