"""Which rows may a model learn from, and which may it be judged on?

Test windows are equal stretches of time over all symbols together. A training row's label must end before the
test window's first bar, minus the gap: purging by each row's own label end, not by a fixed count. The same rule
splits early stopping and calibration, and every split is checked by ``assert_no_overlap``, which raises rather
than warns. (Lopez de Prado, Advances in Financial Machine Learning, ch. 7.4; walk-forward needs no embargo,
because no training row follows a test row.)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learning.errors import HistoryError, LeakError
from market.candles import Ints

__all__ = [
    "Fold",
    "Mode",
    "WalkForward",
    "assert_no_overlap",
    "fewest_test_bars",
    "split_by_time",
    "training_rows",
    "walk_forward",
]

Mode = Literal["expanding", "rolling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForward:
    """How history is cut; lengths in bars. ``mode`` rolling keeps the training window ``min_train_bars`` long."""

    folds: int
    min_train_bars: int
    min_test_bars: int
    gap_bars: int = 0
    mode: Mode = "expanding"


def fewest_test_bars(horizon_bars: int) -> int:
    """The shortest test window: two label horizons, so that half of its labels lie inside it."""
    return 2 * horizon_bars


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """One training and one test window: ``train_rows`` and ``test_rows`` are ``(k,) int64`` row numbers.

    The test window covers absolute bar indices ``test_first_index`` to ``test_end_index`` (exclusive).
    """

    number: int
    train_rows: Ints
    test_rows: Ints
    test_first_index: int
    test_end_index: int


def walk_forward(
    bar_index: Ints,
    label_end: Ints,
    *,
    trainable: NDArray[np.bool_],
    end_index: int,
    plan: WalkForward,
    judged: NDArray[np.bool_] | None = None,
) -> tuple[Fold, ...]:
    """Cut rows into folds with test windows over ``[first bar + min_train_bars, end_index)``.

    ``bar_index`` and ``label_end`` are ``(n,)`` absolute indices; ``trainable`` ``(n,)`` says which rows have a
    label and are events, ``judged`` ``(n,)`` which rows a test window holds (None: all). Raises ``HistoryError`` when
    the history is too short.
    """
    start = int(bar_index.min()) if bar_index.size else end_index
    _require_history(end_index - start, plan)
    inside = np.ones(bar_index.size, dtype=np.bool_) if judged is None else judged
    edges = np.linspace(start + plan.min_train_bars, end_index, plan.folds + 1).astype(np.int64)
    folds = []
    for number, (first, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        train = training_rows(bar_index, label_end, trainable=trainable, before_index=first, plan=plan)
        test = np.flatnonzero(inside & (bar_index >= first) & (bar_index < end))
        assert_no_overlap(bar_index[train], label_end[train], bar_index[test], label_end[test], gap_bars=plan.gap_bars)
        folds.append(Fold(number=number, train_rows=train, test_rows=test, test_first_index=first, test_end_index=end))
    return tuple(folds)


def training_rows(
    bar_index: Ints, label_end: Ints, *, trainable: NDArray[np.bool_], before_index: int, plan: WalkForward
) -> Ints:
    """``(k,) int64`` rows that may train a model judged from ``before_index`` on."""
    keep = trainable & (label_end < before_index - plan.gap_bars)
    if plan.mode == "rolling":
        keep &= bar_index >= before_index - plan.gap_bars - plan.min_train_bars
    return np.flatnonzero(keep)


def split_by_time(bar_index: Ints, label_end: Ints, *, later_share: float, gap_bars: int = 0) -> tuple[Ints, Ints]:
    """(earlier, later) row numbers: the later slice is the last ``later_share`` of the time, the earlier is purged."""
    first, last = int(bar_index.min()), int(bar_index.max())
    boundary = last + 1 - int((last + 1 - first) * later_share)
    earlier = np.flatnonzero(label_end < boundary - gap_bars)
    later = np.flatnonzero(bar_index >= boundary)
    assert_no_overlap(bar_index[earlier], label_end[earlier], bar_index[later], label_end[later], gap_bars=gap_bars)
    return earlier, later


def assert_no_overlap(
    train_first: Ints,
    train_last: Ints,
    test_first: Ints,
    test_last: Ints,
    *,
    gap_bars: int = 0,
    embargo_bars: int = 0,
) -> None:
    """Raise ``LeakError`` if any training interval touches a test interval, the gap before or the embargo after one.

    Intervals are closed: from the decision bar to the last bar the label looks at, as absolute bar indices.
    """
    if train_first.size == 0 or test_first.size == 0:
        return
    order = np.argsort(test_first, kind="stable")
    first = test_first[order]
    reach = np.maximum.accumulate(test_last[order])
    begun = np.searchsorted(first, train_last + gap_bars, side="right")
    leaks = (begun > 0) & (reach[np.maximum(begun - 1, 0)] + embargo_bars >= train_first)
    if leaks.any():
        row = int(np.argmax(leaks))
        raise LeakError(
            f"training row {row} looks at bars {int(train_first[row])} to {int(train_last[row])}"
            f" (gap {gap_bars}, embargo {embargo_bars}), which {int(leaks.sum())} training rows share with the rows"
            " they are judged on",
            why="a score on rows that training has seen means nothing",
            remedy="report this: every split is purged by label end, so it cannot come from settings",
        )


def _require_history(bars: int, plan: WalkForward) -> None:
    needed = plan.min_train_bars + plan.folds * plan.min_test_bars
    if bars >= needed:
        return
    raise HistoryError(
        f"walk-forward needs {needed} bars (train {plan.min_train_bars} + {plan.folds} folds x"
        f" {plan.min_test_bars}) but the history has {max(bars, 0)}",
        why="no window may be judged by a model that has hardly seen the market",
        remedy=f"backfill {needed - max(bars, 0)} more bars, or lower training.min_train_days or training.folds",
    )
