"""Are these the bytes that were sealed, all of them and nothing else?

``manifest.json`` names every file with its size and SHA-256; the bundle hash is the SHA-256 of the manifest itself, and
stands in the model registry, in PostgreSQL and in every prediction. Each file is read once: what was hashed is what
is parsed.
"""

import os
from pathlib import Path
from typing import Any

from registry.canonical import canonical_json, parse_json, sha256_hex
from registry.errors import BundleError

__all__ = ["MANIFEST", "manifest_bytes", "read_sealed"]

MANIFEST = "manifest.json"
_FORMAT = 1
_LARGEST = 2 << 30


def manifest_bytes(files: dict[str, bytes]) -> bytes:
    """The manifest of these files."""
    listed = {name: {"sha256": sha256_hex(data), "size": len(data)} for name, data in files.items()}
    return canonical_json({"format": _FORMAT, "files": listed})


def read_sealed(directory: Path, *, expected_hash: str | None) -> tuple[str, dict[str, bytes]]:
    """(bundle hash, file bytes by name); raises ``BundleError`` naming the first thing that is not as sealed."""
    seal = _bytes(directory, MANIFEST)
    found = sha256_hex(seal)
    if expected_hash is not None and found != expected_hash:
        raise _refuse(
            directory,
            f"the manifest has hash {found[:12]}, expected {expected_hash[:12]}",
            "this is another bundle, or it was sealed again by somebody",
        )
    listed = _listed(directory, seal)
    present = {entry.name: entry for entry in os.scandir(directory)}
    for name in sorted(present):
        if name not in listed and name != MANIFEST:
            raise _refuse(directory, f"{name} is not in the manifest", "a file nobody sealed must not travel along")
        if not present[name].is_file(follow_symlinks=False):
            raise _refuse(directory, f"{name} is no plain file", "links and folders can point anywhere")
    files = {}
    for name, (size, digest) in sorted(listed.items()):
        if name not in present:
            raise _refuse(directory, f"{name} is missing", "the bundle is not complete")
        data = _bytes(directory, name)
        if len(data) != size:
            raise _refuse(directory, f"{name} has {len(data)} bytes instead of {size}", "it was cut or grew")
        if sha256_hex(data) != digest:
            raise _refuse(directory, f"{name} has other content than was sealed", "at least one byte was changed")
        files[name] = data
    return found, files


def _listed(directory: Path, seal: bytes) -> dict[str, tuple[int, str]]:
    try:
        read: Any = parse_json(seal)
        if read["format"] != _FORMAT:
            raise _refuse(directory, f"format {read['format']}", f"this code reads format {_FORMAT}")
        listed = {str(name): (int(one["size"]), str(one["sha256"])) for name, one in read["files"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as bad:
        raise _refuse(directory, f"{MANIFEST} cannot be read ({bad})", "nothing can be checked without it") from bad
    for name, (size, _) in listed.items():
        if name in (MANIFEST, ".", "..") or "/" in name or "\\" in name or not 0 <= size <= _LARGEST:
            raise _refuse(directory, f"{MANIFEST} lists {name!r} of {size} bytes", "no sealed bundle has such a file")
    return listed


def _bytes(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as bad:
        raise _refuse(directory, f"{name} cannot be read ({bad.strerror})", "the bundle is not complete") from bad


def _refuse(directory: Path, what: str, why: str) -> BundleError:
    return BundleError(
        f"bundle {directory.name}: {what}",
        why=why,
        remedy="keep the last good bundle; fetch this one again, or use another version",
    )
