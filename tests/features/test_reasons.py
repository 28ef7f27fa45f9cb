"""Does every invalid row say why, and only then?"""

import numpy as np
import pytest

from features import FEATURES, FeatureError, Reason, compute_features, describe, kernel_layout
from features.inputs import BarInputs, Column
from tests.features.histories import ANCHOR, FIVE, contract, inputs_of, random_bars

MADE = contract(block_bars=2016, warmup_bars=600)
FIRST = ANCHOR - 600


def reasons(bars):
    """Reasons of all rows."""
    return compute_features(inputs_of(bars, first_index=FIRST), MADE).reason


def fill(bars, rows):
    """Turn rows into fills, as the grid does."""
    for k in rows:
        bars[k, :4] = bars[k - 1, Column.CLOSE]
        bars[k, Column.VOLUME] = bars[k, Column.REAL] = 0.0


def test_kernel_and_enum_mean_the_same_bits():
    """The numbers compiled into the kernel are those of the enum."""
    names = [reason.name for reason in Reason if reason]
    assert [getattr(kernel_layout, name) for name in names] == [Reason[name].value for name in names]


def test_the_columns_of_an_input_row_are_numbered_as_published():
    """Others build rows by these numbers."""
    published = (
        "OPEN HIGH LOW CLOSE VOLUME REAL REF_CLOSE FUNDING_RATE FUNDING_INTERVAL_H HOURS_TO_FUNDING OPEN_INTEREST "
        "BASIS TAKER_SHARE"
    )
    assert " ".join(column.name for column in Column) == published
    assert [int(column) for column in Column] == list(range(kernel_layout.INPUT_COLUMNS))


def test_a_late_listing_is_warmed_up_first():
    """The first warm-up bars of a symbol are not valid and hold no number; the next one is."""
    bars = random_bars(1500, seed=1)
    rows = compute_features(inputs_of(bars, first_index=ANCHOR + 100), MADE)
    assert (rows.reason[:600] == Reason.WARMUP).all()
    assert np.isnan(rows.values[:600]).all()
    assert (rows.reason[600:] == 0).all()


def test_a_filled_bar_marks_its_own_row_only():
    """A single hole costs one row."""
    bars = random_bars(1200, seed=2)
    fill(bars, [900])
    got = reasons(bars)
    assert got[900] == Reason.FILLED
    assert (np.delete(got, 900)[600:] == 0).all()


def test_too_many_fills_in_the_window_invalidate_until_they_leave_it():
    """13 fills against a limit of 12: GAPS from the thirteenth on, while all lie within 288 bars."""
    bars = random_bars(1400, seed=3)
    fill(bars, range(700, 713))
    got = reasons(bars)
    assert (got[700:712] == Reason.FILLED).all()
    assert got[712] == Reason.FILLED | Reason.GAPS
    assert (got[713 : 700 + 288] == Reason.GAPS).all()
    assert (got[700 + 288 :] == 0).all()


def test_unknown_funding_is_said_and_never_a_zero():
    """NaN in any funding column invalidates its own row; funding features are NaN, not 0."""
    for column in (Column.FUNDING_RATE, Column.FUNDING_INTERVAL_H, Column.HOURS_TO_FUNDING):
        bars = random_bars(1100, seed=4)
        bars[900:910, column] = np.nan
        rows = compute_features(inputs_of(bars, first_index=FIRST), MADE)
        assert (rows.reason[900:910] == Reason.FUNDING_UNKNOWN).all()
        assert np.isnan(rows.values[900:910, MADE.index_of("funding_rate")]).all()
        assert (rows.reason[910:] == 0).all()


def test_funding_unknown_for_most_of_its_window_is_unknown():
    """The z-score needs half of its 576 bars."""
    bars = random_bars(1600, seed=5)
    bars[:1000, Column.FUNDING_RATE] = np.nan
    got = reasons(bars)
    assert (got[600 : 1000 + 287] == Reason.FUNDING_UNKNOWN).all()
    assert (got[1000 + 287 :] == 0).all()


