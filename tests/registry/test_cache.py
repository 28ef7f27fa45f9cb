"""Bundles on this machine."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.cache import BundleCache
from registry.errors import BundleError
from tests.registry.made_bundles import Sealed


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(tmp_path / "bundles")


def test_what_was_put_can_be_loaded_by_its_hash(cache: BundleCache, sealed: Sealed) -> None:
    """The directory's name is the bundle's hash."""
    assert cache.put(sealed.directory, sealed.hash).name == sealed.hash
    assert cache.load(sealed.hash).hash == sealed.hash
    assert cache.put(sealed.directory, sealed.hash) == cache.path(sealed.hash)


def test_a_bundle_that_is_not_there_is_refused(cache: BundleCache) -> None:
    """Nothing else is searched for, and an odd name cannot leave the cache."""
    with pytest.raises(BundleError, match="not in the local cache"):
        cache.load("0" * 64)
    with pytest.raises(BundleError, match="no bundle hash"):
        cache.path("../../etc")


def test_a_damaged_entry_is_refused_and_the_next_put_replaces_it(cache: BundleCache, sealed: Sealed) -> None:
    """One byte is enough."""
    entry = cache.put(sealed.directory, sealed.hash)
    data = (entry / "policy.json").read_bytes()
    (entry / "policy.json").write_bytes(data.replace(b"0.4", b"0.1", 1))
    for read in (cache.path, cache.load):
        with pytest.raises(BundleError, match="other content"):
            read(sealed.hash)
    assert not cache.has(sealed.hash)
    cache.put(sealed.directory, sealed.hash)
    assert cache.has(sealed.hash)
    assert [one.name for one in cache.root.iterdir()] == [sealed.hash]


def test_a_damaged_source_never_enters(cache: BundleCache, copied: Path, sealed: Sealed) -> None:
    """Nothing is left behind by the refused attempt."""
    (copied / "facts.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"facts\.json"):
        cache.put(copied, sealed.hash)
    assert cache.hashes() == ()


def test_pruning_keeps_the_newest_and_whatever_is_pinned(
    cache: BundleCache, sealed: Sealed, others: tuple[Sealed, ...]
) -> None:
    """The champion stays, however old it is."""
    import os

    for at, one in enumerate((sealed, *others)):
        os.utime(cache.put(one.directory, one.hash), (at, at))
    assert cache.hashes() == (sealed.hash, others[0].hash, others[1].hash)
    assert cache.prune(keep=2, pinned=[sealed.hash]) == (others[0].hash,)
    assert set(cache.hashes()) == {sealed.hash, others[1].hash}
    assert cache.prune(keep=2, pinned=[]) == ()


def test_a_killed_arrival_leaves_no_bundle(cache: BundleCache, sealed: Sealed) -> None:
    """A half-copied directory under a scratch name is neither listed nor found."""
    cache.root.mkdir()
    shutil.copytree(sealed.directory, cache.root / ".arriving-x" / "bundle")
    assert cache.hashes() == ()
    assert not cache.has(sealed.hash)


@given(
    order=st.permutations(range(6)),
    pinned=st.sets(st.integers(0, 5)),
    keep=st.integers(0, 7),
)
def test_no_pinned_bundle_is_ever_pruned_and_no_more_than_needed(order: list[int], pinned: set[int], keep: int) -> None:
    """Whatever their age: what serves, served or challenges stays, and the newest others up to the number kept."""
    with tempfile.TemporaryDirectory() as root:
        made = [f"{k:064x}" for k in range(6)]
        for age, k in enumerate(order):
            (Path(root) / made[k]).mkdir()
            os.utime(Path(root) / made[k], (age, age))
        cache = BundleCache(root)
        removed = cache.prune(keep=keep, pinned={made[k] for k in pinned})
        left = cache.hashes()
        assert {made[k] for k in pinned} <= set(left)
        assert len(left) >= min(keep, 6)
        assert set(removed) | set(left) == set(made)
        loose = [made[k] for k in order if k not in pinned]
        assert list(removed) == loose[: len(removed)], "the oldest go first"
