"""Betting e-processes under overlapping labels."""

import numpy as np
import pytest

from learning.e_process import e_process, wealth_at
from learning.errors import EvidenceError
from learning.significance import BarSeries

HORIZON = 12


def labels(n: int, rng: np.random.Generator, *, mean: float = 0.0, deviation: float = 0.05) -> BarSeries:
    """Differences whose 12-bar labels overlap: a moving average of independent moves."""
    steps = np.concatenate(([0.0], np.cumsum(rng.standard_normal(n + HORIZON))))
    values = mean + deviation * (steps[HORIZON : HORIZON + n] - steps[:n]) / np.sqrt(HORIZON)
    return BarSeries(first_index=5000, values=values)


def by_hand(series: BarSeries, *, horizon: int, bound: float, largest: float) -> float:
    """Every residue bets bar by bar on what had ended before."""
    wealth = np.ones(horizon)
    values = np.clip(series.values, -bound, bound)
    for row, value in enumerate(values):
        if np.isnan(value):
            continue
        past = values[: max(row - horizon + 1, 0)]
        past = past[np.isfinite(past)]
        mean = past.sum() / (past.size + 4 * horizon)
        variance = max(((past**2).sum() + 4 * (bound / 4) ** 2) / (past.size + 4) - mean**2, 0.0)
        bet = min(max(mean / (variance + mean**2), 0.0), largest / bound)
        wealth[(series.first_index + row) % horizon] *= 1 + bet * value
    return float(wealth.mean())


def test_matches_betting_bar_by_bar():
    """The vectorised wealth equals residue processes that bet one bar at a time, gaps included."""
    series = labels(300, np.random.default_rng(1), mean=0.02)
    series.values[50:77] = np.nan
    got = e_process(series, horizon_bars=HORIZON, bound=0.1)
    seen = BarSeries(first_index=series.first_index, values=series.values[: 4 * 6 * HORIZON])
    assert got.value == pytest.approx(by_hand(seen, horizon=HORIZON, bound=0.1, largest=0.5), rel=1e-10)
    assert got.clipped_share == pytest.approx(np.mean(np.abs(series.values[np.isfinite(series.values)]) > 0.1))


def test_expected_value_is_at_most_one_for_independent_values():
    """Without overlap the mean e-value of a no-better challenger is at most one, up to simulation error."""
    rng = np.random.default_rng(3)
    values = [
        e_process(
            BarSeries(first_index=0, values=rng.uniform(-0.2, 0.2, 200)), horizon_bars=4, bound=0.2, largest_bet=0.3
        ).value
        for _ in range(3000)
    ]
    assert np.mean(values) <= 1.0 + 3 * np.std(values) / np.sqrt(3000)


def test_better_and_worse_challengers_are_found():
    """A true advantage crosses in superiority and not in harm; the negated series does the opposite."""
    series = labels(8000, np.random.default_rng(4), mean=0.015)
    negated = BarSeries(first_index=series.first_index, values=-series.values)
    better = e_process(series, horizon_bars=HORIZON, bound=0.25)
    worse = e_process(negated, horizon_bars=HORIZON, bound=0.25)
    assert better.value >= 20.0 > 1.0 > worse.value
    assert better.crossed_at in better.checkpoints


def test_bets_never_look_at_labels_that_have_not_ended():
    """Changing a bar changes no wealth of another residue until one horizon later."""
    series = labels(400, np.random.default_rng(5), mean=0.02)
    changed = series.values.copy()
    changed[200] = 0.25
    rows = np.array([199, 200, 211, 212])
    before = wealth_at(series.values, rows, horizon_bars=HORIZON, bound=0.25)
    after = wealth_at(changed, rows, horizon_bars=HORIZON, bound=0.25)
    steps_before, steps_after = np.diff(before), np.diff(after)
    assert before[0] == after[0]
    assert steps_before[0] != steps_after[0]
    assert steps_before[1] == pytest.approx(steps_after[1], rel=1e-12)
    assert steps_before[2] != steps_after[2]


def test_asking_again_moves_no_checkpoint():
    """Whoever asks every day sees the values of earlier checkpoints as they were: no look is granted twice."""
    whole = labels(1500, np.random.default_rng(7), mean=0.02)
    asked = [
        e_process(BarSeries(first_index=5000, values=whole.values[:n]), horizon_bars=HORIZON, bound=0.25, origin=4990)
        for n in range(60, 1500, 31)
    ]
    last = asked[-1]
    for one in asked:
        k = one.checkpoints.size
        assert one.checkpoints.tolist() == last.checkpoints[:k].tolist()
        assert one.values == pytest.approx(last.values[:k], rel=1e-12)
    assert np.diff(last.checkpoints).tolist() == [6 * HORIZON] * (last.checkpoints.size - 1)
    assert last.checkpoints[0] == 4990 + 6 * HORIZON - 1
    assert asked[0].value == 1.0, "before the first checkpoint nothing is known"


def test_worlds_side_by_side_are_worlds_alone():
    """Many series at once give what each gives by itself."""
    worlds = np.random.default_rng(8).normal(0.01, 0.05, (3, 300))
    rows = np.array([-1, 0, 143, 299])
    together = wealth_at(worlds, rows, horizon_bars=HORIZON, bound=0.25)
    for world, found in zip(worlds, together, strict=True):
        assert found == pytest.approx(wealth_at(world, rows, horizon_bars=HORIZON, bound=0.25), rel=1e-12)
    assert together[:, 0].tolist() == [1.0, 1.0, 1.0]


def test_no_evidence_is_worth_one():
    """An empty series and one shorter than a horizon leave the wealth at one."""
    assert e_process(BarSeries(first_index=0, values=np.empty(0)), horizon_bars=HORIZON, bound=1.0).value == 1.0
    short = BarSeries(first_index=0, values=np.full(HORIZON, 0.2))
    assert e_process(short, horizon_bars=HORIZON, bound=1.0).value == 1.0


@pytest.mark.parametrize(("bound", "bet", "alpha"), [(0.0, 0.5, 0.05), (1.0, 1.0, 0.05), (1.0, 0.5, 1.0)])
def test_refuses_stakes_that_could_ruin(bound, bet, alpha):
    """A bound of zero, a bet of everything and an impossible level are refused."""
    with pytest.raises(EvidenceError):
        e_process(labels(50, np.random.default_rng(6)), horizon_bars=12, bound=bound, largest_bet=bet, alpha=alpha)
