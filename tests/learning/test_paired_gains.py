"""Brier score and net return beside the paired log loss."""

import numpy as np
import pytest

from learning.paired_gains import decided_net, paired_gains

H = 12


def test_a_decision_earns_its_own_side_and_none_is_not_zero():
    """HOLD earned nothing, BUY the long side, SELL the short one; where nobody decided nothing is known."""
    net = np.array([[0.1, -0.2]] * 4)
    assert decided_net(np.array([0, 1, 2, -1]), net) == pytest.approx([0.0, 0.1, -0.2, np.nan], nan_ok=True)


def test_differences_are_means_over_bars_and_gaps_are_left_out():
    """Computed by hand; a row without both decisions has no net difference, one without both forecasts none at all."""
    rng = np.random.default_rng(2)
    n = 600
    bars = np.repeat(np.arange(n // 2), 2)
    y = rng.integers(0, 3, n)
    ours, theirs = (rng.dirichlet((2, 2, 2), n) for _ in range(2))
    nets = rng.normal(0, 0.01, (2, n))
    theirs[10] = np.nan
    nets[1, 20] = np.nan
    found = paired_gains(
        challenger=ours, reference=theirs, challenger_net=nets[0], reference_net=nets[1],
        y=y, bar_index=bars, horizon_bars=H, seed=1, alpha=0.05, resamples=200,
    )  # fmt: skip
    truth = np.eye(3)[y]
    brier = ((theirs - truth) ** 2).sum(axis=1) - ((ours - truth) ** 2).sum(axis=1)
    net = np.where(np.arange(n) == 10, np.nan, nets[0] - nets[1])
    by_bar = lambda rows: np.nanmean(rows.reshape(-1, 2), axis=1).mean()  # noqa: E731
    assert found.brier.mean == pytest.approx(by_bar(brier))
    assert found.net_return.mean == pytest.approx(by_bar(net))
    assert found.net_return.low < found.net_return.mean < found.net_return.high