def test_a_missing_reference_bar_costs_its_row_and_many_cost_the_window():
    """Few missing bars stay at the last close; more than the limit invalidate like fills."""
    bars = random_bars(1600, seed=6)
    bars[700:703, Column.REF_CLOSE] = np.nan
    bars[1000:1013, Column.REF_CLOSE] = np.nan
    got = reasons(bars)
    assert (got[700:703] == Reason.REFERENCE_MISSING).all()
    assert (got[703:1000] == 0).all()
    assert (got[1000 : 1000 + 288] == Reason.REFERENCE_MISSING).all()
    assert (got[1000 + 288 :] == 0).all()


def test_no_reference_at_all_invalidates_every_row():
    """A market without its reference is never valid."""
    bars = random_bars(800, seed=7)
    bars[:, Column.REF_CLOSE] = np.nan
    assert (reasons(bars)[600:] == Reason.REFERENCE_MISSING).all()


def test_open_interest_may_be_missing():
    """NaN and zero open interest give NaN, and the row stays valid."""
    bars = random_bars(1000, seed=8)
    bars[900, Column.OPEN_INTEREST] = np.nan
    bars[950, Column.OPEN_INTEREST] = 0.0
    rows = compute_features(inputs_of(bars, first_index=FIRST), MADE)
    assert (rows.reason[600:] == 0).all()
    change = rows.values[:, MADE.index_of("oi_change_12")]
    assert np.flatnonzero(np.isnan(change[600:])).tolist() == [300, 312, 350, 362]


def test_a_price_that_is_not_a_number_never_passes_as_valid():
    """A poisoned close invalidates its block's rows until the state begins anew."""
    bars = random_bars(3200, seed=9)
    bars[800, Column.CLOSE] = np.nan
    got = reasons(bars)
    assert (got[800:2616] & Reason.NOT_FINITE != 0).all()
    assert (got[2616 + 2 :] == 0).all()


def test_a_first_bar_without_history_is_a_late_listing_of_one():
    """One bar gives one row that says warm-up."""
    rows = compute_features(inputs_of(random_bars(1, seed=1), first_index=ANCHOR), MADE)
    assert rows.reason.tolist() == [Reason.WARMUP]


def test_reasons_are_said_in_words():
    """Operators read these."""
    assert describe(Reason.OK) == "valid"
    assert describe(Reason.FILLED | Reason.GAPS) == "own bar is a fill, too many fills in the recent window"
    assert describe(64) == "unknown reason bits 64"


def test_rows_outside_the_bars_and_other_timeframes_are_refused():
    """Asking for what was not given is an error with its remedy."""
    inputs = inputs_of(random_bars(50, seed=1), first_index=FIRST)
    with pytest.raises(FeatureError, match=r"rows .* of bars"):
        compute_features(inputs, MADE, end_index=inputs.end_index + 1)
    hourly = BarInputs(symbol="A", timeframe=type(FIVE).parse("1h"), first_index=FIRST, values=inputs.values)
    with pytest.raises(FeatureError, match="windows count bars"):
        compute_features(hourly, MADE)
    with pytest.raises(FeatureError, match="inputs of shape"):
        BarInputs(symbol="A", timeframe=FIVE, first_index=0, values=np.zeros((3, 4)))


def test_a_contract_may_do_without_funding():
    """Rows stay valid with their funding features missing; every other feature keeps its bytes."""
    bars = random_bars(1600, seed=3)
    whole = compute_features(inputs_of(bars, first_index=ANCHOR - 1152), contract(funding_required=False))
    bars[:, [Column.FUNDING_RATE, Column.FUNDING_INTERVAL_H, Column.HOURS_TO_FUNDING]] = np.nan
    rows = compute_features(inputs_of(bars, first_index=ANCHOR - 1152), contract(funding_required=False))
    funding = np.array([feature.group == "funding" for feature in FEATURES])
    assert (rows.reason[1152:] == whole.reason[1152:]).all()
    assert (rows.reason[1152:] == 0).any()
    assert np.isnan(rows.values[1152:, funding]).all()
    assert rows.values[1152:, ~funding].tobytes() == whole.values[1152:, ~funding].tobytes()
    assert set(np.array([f.name for f in FEATURES])[funding]) <= set(contract(funding_required=False).nan_allowed)
    assert (compute_features(inputs_of(bars, first_index=ANCHOR - 1152), contract()).reason[1152:] != 0).all()
