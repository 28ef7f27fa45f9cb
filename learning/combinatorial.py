"""Which rows train and which are judged when every stretch of time has its turn?

Combinatorial purged cross-validation (Lopez de Prado, Advances in Financial Machine Learning, sec. 12.4): time is cut
into equal groups over all symbols together, and every choice of ``test_groups`` of them is one split. A training row
may follow a test group here, so purging works both ways: a row is dropped when its own label touches the group or the
labels of the group's rows, and when it begins within the embargo after them. The splits can be put together into
several paths through the whole time, each predicted by models that never saw it.

    >>> plan = Combinatorial(groups=4, test_groups=2)
    >>> len(choices(plan)), backtest_paths(plan).tolist()
    (6, [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]])
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from learning.errors import HistoryError
from learning.walk_forward import assert_no_overlap
from market.candles import Ints

__all__ = ["Combinatorial", "Split", "backtest_paths", "choices", "combinatorial_splits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combinatorial:
    """How time is cut; ``gap_bars`` are kept empty before a test group, ``embargo_bars`` after its last label."""

    groups: int = 6
    test_groups: int = 2
    gap_bars: int = 0
    embargo_bars: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """One choice of test groups: ascending row numbers ``train_rows (k,)`` and ``test_rows (m,)``, int64."""

    test_groups: tuple[int, ...]
    train_rows: Ints
    test_rows: Ints


def choices(plan: Combinatorial) -> tuple[tuple[int, ...], ...]:
    """The test groups of every split, in order; raises ``HistoryError`` for a plan that leaves nothing to train on."""
    if not 1 <= plan.test_groups < plan.groups:
        raise HistoryError(
            f"{plan.test_groups} of {plan.groups} groups to be judged on",
            why="at least one group must be judged, and one must train",
            remedy="choose fewer test groups than groups",
        )
    return tuple(combinations(range(plan.groups), plan.test_groups))


def backtest_paths(plan: Combinatorial) -> Ints:
    """``(paths, groups) int64``: which split predicts which group on each path; no two paths share a prediction."""
    tests: list[list[int]] = [[] for _ in range(plan.groups)]
    for number, chosen in enumerate(choices(plan)):
        for group in chosen:
            tests[group].append(number)
    paths = comb(plan.groups - 1, plan.test_groups - 1)
    return np.array(tests, dtype=np.int64).T.reshape(paths, plan.groups)


def combinatorial_splits(
    bar_index: Ints,
    label_end: Ints,
    *,
    trainable: NDArray[np.bool_],
    plan: Combinatorial,
    judged: NDArray[np.bool_] | None = None,
) -> tuple[Split, ...]:
    """Every split of the time from the first to the last bar.

    ``bar_index`` and ``label_end`` are ``(n,)`` absolute indices; ``trainable`` ``(n,)`` says which rows may train,
    ``judged`` ``(n,)`` which rows a test group holds (None: all). Raises ``HistoryError`` where a group would be no
    longer than the longest label, gap and embargo together, and ``LeakError`` if any split leaked.
    """
    found = choices(plan)
    edges = _edges(bar_index, label_end, plan)
    group = np.searchsorted(edges, bar_index, side="right") - 1
    inside = np.ones(bar_index.size, dtype=np.bool_) if judged is None else judged
    barred = np.stack([_barred(bar_index, label_end, group == g, edges[g : g + 2], plan) for g in range(plan.groups)])
    splits = []
    for chosen in found:
        test = np.flatnonzero(inside & np.isin(group, chosen))
        train = np.flatnonzero(trainable & ~barred[list(chosen)].any(axis=0))
        assert_no_overlap(
            bar_index[train],
            label_end[train],
            bar_index[test],
            label_end[test],
            gap_bars=plan.gap_bars,
            embargo_bars=plan.embargo_bars,
        )
        splits.append(Split(test_groups=chosen, train_rows=train, test_rows=test))
    return tuple(splits)


def _barred(
    bar_index: Ints, label_end: Ints, mine: NDArray[np.bool_], edges: Ints, plan: Combinatorial
) -> NDArray[np.bool_]:
    """``(n,)`` rows that must not train when this group is judged: its own, and those whose label touches its time."""
    first, last = int(edges[0]), int(edges[1]) - 1
    reach = max(last, int(label_end[mine].max(initial=last))) + plan.embargo_bars
    touches: NDArray[np.bool_] = (label_end >= first - plan.gap_bars) & (bar_index <= reach)
    return touches


def _edges(bar_index: Ints, label_end: Ints, plan: Combinatorial) -> Ints:
    """``(groups + 1,)`` first bars of the groups, and one past the last."""
    first, end = (int(bar_index.min()), int(bar_index.max()) + 1) if bar_index.size else (0, 0)
    longest = int((label_end - bar_index).max(initial=0)) + plan.gap_bars + plan.embargo_bars
    if end - first <= plan.groups * longest or end - first < plan.groups:
        raise HistoryError(
            f"{plan.groups} groups of {(end - first) / plan.groups:.0f} bars",
            why=f"labels, gap and embargo reach over {longest} bars, so purging would leave nothing between groups",
            remedy="use fewer groups or a longer history",
        )
    return np.linspace(first, end, plan.groups + 1).astype(np.int64)
