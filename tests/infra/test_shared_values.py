"""A large value is written once and mapped by its readers, with every array as it was."""

from dataclasses import dataclass

import numpy as np
import pytest

from infra.errors import InfraError
from infra.shared_values import SharedValue, read_shared, write_shared


@dataclass(frozen=True)
class _Value:
    features: np.ndarray
    columns: np.ndarray
    few: np.ndarray
    name: str


def test_every_array_comes_back_as_it_was(tmp_path):
    """Values, types, shapes and memory order survive, for large arrays, small ones and empty ones."""
    rng = np.random.default_rng(1)
    given = _Value(
        features=rng.normal(size=(700, 33)).astype(np.float32),
        columns=np.asfortranarray(rng.normal(size=(500, 7))),
        few=np.zeros((0, 9), dtype=np.int8),
        name="panel",
    )
    found = read_shared(write_shared(given, tmp_path))
    assert found.name == "panel"
    for name in ("features", "columns", "few"):
        one, other = getattr(given, name), getattr(found, name)
        assert (one.dtype, one.shape, one.flags.f_contiguous) == (other.dtype, other.shape, other.flags.f_contiguous)
        np.testing.assert_array_equal(one, other)


def test_readers_share_one_copy_which_nobody_can_change(tmp_path):
    """The bytes lie in the only file once, and a reader's array refuses to be written."""
    X = np.ones((1000, 100))
    share = write_shared([X, X], tmp_path)
    assert X.nbytes <= (tmp_path / "arrays").stat().st_size < X.nbytes + 4096
    assert len(share.rest) < 4096
    assert [path.name for path in tmp_path.iterdir()] == ["arrays"]
    first, second = read_shared(share)
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 2.0


def test_a_value_without_arrays_needs_no_mapping(tmp_path):
    """Nothing is mapped for it, since an empty file cannot be."""
    assert read_shared(write_shared({"few": np.arange(3), "name": "small"}, tmp_path))["few"].tolist() == [0, 1, 2]


def test_a_reader_that_does_not_see_the_directory_says_what_to_do(tmp_path):
    """As a worker on another machine, without the shared home."""
    with pytest.raises(InfraError, match=r"worker cannot read .*let the worker's machine see the home"):
        read_shared(SharedValue(path=str(tmp_path / "elsewhere"), extents=(), rest=b""))


def test_a_directory_that_cannot_be_written_says_so(tmp_path):
    """Before any worker is asked for anything."""
    with pytest.raises(InfraError, match="the workers read their arrays from there"):
        write_shared([1], tmp_path / "missing")
