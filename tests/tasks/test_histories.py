"""Features from cached blocks are the bytes of features computed in one go."""

import numpy as np
import pytest

from features.batch import compute_features
from infra.block_cache import BlockCache
from tasks.histories import BlockCounts, cached_features, load_histories, load_inputs
from tasks.windows import current_window
from tests.tasks.conftest import SYMBOLS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def window(app):
    """The home's window."""
    return current_window(app)


@pytest.fixture(scope="module")
def inputs(app, window):
    """Everything the kernel reads of the second symbol, up to the middle of a block."""
    span = window.stretches
    (made,) = load_inputs(
        app.lake, (SYMBOLS[1],), window.contract, first_index=span.first, end_index=span.serve_end - 100
    )
    return made


def test_blocks_from_the_cache_are_bit_for_bit_the_whole(window, inputs, tmp_path):
    """Computed at once, block by block, and from the cache: the same bytes; only finished blocks are kept."""
    cache, first, second = BlockCache(tmp_path), BlockCounts(), BlockCounts()
    whole = compute_features(inputs, window.contract)
    made = cached_features(inputs, window.contract, cache=cache, counts=first)
    again = cached_features(inputs, window.contract, cache=cache, counts=second)
    for one in (made, again):
        assert one.values.tobytes() == whole.values.tobytes()
        assert np.array_equal(one.reason, whole.reason)
    finished = inputs.end_index // 2016 - inputs.first_index // 2016
    assert second.cached == finished == first.computed - 1
    assert (first.cached, second.computed) == (0, 1)


def test_another_bar_is_another_block(window, inputs, tmp_path):
    """One changed close inside a block, and the cached block is not used for it."""
    from dataclasses import replace

    cache, counts = BlockCache(tmp_path), BlockCounts()
    cached_features(inputs, window.contract, cache=cache, counts=BlockCounts())
    values = inputs.values.copy()
    values[5, 3] *= 1.0001
    changed = replace(inputs, values=values)
    made = cached_features(changed, window.contract, cache=cache, counts=counts)
    assert made.values.tobytes() == compute_features(changed, window.contract).values.tobytes()
    assert counts.computed > 1


def test_a_damaged_block_is_computed_again(window, inputs, tmp_path):
    """And the result is the same."""
    cache, counts = BlockCache(tmp_path), BlockCounts()
    sound = cached_features(inputs, window.contract, cache=cache, counts=BlockCounts())
    for path in tmp_path.rglob("*.blk"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    made = cached_features(inputs, window.contract, cache=cache, counts=counts)
    assert made.values.tobytes() == sound.values.tobytes()
    assert counts.cached == 0


def test_histories_hold_features_and_prices_of_the_same_bars(app, window, tmp_path):
    """One history per symbol, features beside the path, up to the end that was asked for."""
    end = window.stretches.train_end
    histories = load_histories(
        app.lake,
        SYMBOLS,
        window.contract,
        first_index=window.stretches.first,
        end_index=end,
        cache=BlockCache(tmp_path),
    )
    assert tuple(one.symbol for one in histories) == SYMBOLS
    for one in histories:
        assert one.features.first_index + one.features.reason.size == end
        assert one.path.first_index == one.features.first_index


def test_a_history_cut_in_its_middle_has_the_bytes_of_the_whole(app, window, tmp_path):
    """Rows begin where they were asked for, wherever in a block that is, and are those that serving would make."""
    end, cache = window.stretches.train_end, BlockCache(tmp_path)
    asked = {"contract": window.contract, "end_index": end, "cache": cache}
    (whole,) = load_histories(app.lake, SYMBOLS[:1], first_index=window.stretches.first, **asked)
    cut = (window.stretches.first + end) // 2 + 7
    (part,) = load_histories(app.lake, SYMBOLS[:1], first_index=cut, **asked)
    assert (part.features.first_index, part.path.first_index) == (cut, cut)
    rows = slice(cut - whole.features.first_index, None)
    assert part.features.values.tobytes() == whole.features.values[rows].tobytes()
    assert np.array_equal(part.features.reason, whole.features.reason[rows])
    assert (part.features.reason == 0).any()
