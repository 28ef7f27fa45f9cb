"""Are rows the same bytes in batch, in the stream, from any start, and whatever comes later?"""

import numpy as np
import pytest

from features import FEATURES, FeatureError, FeatureStream, compute_features, compute_many
from features.inputs import Column
from tests.features.histories import ANCHOR, contract, inputs_of, random_bars, real_inputs

SMALL = {"block_bars": 400, "warmup_bars": 600}
BLOCK = 400 * 14616  # an absolute boundary of 400-bar blocks


def same(a, b) -> bool:
    """Equal bytes, NaN included."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def differing(a, b) -> list[str]:
    """Features whose bytes differ."""
    return [feature.name for k, feature in enumerate(FEATURES) if not same(a[:, k], b[:, k])]


def part(inputs, first, end):
    """The bars ``first`` to ``end`` (absolute) as inputs of their own."""
    base = inputs.first_index
    return inputs_of(inputs.values[first - base : end - base], first_index=first, symbol=inputs.symbol)


def assert_stream_equals_batch(inputs, made, *, warm_until):
    """Warm with history, then take every bar: values and reasons are batch's."""
    whole = compute_features(inputs, made)
    stream = FeatureStream(made, inputs.symbol)
    warmed = stream.warm(part(inputs, inputs.first_index, warm_until))
    assert warmed.end_index == warm_until
    at = slice(warmed.first_index - whole.first_index, warm_until - whole.first_index)
    assert same(warmed.values, whole.values[at])
    for index in range(warm_until, inputs.end_index):
        k = index - inputs.first_index
        values, reason = stream.advance(index, inputs.values[k])
        assert same(values, whole.values[k]), index
        assert reason == whole.reason[k]
    assert (whole.reason[warm_until - inputs.first_index :] == 0).sum() > 1000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stream_equals_batch_over_block_boundaries(seed):
    """Five boundaries of small blocks, gaps in reference, funding and open interest included."""
    bars = random_bars(3000, seed=seed)
    bars[1500:1505, Column.REF_CLOSE] = np.nan
    bars[1700:1703, Column.FUNDING_RATE] = np.nan
    bars[1800:1900, Column.OPEN_INTEREST] = np.nan
    inputs = inputs_of(bars, first_index=BLOCK - 700 + seed)
    made = contract(**SMALL)
    assert (inputs.end_index // 400) - ((inputs.first_index + 1100) // 400) >= 3
    assert_stream_equals_batch(inputs, made, warm_until=inputs.first_index + 1100)


def test_stream_equals_batch_on_real_bars_with_production_blocks():
    """Three weekly boundaries of a real perpetual."""
    inputs = real_inputs("marketlab_um", "DOGEUSDT", start="2025-09-20", days=30)
    made = contract()
    warm_until = inputs.first_index + 1500
    assert inputs.end_index // 2016 - warm_until // 2016 >= 3
    assert_stream_equals_batch(inputs, made, warm_until=warm_until)


def test_a_stream_may_begin_with_a_symbols_first_bar():
    """Without any history the stream gives the rows of a late listing."""
    inputs = inputs_of(random_bars(1500, seed=5), first_index=BLOCK + 123)
    made = contract(**SMALL)
    whole = compute_features(inputs, made)
    stream = FeatureStream(made, inputs.symbol)
    for k in range(len(inputs)):
        values, reason = stream.advance(inputs.first_index + k, inputs.values[k])
        assert same(values, whole.values[k])
        assert reason == whole.reason[k]
    assert whole.reason[599] & 1
    assert whole.reason[600] == 0


def test_block_and_warmup_bars_are_enough():
    """A process holding only the block and its warm-up computes the same bytes as one holding everything."""
    inputs = inputs_of(random_bars(4000, seed=6), first_index=BLOCK - 1500)
    made = contract(**SMALL)
    whole = compute_features(inputs, made)
    for index in (BLOCK, BLOCK + 399, BLOCK + 401, BLOCK + 1234):
        held = part(inputs, index + 1 - 1000, index + 1)
        row = compute_features(held, made, start_index=index)
        assert row.reason[0] == 0
        assert same(row.values[0], whole.values[index - whole.first_index])


def test_any_stretch_and_any_number_of_threads_give_the_same_bytes():
    """Rows do not depend on where the computation starts or how it is shared out."""
    inputs = inputs_of(random_bars(3000, seed=7), first_index=BLOCK - 1000)
    made = contract(**SMALL)
    whole = compute_features(inputs, made)
    for first, end in ((0, 10), (777, 778), (999, 2001), (1400, 3000), (50, 50)):
        base = inputs.first_index
        stretch = compute_features(inputs, made, start_index=base + first, end_index=base + end)
        assert (stretch.first_index, len(stretch)) == (base + first, end - first)
        assert same(stretch.values, whole.values[first:end])
    threaded = compute_features(inputs, made, threads=3)
    assert same(threaded.values, whole.values)
    assert [same(one.values, whole.values) for one in compute_many([inputs, inputs], made, threads=2)] == [True, True]


def test_bars_of_the_future_change_nothing():
    """Rewriting every bar after a row leaves the row's bytes alone; rewriting the row's own bar does not."""
    bars = random_bars(2500, seed=8)
    made = contract(**SMALL)
    whole = compute_features(inputs_of(bars, first_index=BLOCK - 600), made)
    other = bars.copy()
    other[1700:] = random_bars(800, seed=9, price=5.0)
    changed = compute_features(inputs_of(other, first_index=BLOCK - 600), made)
    assert differing(changed.values[:1700], whole.values[:1700]) == []
    assert not same(changed.values[1700], whole.values[1700])


@pytest.mark.parametrize(("into_block", "blocks"), [(100, 1), (2016 - 1153, 1), (2016 - 1152, 2), (2015, 2)])
def test_a_revised_bar_changes_its_block_and_at_most_the_next(into_block, blocks):
    """Real bars, one of them revised: rows change from that bar on, in its block, and in the next if it warms that."""
    inputs = real_inputs("marketlab_um", "DOGEUSDT", start="2025-09-20", days=30)
    made = contract()
    start = (inputs.first_index // 2016 + 1) * 2016
    revised = inputs.values.copy()
    at = start + into_block - inputs.first_index
    revised[at, [Column.HIGH, Column.CLOSE]] *= 1.01
    revised[at, Column.VOLUME] *= 2.0
    whole, changed = (
        compute_features(inputs_of(b, first_index=inputs.first_index), made) for b in (inputs.values, revised)
    )
    rows = np.flatnonzero((whole.values.view(np.uint32) != changed.values.view(np.uint32)).any(axis=1))
    assert rows[0] == at
    assert rows[-1] + inputs.first_index < start + blocks * 2016
    assert (rows[-1] + inputs.first_index >= start + 2016) == (blocks == 2)
    assert len(whole) + inputs.first_index > start + 3 * 2016


def test_a_window_reads_no_more_bars_than_declared():
    """With all bars before the declared look-back replaced, every windowed feature keeps its bits."""
    bars, made = random_bars(2000, seed=10), contract(**SMALL)
    for back in sorted({f.lookback_bars for f in FEATURES if f.lookback_bars}):
        other = bars.copy()
        other[: 2000 - back] = random_bars(2000, seed=11, price=7.0)[: 2000 - back]
        last = [
            compute_features(inputs_of(b, first_index=BLOCK - 700), made, start_index=BLOCK + 1299).values[0]
            for b in (bars, other)
        ]
        for k, feature in enumerate(FEATURES):
            if 0 < feature.lookback_bars <= back:
                assert same(last[0][k], last[1][k]), (feature.name, back)


def test_a_declared_look_back_is_not_longer_than_needed():
    """Changing only the oldest declared bar changes a feature, for those whose oldest bar always counts."""
    bars, made = random_bars(2000, seed=12), contract(**SMALL)
    names = [f"return_{k}" for k in (5, 12, 48, 144, 288)]
    names += [f"realized_vol_{k}" for k in (12, 48, 144, 288, 576)]
    names += ["acceleration", "sma_20_dist", "sma_50_dist", "parkinson_288", "vwap_288_dist", "volume_trend"]
    backs = {f.name: f.lookback_bars for f in FEATURES}
    columns = {f.name: k for k, f in enumerate(FEATURES)}
    base = compute_features(inputs_of(bars, first_index=BLOCK - 700), made, start_index=BLOCK + 1299).values[0]
    for name in names:
        other = bars.copy()
        other[2000 - backs[name], :5] *= 1.5
        other[2000 - backs[name], Column.HIGH] *= 1.5
        got = compute_features(inputs_of(other, first_index=BLOCK - 700), made, start_index=BLOCK + 1299).values[0]
        assert not same(got[columns[name]], base[columns[name]]), name


@pytest.mark.parametrize("column", ["price", "volume", "open interest", "everything"])
@pytest.mark.parametrize("power", [-20, 7, 24])
def test_a_power_of_two_changes_no_bit(column, power):
    """Prices (own and reference), volumes and open interest are free of units, bit for bit."""
    bars, made = random_bars(2600, seed=13), contract(**SMALL)
    groups = {
        "price": [Column.OPEN, Column.HIGH, Column.LOW, Column.CLOSE, Column.REF_CLOSE],
        "volume": [Column.VOLUME],
        "open interest": [Column.OPEN_INTEREST],
    }
    chosen = [c for name, group in groups.items() if column in (name, "everything") for c in group]
    scaled = bars.copy()
    scaled[:, chosen] *= 2.0**power
    a, b = (compute_features(inputs_of(x, first_index=ANCHOR), made) for x in (bars, scaled))
    assert differing(a.values, b.values) == []
    assert same(a.reason, b.reason)
    assert (a.reason == 0).sum() > 1500


def test_scale_and_ranges_hold_on_a_real_crash():
    """Real bars: one factor changes no bit, and every value keeps its declared range."""
    inputs = real_inputs("genetic_um", "SUIUSDT", start="2025-10-01", days=16)
    made = contract()
    rows = compute_features(inputs, made)
    scaled = inputs.values.copy()
    scaled[:, [Column.OPEN, Column.HIGH, Column.LOW, Column.CLOSE, Column.REF_CLOSE]] *= 2.0**-9
    again = compute_features(inputs_of(scaled, first_index=inputs.first_index, symbol=inputs.symbol), made)
    assert same(rows.values, again.values)
    assert_ranges(rows)


@pytest.mark.parametrize(("seed", "volatility"), [(14, 2e-3), (15, 0.2), (16, 1e-7)])
def test_values_keep_their_declared_ranges(seed, volatility):
    """Calm, usual and violent markets stay inside low and high."""
    bars = random_bars(6000, seed=seed, volatility=volatility)
    assert_ranges(compute_features(inputs_of(bars, first_index=ANCHOR), contract()))


def assert_ranges(rows) -> None:
    valid = rows.values[rows.reason == 0].astype(float)
    assert len(valid) > 1000
    for k, feature in enumerate(FEATURES):
        seen = valid[:, k][~np.isnan(valid[:, k])]
        assert feature.nan_allowed or seen.size == len(valid), feature.name
        if seen.size:
            assert feature.low <= seen.min(), feature.name
            assert seen.max() <= feature.high, feature.name


def test_a_skipped_or_repeated_bar_is_refused_in_words():
    """The stream says which bar it wants, and is unharmed by the refusal."""
    inputs = inputs_of(random_bars(1000, seed=17), first_index=BLOCK)
    stream = FeatureStream(contract(**SMALL), inputs.symbol)
    stream.warm(part(inputs, BLOCK, BLOCK + 900))
    with pytest.raises(FeatureError, match=f"bar {BLOCK + 901} where {BLOCK + 900} comes next \\(skipped\\)"):
        stream.advance(BLOCK + 901, inputs.values[901])
    with pytest.raises(FeatureError, match="repeated"):
        stream.advance(BLOCK + 899, inputs.values[899])
    values, _ = stream.advance(BLOCK + 900, inputs.values[900])
    assert same(values, compute_features(inputs, contract(**SMALL)).values[900])


def test_the_stream_refuses_another_market_and_another_shape():
    """A row of 3 columns or the history of another symbol never reach the state."""
    stream = FeatureStream(contract(**SMALL), "AUSDT")
    with pytest.raises(FeatureError, match="stream of AUSDT"):
        stream.warm(inputs_of(random_bars(10, seed=1), first_index=BLOCK, symbol="BUSDT"))
    with pytest.raises(FeatureError, match="bars of shape"):
        stream.advance(BLOCK, np.zeros(3))
