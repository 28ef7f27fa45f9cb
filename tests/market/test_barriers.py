"""Do trade exits follow the rules: pessimistic ties, gaps at the open, signed funding, unknown stays unknown?"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.barriers import Barrier, BarrierSpec, PricePath, simulate_trades
from market.costs import CostModel

FREE = CostModel(taker_fee_bps=0, slippage_bps=0)
SPEC = BarrierSpec(horizon_bars=4, profit_atr=2.0, stop_atr=1.0, costs=FREE)


def path(bars: list[tuple[float, float, float, float]], **changes) -> PricePath:
    """Bars given as (open, high, low, close), all real, funding known and zero unless changed."""
    o, h, l, c = (np.array(x, dtype=float) for x in zip(*bars, strict=True))  # noqa: E741
    n = len(bars)
    columns = {
        "open": o,
        "high": h,
        "low": l,
        "close": c,
        "real": np.ones(n, dtype=bool),
        "funding_paid": np.zeros(n),
        "funding_known": np.ones(n, dtype=bool),
    } | changes
    return PricePath(first_index=1000, **columns)


def trade(p: PricePath, spec: BarrierSpec = SPEC, atr: float = 0.01, vol_ratio: float = 1.0):
    """One decision at the first bar."""
    return simulate_trades(
        p, np.array([1000]), atr_fraction=np.array([atr]), vol_ratio=np.array([vol_ratio]), spec=spec
    )


FLAT = (100.0, 100.0, 100.0, 100.0)


def test_enters_at_the_next_open_and_leaves_at_the_profit_barrier():
    """The decision bar's own prices are never traded; the profit fills at its barrier."""
    out = trade(path([(50, 60, 40, 50), FLAT, (100, 102.5, 100, 102), FLAT, FLAT]))
    assert out.barrier[0].tolist() == [Barrier.PROFIT, Barrier.STOP]
    assert out.gross[0] == pytest.approx([0.02, -0.01])
    assert out.exit_index[0].tolist() == [1002, 1002]


def test_both_barriers_in_one_bar_count_as_the_stop():
    """A bar wide enough for both barriers is a loss for either side."""
    out = trade(path([FLAT, (100, 103, 97, 100), FLAT, FLAT, FLAT]))
    assert out.barrier[0].tolist() == [Barrier.STOP, Barrier.STOP]
    assert out.gross[0] == pytest.approx([-0.01, -0.01])


def test_a_gap_through_the_stop_fills_at_the_open():
    """The stop is no guarantee: the fill is the first price there was."""
    out = trade(path([FLAT, FLAT, (90, 91, 89, 90), FLAT, FLAT]))
    assert out.gross[0, 0] == pytest.approx(-0.10)
    assert out.gross[0, 1] == pytest.approx(0.10)
    assert out.barrier[0].tolist() == [Barrier.STOP, Barrier.PROFIT]


def test_the_vertical_barrier_is_the_close_of_the_last_bar():
    """Without a touch the trade ends at the close of the horizon's last bar."""
    out = trade(path([FLAT, FLAT, FLAT, FLAT, (100, 100.5, 99.8, 100.4), FLAT]))
    assert out.barrier[0].tolist() == [Barrier.TIME, Barrier.TIME]
    assert out.exit_index[0].tolist() == [1004, 1004]
    assert out.gross[0] == pytest.approx([0.004, -0.004])


def test_a_history_that_ends_first_is_unresolved():
    """A label that would look past the data does not exist."""
    out = trade(path([FLAT, FLAT, FLAT, FLAT]))
    assert out.barrier[0].tolist() == [Barrier.UNRESOLVED] * 2
    assert np.isnan(out.net).all()
    assert out.exit_index[0].tolist() == [-1, -1]


def test_fees_and_slippage_are_paid_on_both_notionals():
    """5 bps fee and 1 bp slippage a side at double volatility: 7 bps of entry and of exit notional."""
    costs = CostModel(taker_fee_bps=5, slippage_bps=1)
    spec = BarrierSpec(horizon_bars=4, profit_atr=2.0, stop_atr=1.0, costs=costs)
    out = trade(path([FLAT, FLAT, (100, 102.5, 100, 102), FLAT, FLAT]), spec, vol_ratio=2.0)
    assert out.net[0, 0] == pytest.approx(0.02 - (1 + 1.02) * 7e-4)


def test_slippage_has_a_floor():
    """In a quiet market slippage does not vanish."""
    spec = BarrierSpec(horizon_bars=4, costs=CostModel(taker_fee_bps=0, slippage_bps=10, slippage_vol_floor=0.5))
    out = trade(path([FLAT] * 6), spec, vol_ratio=0.01)
    assert out.net[0] == pytest.approx([-1e-3, -1e-3])


