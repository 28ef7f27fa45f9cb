"""Combinatorial purged cross-validation: against all pairs, against two libraries, and against a rule that leaks."""

from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.combinatorial import Combinatorial, backtest_paths, choices, combinatorial_splits
from learning.errors import HistoryError, LeakError
from learning.walk_forward import assert_no_overlap


def rows(seed, n=400, longest=20, span=600):
    """Random decision bars with random label lengths, sorted by bar, and which of them may train."""
    rng = np.random.default_rng(seed)
    bar_index = np.sort(rng.integers(0, span, n)) + 1000
    bar_index[[0, -1]] = 1000, 1000 + span - 1
    return bar_index, bar_index + rng.integers(1, longest, n), rng.random(n) < 0.8


PLANS = st.builds(
    Combinatorial,
    groups=st.integers(2, 7),
    test_groups=st.just(1),
    gap_bars=st.integers(0, 10),
    embargo_bars=st.integers(0, 15),
)


@given(st.integers(0, 10_000), PLANS, st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_no_training_label_touches_a_judged_one(seed, plan, tested):
    """Pair by pair: a training label keeps off every judged label, off the gap before it and the embargo after it."""
    plan = Combinatorial(
        groups=plan.groups,
        test_groups=min(tested, plan.groups - 1),
        gap_bars=plan.gap_bars,
        embargo_bars=plan.embargo_bars,
    )
    bar_index, label_end, trainable = rows(seed)
    for split in combinatorial_splits(bar_index, label_end, trainable=trainable, plan=plan):
        first, last = bar_index[split.test_rows], label_end[split.test_rows]
        ahead = label_end[split.train_rows][:, None] + plan.gap_bars < first[None, :]
        behind = bar_index[split.train_rows][:, None] > last[None, :] + plan.embargo_bars
        assert (ahead | behind).all()
        assert trainable[split.train_rows].all()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_purging_drops_no_row_that_it_could_keep(seed):
    """What is left out touches a judged group's time or the reach of its labels; everything else trains."""
    bar_index, label_end, trainable = rows(seed)
    plan = Combinatorial(groups=5, test_groups=2, gap_bars=3, embargo_bars=4)
    edges = np.linspace(1000, 1600, 6).astype(int)
    for split in combinatorial_splits(bar_index, label_end, trainable=trainable, plan=plan):
        keep = trainable.copy()
        for g in split.test_groups:
            mine = (bar_index >= edges[g]) & (bar_index < edges[g + 1])
            reach = max(edges[g + 1] - 1, label_end[mine].max()) + 4
            keep &= (label_end < edges[g] - 3) | (bar_index > reach)
        assert split.train_rows.tolist() == np.flatnonzero(keep).tolist()


def test_every_choice_is_one_split_and_paths_cover_time_once():
    """C(6, 2) splits, 5 paths; on each path every group is predicted by a split that judged it, none used twice."""
    plan = Combinatorial(groups=6, test_groups=2)
    found, paths = choices(plan), backtest_paths(plan)
    assert len(found) == comb(6, 2)
    assert paths.shape == (5, 6)
    for group in range(6):
        assert len(set(paths[:, group].tolist())) == 5
        assert all(group in found[split] for split in paths[:, group].tolist())


@pytest.mark.parametrize(("groups", "tested"), [(4, 4), (4, 0), (1, 1)])
def test_a_plan_that_leaves_nothing_is_refused(groups, tested):
    """All groups judged, or none."""
    with pytest.raises(HistoryError, match="groups to be judged on"):
        choices(Combinatorial(groups=groups, test_groups=tested))


def test_groups_shorter_than_a_label_are_refused():
    """Purging would leave nothing between them; the message names the reach."""
    bar_index, label_end, trainable = rows(1, longest=60)
    with pytest.raises(HistoryError, match="reach over 61 bars"):
        combinatorial_splits(
            bar_index, label_end, trainable=trainable, plan=Combinatorial(groups=10, test_groups=2, embargo_bars=2)
        )


def regular(n, horizon):
    """One row a bar, every label as long."""
    bars = np.arange(n)
    return bars, bars + horizon, np.ones(n, dtype=bool)


@pytest.mark.parametrize("embargo", [0, 7])
def test_agrees_with_purgedcv(embargo):
    """Half-open horizons of theirs against closed ones of ours, one bar apart: the same rows in every split."""
    from purgedcv import CombinatorialPurgedCV

    n, horizon = 240, 5
    time = pd.Series(pd.date_range("2025-01-01", periods=n + horizon + 1, freq="5min"))
    theirs = CombinatorialPurgedCV(
        6,
        2,
        prediction_times=time[:n],
        evaluation_times=time[horizon + 1 :].reset_index(drop=True),
        embargo_observations=horizon + embargo if embargo else None,
    )
    bars, ends, every = regular(n, horizon)
    plan = Combinatorial(groups=6, test_groups=2, embargo_bars=embargo)
    ours = combinatorial_splits(bars, ends, trainable=every, plan=plan)
    for mine, (train, test) in zip(ours, theirs.split(np.zeros((n, 1))), strict=True):
        assert mine.test_rows.tolist() == np.sort(test).tolist()
        assert mine.train_rows.tolist() == np.sort(train).tolist()
    assert backtest_paths(plan).shape[0] == comb(5, 1)


def test_agrees_with_skfolio():
    """Purging by a count equals purging by label end where every label has that length."""
    from skfolio.model_selection import CombinatorialPurgedCV

    n, horizon, embargo = 240, 5, 3
    bars, ends, every = regular(n, horizon)
    plan = Combinatorial(groups=6, test_groups=2, embargo_bars=embargo)
    ours = combinatorial_splits(bars, ends, trainable=every, plan=plan)
    theirs = CombinatorialPurgedCV(n_folds=6, n_test_folds=2, purged_size=horizon, embargo_size=embargo)
    for mine, (train, tests) in zip(ours, theirs.split(np.zeros((n, 1))), strict=True):
        assert mine.train_rows.tolist() == train.tolist()
        assert mine.test_rows.size == sum(test.size for test in tests)


def late_purge(bars, ends, folds):
    """A published k-fold's rule: a test window is taken to begin where its first label ends, so purging begins late."""
    for test in np.array_split(np.arange(bars.size), folds):
        begins, reaches = ends[test[0]], ends[test].max()
        yield np.setdiff1d(np.flatnonzero((ends < begins) | (bars > reaches)), test), test


def test_a_splitter_that_is_known_to_leak_fails_the_same_assertion():
    """Its 24-bar labels leave 24 training rows of each later fold inside the test window: said, not passed."""
    bars, ends, _ = regular(400, 24)
    for fold, (train, test) in enumerate(late_purge(bars, ends, 4)):
        leaking = (ends[train] >= bars[test[0]]) & (bars[train] <= ends[test].max())
        if fold == 0:
            continue
        assert leaking.sum() == 24
        with pytest.raises(LeakError, match="which 24 training rows share"):
            assert_no_overlap(bars[train], ends[train], bars[test], ends[test])


def test_an_embargo_that_is_not_kept_is_caught():
    """A row that begins right after the last judged label passes without an embargo and fails with one."""
    first, last = np.array([100]), np.array([110])
    assert_no_overlap(np.array([111]), np.array([115]), first, last)
    with pytest.raises(LeakError, match="embargo 1"):
        assert_no_overlap(np.array([111]), np.array([115]), first, last, embargo_bars=1)
