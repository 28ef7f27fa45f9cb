"""Splits: purged by each row's own label end, exactly, and checked by an assertion that can fail."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.errors import HistoryError, LeakError
from learning.walk_forward import WalkForward, assert_no_overlap, split_by_time, training_rows, walk_forward

PLAN = WalkForward(folds=4, min_train_bars=60, min_test_bars=10)


def rows(seed, n=400, longest=30):
    """Random decision bars with random label lengths, sorted by bar."""
    rng = np.random.default_rng(seed)
    bar_index = np.sort(rng.integers(1000, 1300, n))
    bar_index[0] = 1000
    return bar_index, bar_index + rng.integers(1, longest, n), rng.random(n) < 0.8


@given(st.integers(0, 10_000), st.integers(0, 25), st.integers(1, 6), st.sampled_from(["expanding", "rolling"]))
@settings(max_examples=60, deadline=None)
def test_no_training_label_ever_touches_a_test_bar(seed, gap, folds, mode):
    """Whatever the label ends, a training row's last bar lies more than the gap before the first test bar."""
    bar_index, label_end, trainable = rows(seed)
    plan = WalkForward(folds=folds, min_train_bars=60, min_test_bars=10, gap_bars=gap, mode=mode)
    for fold in walk_forward(bar_index, label_end, trainable=trainable, end_index=1300, plan=plan):
        looked_at = {bar for row in fold.train_rows for bar in range(bar_index[row], label_end[row] + gap + 1)}
        assert looked_at.isdisjoint(bar_index[fold.test_rows])
        assert trainable[fold.train_rows].all()


@given(st.integers(0, 10_000), st.integers(0, 25))
@settings(max_examples=40, deadline=None)
def test_purging_drops_no_row_that_it_could_keep(seed, gap):
    """Expanding training rows are exactly the trainable ones whose label has ended, found one by one."""
    bar_index, label_end, trainable = rows(seed)
    plan = WalkForward(folds=3, min_train_bars=60, min_test_bars=10, gap_bars=gap)
    for fold in walk_forward(bar_index, label_end, trainable=trainable, end_index=1300, plan=plan):
        slow = [i for i in range(bar_index.size) if trainable[i] and label_end[i] + gap < fold.test_first_index]
        assert fold.train_rows.tolist() == slow


def test_test_windows_cover_the_time_after_the_first_training_window_once():
    """Windows are consecutive, equal within a bar, and hold every row, labelled or not."""
    bar_index, label_end, trainable = rows(3)
    folds = walk_forward(bar_index, label_end, trainable=trainable, end_index=1300, plan=PLAN)
    assert [fold.test_first_index for fold in folds] == [1060, 1120, 1180, 1240]
    assert [fold.test_end_index for fold in folds] == [1120, 1180, 1240, 1300]
    together = np.concatenate([fold.test_rows for fold in folds])
    assert together.tolist() == np.flatnonzero(bar_index >= 1060).tolist()


def test_a_rolling_window_forgets():
    """A rolling training window is as long as the first one, so it leaves out old rows."""
    bar_index, label_end, trainable = rows(3)
    plan = WalkForward(folds=4, min_train_bars=60, min_test_bars=10, mode="rolling")
    found = training_rows(bar_index, label_end, trainable=trainable, before_index=1240, plan=plan)
    assert bar_index[found].min() >= 1180
    assert found.size > 0


def test_a_history_that_is_too_short_says_how_much_is_missing():
    """The message names what is needed, what there is, and what to do."""
    bar_index = np.arange(1000, 1080)
    with pytest.raises(HistoryError) as refused:
        walk_forward(bar_index, bar_index + 5, trainable=np.ones(80, dtype=bool), end_index=1080, plan=PLAN)
    assert str(refused.value) == (
        "walk-forward needs 100 bars (train 60 + 4 folds x 10) but the history has 80: no window may be judged by"
        " a model that has hardly seen the market. What to do: backfill 20 more bars, or lower"
        " training.min_train_days or training.folds."
    )


def test_an_empty_history_is_too_short():
    """No rows at all is refused, not an index error."""
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(HistoryError, match="the history has 0"):
        walk_forward(none, none, trainable=none.astype(bool), end_index=0, plan=PLAN)


@pytest.mark.parametrize(
    ("train", "test", "gap"),
    [((90, 100), (100, 112), 0), ((105, 106), (100, 112), 0), ((90, 95), (100, 112), 5), ((112, 120), (100, 112), 0)],
)
def test_a_planted_overlap_is_caught(train, test, gap):
    """Touching at one bar, lying inside, ending in the gap and starting in a test label all raise."""
    with pytest.raises(LeakError, match="training row 1 looks at bars"):
        assert_no_overlap(
            np.array([10, train[0]]), np.array([12, train[1]]), np.array([test[0]]), np.array([test[1]]), gap_bars=gap
        )


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(0, 4),
)
@settings(max_examples=200, deadline=None)
def test_the_overlap_assertion_equals_comparing_every_pair(train, test, gap):
    """Sorting and a running maximum find what comparing all pairs of intervals finds."""
    slow = any(t <= b + n + gap and t + m >= b for b, n in train for t, m in test)
    a, b = (np.array(column) for column in zip(*train, strict=True))
    c, d = (np.array(column) for column in zip(*test, strict=True))
    try:
        assert_no_overlap(a, a + b, c, c + d, gap_bars=gap)
        found = False
    except LeakError:
        found = True
    assert found == slow


@given(st.integers(0, 10_000), st.floats(0.1, 0.5), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_the_later_slice_is_purged_like_a_test_window(seed, share, gap):
    """Early stopping and calibration obey the rule of the folds."""
    bar_index, label_end, _ = rows(seed)
    earlier, later = split_by_time(bar_index, label_end, later_share=share, gap_bars=gap)
    assert later.size > 0
    assert label_end[earlier].max() + gap < bar_index[later].min()
    assert bar_index[later].min() >= bar_index[-1] - share * (bar_index[-1] - bar_index[0] + 1) - 1