def test_funding_is_signed_by_side_and_paid_only_after_entry():
    """A settlement on the entry bar is not ours; a later one costs the long what it pays the short."""
    paid = np.array([0, 0.5, 0.001, 0, 0, 0.7])
    out = trade(path([FLAT] * 6, funding_paid=paid))
    assert out.funding[0] == pytest.approx([0.001, -0.001])
    assert out.net[0] == pytest.approx([-0.001, 0.001])


def test_unknown_funding_while_holding_leaves_the_trade_unresolved():
    """Unknown is not zero; unknown before the entry does not matter."""
    known = np.array([False, False, True, True, True, True])
    assert trade(path([FLAT] * 6, funding_known=known)).barrier[0].tolist() == [3, 3]
    known = np.array([True, True, True, False, True, True])
    assert trade(path([FLAT] * 6, funding_known=known)).barrier[0].tolist() == [0, 0]


@pytest.mark.parametrize("atr", [0.0, math.nan, -0.1])
def test_no_barrier_width_no_trade(atr):
    """A missing or zero ATR cannot place a barrier."""
    assert trade(path([FLAT] * 6), atr=atr).barrier[0].tolist() == [0, 0]


def test_a_filled_entry_bar_cannot_be_traded():
    """Nobody can buy at the open of a bar that did not exist."""
    real = np.array([True, False, True, True, True, True])
    assert trade(path([FLAT] * 6, real=real)).barrier[0].tolist() == [0, 0]


def test_every_number_is_part_of_the_fingerprint():
    """Two rules that could differ in one outcome never share an id."""
    base = BarrierSpec()
    others = [
        BarrierSpec(horizon_bars=47),
        BarrierSpec(profit_atr=3.9),
        BarrierSpec(stop_atr=3.9),
        BarrierSpec(costs=CostModel(taker_fee_bps=4.9)),
    ]
    assert len({base.fingerprint, *(o.fingerprint for o in others)}) == 5


def oracle(p: PricePath, k: int, side: int, spec: BarrierSpec, atr: float) -> tuple[int, float, int]:
    """The same rules, one bar at a time, as plainly as they can be written."""
    entry = k + 1
    price = p.open[entry]
    profit, stop = price * (1 + side * spec.profit_atr * atr), price * (1 - side * spec.stop_atr * atr)
    beyond_profit = (lambda x: x >= profit) if side > 0 else (lambda x: x <= profit)
    beyond_stop = (lambda x: x <= stop) if side > 0 else (lambda x: x >= stop)
    for i in range(entry, entry + spec.horizon_bars):
        if i >= len(p.open):
            return -1, math.nan, 0
        worst, best = (p.low[i], p.high[i]) if side > 0 else (p.high[i], p.low[i])
        if i > entry and beyond_stop(p.open[i]):
            return i, p.open[i], 2
        if i > entry and beyond_profit(p.open[i]):
            return i, p.open[i], 1
        if beyond_stop(worst):
            return i, stop, 2
        if beyond_profit(best):
            return i, profit, 1
    return entry + spec.horizon_bars - 1, p.close[entry + spec.horizon_bars - 1], 3


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.001, 0.03), profit=st.floats(0.5, 4), stop=st.floats(0.5, 4))
def test_agrees_with_the_slow_oracle(seed, scale, profit, stop):
    """On random markets every exit row, price and barrier equals the plain rules', and net never beats gross."""
    rng = np.random.default_rng(seed)
    n = 40
    close = 100 * np.exp(np.cumsum(rng.normal(0, scale, n)))
    open_ = np.append(100.0, close[:-1]) * (1 + rng.normal(0, scale / 3, n))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, scale, n)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, scale / 2, n)))
    p = path(list(zip(open_, high, low, close, strict=True)))
    spec = BarrierSpec(horizon_bars=6, profit_atr=profit, stop_atr=stop)
    at = np.arange(n - 1)
    out = simulate_trades(p, 1000 + at, atr_fraction=np.full(n - 1, 0.01), vol_ratio=np.ones(n - 1), spec=spec)
    for k in at:
        for column, side in enumerate((1, -1)):
            row, price, how = oracle(p, k, side, spec, 0.01)
            assert out.barrier[k, column] == how
            if how:
                assert out.exit_index[k, column] == 1000 + row
                assert out.gross[k, column] == side * (price / p.open[k + 1] - 1.0)
                assert out.net[k, column] < out.gross[k, column]
