"""A finished feature block is what was stored, or it is not there."""

import numpy as np
import pytest

from infra.block_cache import BlockCache
from infra.errors import LakeError

KEY = "ab" * 32
ARRAYS = {
    "values": np.array([[1.5, np.nan], [-0.0, np.inf]], dtype=np.float32),
    "reason": np.array([0, 33], dtype=np.uint16),
}


@pytest.fixture
def cache(tmp_path):
    """A cache with one block in it."""
    made = BlockCache(tmp_path / "features")
    made.put("contract", KEY, ARRAYS)
    return made


def only_file(cache):
    """The path of the one block."""
    (path,) = [path for path in cache.root.rglob("*") if path.is_file()]
    return path


def test_arrays_come_back_bit_for_bit(cache):
    """NaN, infinity, the sign of zero, shape and type are kept."""
    found = cache.get("contract", KEY)
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in found.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in ARRAYS.items()
    }


def test_what_is_not_there_is_none(cache):
    """Another key and another namespace hold nothing, and asking makes no folder."""
    assert cache.get("contract", "cd" * 32) is None
    assert cache.get("other", KEY) is None
    assert [path.name for path in cache.root.iterdir()] == ["contract"]


@pytest.mark.parametrize("position", [0, 31, 32, 200, -1])
def test_a_flipped_bit_anywhere_counts_as_absent(cache, position):
    """In the digest or in the arrays: the block is removed, so that it is computed again."""
    path = only_file(cache)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))
    assert cache.get("contract", KEY) is None
    assert not path.exists()
    cache.put("contract", KEY, ARRAYS)
    assert cache.get("contract", KEY) is not None


@pytest.mark.parametrize("length", [0, 10, 32, 100])
def test_a_torn_file_counts_as_absent(cache, length):
    """Cut off at any length, as after a crash of the machine."""
    path = only_file(cache)
    path.write_bytes(path.read_bytes()[:length])
    assert cache.get("contract", KEY) is None


def test_the_same_block_twice_is_one_file_of_the_same_bytes(cache):
    """A second writer of the key changes nothing."""
    before = only_file(cache).read_bytes()
    cache.put("contract", KEY, ARRAYS)
    assert only_file(cache).read_bytes() == before


def test_a_folder_that_cannot_be_written_is_a_lake_error(tmp_path):
    """Named with its remedy, and no temporary file is left."""
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(LakeError, match="What to do: free space or fix the permissions"):
        BlockCache(tmp_path / "features").put("contract", KEY, ARRAYS)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_objects_are_never_pickled(tmp_path):
    """An object array is refused on the way in."""
    cache = BlockCache(tmp_path)
    with pytest.raises(ValueError, match="allow_pickle"):
        cache.put("contract", KEY, {"values": np.array([object()], dtype=object)})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
