"""Does a market's row depend on nothing but its own bars: not on lane, company, order, future or process?"""

import subprocess
import sys
from hashlib import sha256

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features import FEATURES, FeatureStreams, compute_features, compute_many
from features.inputs import Column
from tests.features.histories import contract, inputs_of, random_bars

BLOCK = 400 * 14616
SMALL = {"block_bars": 400, "warmup_bars": 600}
MADE = contract(**SMALL)
LENGTHS = (2400, 1300, 2400, 700, 2400, 90, 2400, 2000, 1, 2400, 1501)


def market(k: int, length: int):
    """A market of its own prices that ends where the others end, with holes of its own."""
    bars = random_bars(length, seed=100 + k, price=10.0 ** (k - 5))
    bars[length // 2 : length // 2 + k, Column.REF_CLOSE] = np.nan
    bars[length // 3 : length // 3 + 2 * k, Column.OPEN_INTEREST :] = np.nan
    bars[length // 4 :: 50 + k, Column.REAL] = 0.0
    bars[length // 5 :: 90, Column.OPEN : Column.VOLUME] *= 0.9
    return inputs_of(bars, first_index=BLOCK + 1000 - length, symbol=f"M{k}")


MARKETS = [market(k, length) for k, length in enumerate(LENGTHS)]
ALONE = [compute_features(one, MADE) for one in MARKETS]


def named_difference(got, want) -> list[str]:
    """Features whose bytes differ."""
    return [f.name for k, f in enumerate(FEATURES) if got[:, k].tobytes() != want[:, k].tobytes()]


@settings(max_examples=12, deadline=None)
@given(order=st.permutations(range(len(MARKETS))), count=st.integers(1, len(MARKETS)), threads=st.integers(1, 3))
def test_company_order_and_threads_change_no_byte(order, count, threads):
    """Any choice of markets in any order on any number of threads gives each one the rows it has alone."""
    chosen = order[:count]
    for k, got in zip(chosen, compute_many([MARKETS[k] for k in chosen], MADE, threads=threads), strict=True):
        assert got.symbol == MARKETS[k].symbol
        assert named_difference(got.values, ALONE[k].values) == []
        assert got.reason.tobytes() == ALONE[k].reason.tobytes()


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(len(MARKETS))), back=st.integers(1, 450))
def test_streams_of_young_and_old_markets_equal_batch(order, back):
    """Markets that begin at different bars stand in different states and give batch's bytes, restarted anywhere."""
    chosen = [k for k in order if LENGTHS[k] > back]
    streams = FeatureStreams(MADE, [MARKETS[k].symbol for k in chosen])
    end = BLOCK + 1000 - back
    streams.warm(
        [
            inputs_of(MARKETS[k].values[: LENGTHS[k] - back], first_index=MARKETS[k].first_index, symbol=f"M{k}")
            for k in chosen
        ]
    )
    for index in range(end, BLOCK + 1000):
        at = index - (BLOCK + 1000)
        values, reason = streams.advance(index, np.stack([MARKETS[k].values[at] for k in chosen]))
        want = np.stack([ALONE[k].values[at] for k in chosen])
        assert named_difference(values, want) == [], index
        assert reason.tolist() == [ALONE[k].reason[at] for k in chosen]


@settings(max_examples=12, deadline=None)
@given(cut=st.integers(601, 2399), seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
def test_no_feature_looks_ahead(cut, seed, scale):
    """Rows up to a bar are the same bytes without the bars after it, and with any others in their place."""
    bars = MARKETS[0].values
    other = bars.copy()
    other[cut:] = random_bars(len(bars) - cut, seed=seed, price=scale)
    first = MARKETS[0].first_index
    for changed in (bars[:cut], other):
        rows = compute_features(inputs_of(changed, first_index=first), MADE, end_index=first + cut)
        assert named_difference(rows.values, ALONE[0].values[:cut]) == []
        assert rows.reason.tobytes() == ALONE[0].reason[:cut].tobytes()


def test_every_feature_moves():
    """No column is constant over a market of jumps, fills and holes: a forgotten column would be."""
    valid = ALONE[0].values[ALONE[0].reason == 0]
    assert [f.name for k, f in enumerate(FEATURES) if np.unique(valid[:, k]).size < 2] == ["funding_interval_change"]


def test_another_process_gives_the_same_bytes():
    """A fresh interpreter, with its own compiled code or the cached one, computes the same digest."""
    code = (
        "import sys; from hashlib import sha256; from tests.features.test_lanes import ALONE;"
        "sys.stdout.write(sha256(b''.join(one.values.tobytes() for one in ALONE)).hexdigest())"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told == sha256(b"".join(one.values.tobytes() for one in ALONE)).hexdigest()
