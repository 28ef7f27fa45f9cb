"""Bytes that are not those that were sealed: refused, and the file is named."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from registry.bundle import load_bundle
from registry.canonical import canonical_json, parse_json
from registry.errors import BundleError
from registry.manifest import MANIFEST
from tests.registry.conftest import Reseal
from tests.registry.made_bundles import Sealed


def files_of(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """No search for another one."""
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read"):
        load_bundle(tmp_path / "nowhere", expected_hash=None)


def test_each_missing_file_is_refused(copied: Path, sealed: Sealed) -> None:
    """Whichever file is gone, it is named."""
    for path in files_of(copied):
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(BundleError, match=path.name.replace(".", r"\.")):
            load_bundle(copied, expected_hash=sealed.hash)
        path.write_bytes(data)
    assert load_bundle(copied, expected_hash=sealed.hash).hash == sealed.hash


@pytest.mark.parametrize("name", ["notes.txt", "model.pkl", ".hidden", "__pycache__"])
def test_an_extra_file_is_refused(copied: Path, sealed: Sealed, name: str) -> None:
    """A file nobody sealed must not travel along."""
    if name == "__pycache__":
        (copied / name).mkdir()
    else:
        (copied / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(BundleError, match="not in the manifest"):
        load_bundle(copied, expected_hash=sealed.hash)


def test_a_link_in_place_of_a_file_is_refused(copied: Path, sealed: Sealed) -> None:
    """A link can point at something that changes after the check."""
    target = copied / "policy.json"
    away = copied.parent / "policy.json"
    shutil.move(target, away)
    target.symlink_to(away)
    with pytest.raises(BundleError, match="no plain file"):
        load_bundle(copied, expected_hash=sealed.hash)


@pytest.mark.parametrize("keep", [0, 0.5, -1])
def test_each_cut_or_empty_file_is_refused(copied: Path, sealed: Sealed, keep: float) -> None:
    """Emptied, halved or one byte short."""
    for path in files_of(copied):
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
        with pytest.raises(BundleError):
            load_bundle(copied, expected_hash=sealed.hash)
        path.write_bytes(data)


def test_one_flipped_byte_anywhere_is_refused(copied: Path, sealed: Sealed) -> None:
    """Three hundred places: ten in every file, and the rest wherever chance falls."""
    rng = np.random.default_rng(5)
    paths = files_of(copied)
    sizes = np.array([path.stat().st_size for path in paths])
    chosen = [*np.repeat(np.arange(len(paths)), 10), *rng.choice(len(paths), 100, p=sizes / sizes.sum())]
    assert len(chosen) >= 200
    for which in chosen:
        path = paths[which]
        data = path.read_bytes()
        at = int(rng.integers(len(data)))
        path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        with pytest.raises(BundleError, match=r"hash|other content"):
            load_bundle(copied, expected_hash=sealed.hash)
        path.write_bytes(data)


def test_a_bundle_changed_and_sealed_again_is_not_the_expected_one(
    reseal: Reseal, copied: Path, sealed: Sealed
) -> None:
    """It may be sound in itself, but it is not the one that was asked for."""
    policy = sealed.parts.policy
    changed = replace(policy, thresholds=(0.01, 0.01)).to_json().encode()
    other = reseal({"policy.json": canonical_json(parse_json(changed))})
    assert load_bundle(copied, expected_hash=other).policy.thresholds == (0.01, 0.01)
    with pytest.raises(BundleError, match="another bundle"):
        load_bundle(copied, expected_hash=sealed.hash)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"{}", "cannot be read"),
        (b"not json", "cannot be read"),
        (b'{"format":2,"files":{}}', "format 2"),
        (b'{"format":1,"files":{"../x":{"size":1,"sha256":"0"}}}', "lists"),
        (b'{"format":1,"files":{"manifest.json":{"size":1,"sha256":"0"}}}', "lists"),
        (b'{"format":1,"files":[]}', "cannot be read"),
    ],
)
def test_a_manifest_that_is_none_is_refused(copied: Path, manifest: bytes, reason: str) -> None:
    """Also one that points outside the bundle."""
    (copied / MANIFEST).write_bytes(manifest)
    with pytest.raises(BundleError, match=reason):
        load_bundle(copied, expected_hash=None)
