"""Paired shadow evidence and the trades beside it."""

import numpy as np
import pytest

from learning.errors import EvidenceError
from learning.shadow import ShadowEvidence, paired_evidence
from learning.trade_evidence import trade_bar_returns, trade_evidence

HORIZON = 12
BARS = 3000
SYMBOLS = 3


def world(seed: int, *, edge: float) -> dict[str, np.ndarray]:
    """Labels shared by overlapping bars and symbols; the challenger leans towards the truth by ``edge``."""
    rng = np.random.default_rng(seed)
    blocks = np.repeat(rng.integers(0, 3, BARS // HORIZON), HORIZON)
    y = np.repeat(blocks[:BARS], SYMBOLS)
    bar_index = np.repeat(np.arange(7000, 7000 + BARS), SYMBOLS)
    noise = rng.normal(0.0, 0.1, (y.size, 3))
    lean = edge * np.eye(3)[y]
    scores = noise + lean
    challenger = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    reference = np.full((y.size, 3), 1 / 3)
    return {"challenger": challenger, "reference": reference, "y": y, "bar_index": bar_index}


def compare(rows: dict[str, np.ndarray]) -> ShadowEvidence:
    return paired_evidence(**rows, horizon_bars=HORIZON, seed=3, resamples=400)


def test_a_better_challenger_shows_and_a_worse_one_is_caught():
    """An edge gives a positive interval and superiority; swapping the sides gives harm of the same size."""
    rows = world(1, edge=0.3)
    better = compare(rows)
    worse = compare({**rows, "challenger": rows["reference"], "reference": rows["challenger"]})
    assert better.ci_low > 0.0
    assert better.e_superiority > 20.0 > 1.0 >= better.e_harm
    assert worse.ci_high < 0.0
    assert worse.e_harm == pytest.approx(better.e_superiority)
    assert worse.mean_difference == pytest.approx(-better.mean_difference)


def test_difference_is_the_difference_of_the_reported_losses():
    """Reference loss minus challenger loss equals the mean difference, also when symbols per bar vary."""
    rows = world(2, edge=0.1)
    keep = np.random.default_rng(5).random(rows["y"].size) > 0.4
    got = compare({name: values[keep] for name, values in rows.items()})
    assert got.log_loss_reference - got.log_loss_challenger == pytest.approx(got.mean_difference, abs=1e-12)
    assert got.log_loss_reference == pytest.approx(np.log(3.0))
    assert got.brier_reference == pytest.approx(2 / 3)


def test_only_non_overlapping_windows_count_as_independent():
    """Nine thousand rows of three symbols and 12-bar labels are 250 windows, not nine thousand."""
    got = compare(world(3, edge=0.1))
    assert (got.resolved, got.bars, got.independent) == (BARS * SYMBOLS, BARS, BARS // HORIZON)
    assert (got.first_index, got.last_index) == (7000, 7000 + BARS - 1)


def test_unresolved_and_unpaired_rows_are_left_out_and_counted():
    """A missing label or a missing prediction on either side never becomes a score."""
    rows = world(4, edge=0.1)
    rows["y"] = rows["y"].copy()
    rows["y"][:30] = -1
    rows["reference"][30:60] = np.nan
    rows["challenger"][50:70, 1] = np.nan
    got = compare(rows)
    assert (got.rows, got.unpaired, got.resolved) == (BARS * SYMBOLS, 40, BARS * SYMBOLS - 70)
    clean = compare({name: values[70:] for name, values in rows.items()})
    assert got.mean_difference == clean.mean_difference


def test_a_shadow_that_stored_the_champions_numbers_is_named_identical():
    """Equal outputs on every row are flagged: the shadow measured nothing."""
    rows = world(5, edge=0.1)
    assert compare({**rows, "reference": rows["challenger"]}).identical
    assert not compare(rows).identical


def test_nothing_resolved_is_unknown():
    """Without a resolved label counts are zero, losses NaN and both e-values one."""
    rows = world(6, edge=0.1)
    got = compare({**rows, "y": np.full(rows["y"].size, -1)})
    assert (got.resolved, got.independent, got.e_superiority, got.e_harm) == (0, 0, 1.0, 1.0)
    assert np.isnan([got.mean_difference, got.ci_low, got.log_loss_challenger]).all()


@pytest.mark.parametrize(
    "change", [{"y": np.array([0, 3])}, {"challenger": np.ones((2, 3))}, {"bar_index": np.array([1])}]
)
def test_refuses_rows_that_cannot_be_scored(change):
    """Unknown classes, probabilities that do not sum to one and misaligned rows are refused."""
    rows = {
        "challenger": np.full((2, 3), 1 / 3),
        "reference": np.full((2, 3), 1 / 3),
        "y": np.array([0, 1]),
        "bar_index": np.array([1, 2]),
    }
    with pytest.raises(EvidenceError):
        compare({**rows, **change})


def test_trades_are_booked_at_their_exit_and_measured_without_compounding():
    """Three trades by hand: returns per bar, total, profit factor, drawdown and hit rate."""
    trades = {
        "net": np.array([0.10, -0.05, -0.02]),
        "size": np.array([0.5, 1.0, 0.5]),
        "exit_index": np.array([101, 103, 103]),
    }
    returns = trade_bar_returns(**trades, first_index=100, end_index=105)
    np.testing.assert_allclose(returns, [0.0, 0.05, 0.0, -0.06, 0.0])
    got = trade_evidence(**trades, first_index=100, end_index=105, bars_per_year=105_120)
    assert (got.trades, got.bars) == (3, 5)
    assert got.total_return == pytest.approx(-0.01)
    assert got.profit_factor == pytest.approx(0.05 / 0.06)
    assert got.max_drawdown == pytest.approx(0.06 / 1.05)
    assert got.hit_rate == pytest.approx(1 / 3)
    assert got.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(105_120))


def test_no_trades_leave_ratios_unknown():
    """A window without trades has no Sharpe ratio, profit factor or hit rate, and no drawdown."""
    none = np.empty(0)
    got = trade_evidence(
        net=none, size=none, exit_index=none.astype(np.int64), first_index=0, end_index=50, bars_per_year=1
    )
    assert (got.trades, got.sharpe, got.profit_factor, got.hit_rate, got.max_drawdown) == (0, None, None, None, 0.0)


def test_unresolved_trades_and_exits_outside_the_window_are_refused():
    """A NaN result is no zero and a later exit is no result of this window."""
    one = np.ones(1)
    with pytest.raises(EvidenceError, match="resolved trades only"):
        trade_bar_returns(net=one * np.nan, size=one, exit_index=np.array([1]), first_index=0, end_index=5)
    with pytest.raises(EvidenceError, match="extend the window"):
        trade_bar_returns(net=one, size=one, exit_index=np.array([5]), first_index=0, end_index=5)
