"""Where does a process find a bundle when the registry is down?

Content-addressed directories ``<root>/<bundle hash>``, verified on every read: a damaged entry is refused, never used,
and replaced by the next ``put``. The worker serves from here and from nowhere else.
"""

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from features.contract import FeatureContract
from infra.scratch import scratch_directory
from registry.errors import BundleError
from registry.load import LoadedBundle, load_bundle
from registry.manifest import read_sealed
from registry.seal import place

__all__ = ["BundleCache"]

_HASH = re.compile(r"[0-9a-f]{64}")


class BundleCache:
    """Bundles on this machine under ``root`` (``<home>/bundles``), made when the first one arrives."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def put(self, directory: Path | str, bundle_hash: str) -> Path:
        """Copy a bundle in under its hash, verified before and after; a sound entry is left as it is."""
        target = self._entry(bundle_hash)
        if self.has(bundle_hash):
            return target
        source = Path(directory)
        read_sealed(source, expected_hash=bundle_hash)
        with scratch_directory(self.root, prefix=".arriving-") as scratch:
            made = scratch / "bundle"
            shutil.copytree(source, made)
            read_sealed(made, expected_hash=bundle_hash)
            for path in made.iterdir():
                with path.open("rb") as written:
                    os.fsync(written.fileno())
            if target.exists():
                target.rename(scratch / "damaged")
            place(made, target, bundle_hash)
        return target

    def path(self, bundle_hash: str) -> Path:
        """The verified directory of a bundle; raises ``BundleError`` when it is absent or damaged."""
        target = self._entry(bundle_hash)
        if not target.is_dir():
            raise BundleError(
                f"bundle {bundle_hash[:12]} is not in the local cache",
                why="nothing is searched for or made up in its place",
                remedy="download its registered version, or train again",
            )
        read_sealed(target, expected_hash=bundle_hash)
        return target

    def load(self, bundle_hash: str, *, running: FeatureContract | None = None, num_threads: int = 1) -> LoadedBundle:
        """Load a cached bundle by its hash; raises ``BundleError``."""
        target = self._entry(bundle_hash)
        if not target.is_dir():
            self.path(bundle_hash)
        return load_bundle(target, expected_hash=bundle_hash, running=running, num_threads=num_threads)

    def has(self, bundle_hash: str) -> bool:
        """Whether a sound copy is here."""
        try:
            self.path(bundle_hash)
        except BundleError:
            return False
        return True

    def hashes(self) -> tuple[str, ...]:
        """Every bundle hash here, sound or not, oldest first."""
        if not self.root.is_dir():
            return ()
        entries = [entry for entry in self.root.iterdir() if _HASH.fullmatch(entry.name)]
        return tuple(entry.name for entry in sorted(entries, key=lambda entry: (entry.stat().st_mtime, entry.name)))

    def prune(self, *, keep: int, pinned: Collection[str]) -> tuple[str, ...]:
        """Remove the oldest bundles beyond ``keep``, never a ``pinned`` one; returns what was removed."""
        loose = [one for one in self.hashes() if one not in pinned]
        surplus = max(len(self.hashes()) - keep, 0)
        removed = tuple(loose[:surplus])
        for one in removed:
            shutil.rmtree(self.root / one)
        return removed

    def _entry(self, bundle_hash: str) -> Path:
        if not _HASH.fullmatch(bundle_hash):
            raise BundleError(
                f"{bundle_hash[:80]!r} is no bundle hash",
                why="bundles are addressed by the 64 hex digits of their manifest's SHA-256",
                remedy="list the known ones with lockstep models list",
            )
        return self.root / bundle_hash
