"""Do trade exits follow the rules: pessimistic ties, gaps at the open, signed funding, unknown stays unknown?"""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.barriers import Barrier, BarrierSpec, PricePath, simulate_trades
from market.costs import CostModel
from market.errors import LabelSpecError
from market.funding import FundingStamps, funding_on_grid
from market.label_rule import label_classes
from market.timeframe import Timeframe
from tests.real_data import real_data_dir

FREE = CostModel(taker_fee_bps=0, slippage_bps=0)
SPEC = BarrierSpec(horizon_bars=4, profit=2.0, stop=1.0, costs=FREE)


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
    spec = BarrierSpec(horizon_bars=4, profit=2.0, stop=1.0, costs=costs)
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
        BarrierSpec(profit=3.9),
        BarrierSpec(stop=3.9),
        BarrierSpec(profit=0.5, stop=0.5, unit="fraction"),
        BarrierSpec(profit=0.5, stop=0.5),
        BarrierSpec(trail=1.0),
        BarrierSpec(trail=1.0, trail_after=1.0),
        BarrierSpec(costs=CostModel(taker_fee_bps=4.9)),
        BarrierSpec(costs=CostModel(assumed_funding_bps_per_bar=0.1)),
    ]
    assert len({base.fingerprint, *(o.fingerprint for o in others)}) == 1 + len(others)


def oracle(p: PricePath, k: int, side: int, spec: BarrierSpec, atr: float) -> tuple[int, float, int]:
    """The same rules, one bar at a time, as plainly as they can be written."""
    entry = k + 1
    price = p.open[entry]
    up, down = (spec.profit * atr, spec.stop * atr) if spec.unit == "atr" else (spec.profit, spec.stop)
    profit, stop = price * (1 + side * up), price * (1 - side * down)
    scale = atr if spec.unit == "atr" else 1.0
    stopped, extreme = 2, price
    beyond_profit = (lambda x: x >= profit) if side > 0 else (lambda x: x <= profit)
    beyond_stop = (lambda x: x <= stop) if side > 0 else (lambda x: x >= stop)
    nearer = max if side > 0 else min
    for i in range(entry, entry + spec.horizon_bars):
        if i >= len(p.open):
            return -1, math.nan, 0
        worst, best = (p.low[i], p.high[i]) if side > 0 else (p.high[i], p.low[i])
        if i > entry and beyond_stop(p.open[i]):
            return i, p.open[i], stopped
        if i > entry and beyond_profit(p.open[i]):
            return i, p.open[i], 1
        if beyond_stop(worst):
            return i, stop, stopped
        if beyond_profit(best):
            return i, profit, 1
        extreme = nearer(extreme, best)
        if spec.trail and side * (extreme / price - 1) >= spec.trail_after * scale:
            trailing = extreme - side * spec.trail * scale * price
            stop, stopped = (trailing, 4) if side * (trailing - stop) > 0 else (stop, stopped)
    return entry + spec.horizon_bars - 1, p.close[entry + spec.horizon_bars - 1], 3


def oracle_net(p: PricePath, k: int, side: int, spec: BarrierSpec, atr: float, vol: float) -> tuple[float, float]:
    """Net and funding of the same trade, settlement by settlement; NaN where it has no outcome."""
    row, price, how = oracle(p, k, side, spec, atr)
    if how == 0:
        return math.nan, math.nan
    entry, costs = p.open[k + 1], spec.costs
    paid = 0.0
    for i in range(k + 2, row + 1):
        if not p.funding_known.any():
            if costs.assumed_funding_bps_per_bar == 0:
                return math.nan, math.nan
            paid += costs.assumed_funding_bps_per_bar * 1e-4
        elif not p.funding_known[i]:
            return math.nan, math.nan
        else:
            paid += side * p.funding_paid[i] * p.open[i] / entry
    slip = costs.slippage_bps * max(vol, costs.slippage_vol_floor)
    fees = (1 + price / entry) * (costs.taker_fee_bps + slip) * 1e-4
    return side * (price / entry - 1) - fees - paid, paid


def random_market(seed: int, scale: float, n: int = 60) -> PricePath:
    """Jumps, gaps and wicks; settlements every 8, then 4, then 1 hours, some unknown; sometimes no funding at all."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, scale, n)))
    open_ = np.append(100.0, close[:-1]) * (1 + rng.normal(0, scale / 3, n))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, scale, n)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, scale / 2, n)))
    due = np.zeros(n, dtype=bool)
    due[np.r_[0 : n // 3 : 8, n // 3 : 2 * n // 3 : 4, 2 * n // 3 : n]] = True
    paid = np.where(due, rng.normal(1e-4, 5e-4, n), 0.0)
    known = rng.random(n) > (1.0 if seed % 7 == 0 else 0.03)
    bars = list(zip(open_, high, low, close, strict=True))
    return path(bars, funding_paid=np.where(known, paid, 0.0), funding_known=known, real=rng.random(n) > 0.03)


def scaled(spec: BarrierSpec, times: float, unit: str) -> BarrierSpec:
    """The spec with all distances multiplied; a trailing stop begins half its distance ahead."""
    trail = spec.trail * times
    return replace(
        spec, profit=spec.profit * times, stop=spec.stop * times, unit=unit, trail=trail, trail_after=trail / 2
    )


SPECS = st.builds(
    BarrierSpec,
    horizon_bars=st.integers(1, 12),
    profit=st.floats(0.2, 0.9),
    stop=st.floats(0.2, 0.9),
    unit=st.just("fraction"),
    trail=st.sampled_from([0.0, 0.1, 0.5]),
    costs=st.builds(
        CostModel,
        taker_fee_bps=st.floats(0, 20),
        slippage_bps=st.floats(0, 20),
        assumed_funding_bps_per_bar=st.sampled_from([0.0, 0.5]),
    ),
)
SPECS = SPECS.map(lambda spec: scaled(spec, 1 / 20, "fraction")) | SPECS.map(lambda spec: scaled(spec, 5.0, "atr"))


def simulated(p: PricePath, spec: BarrierSpec, vol: float = 1.3):
    """Both sides from every bar but the last."""
    at = np.arange(len(p.open) - 1)
    widths = np.full(at.size, 0.01)
    return simulate_trades(p, 1000 + at, atr_fraction=widths, vol_ratio=np.full(at.size, vol), spec=spec)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(0.001, 0.03), spec=SPECS)
def test_agrees_with_the_slow_oracle(seed, scale, spec):
    """On random markets every exit, price, barrier, funding and net equals the plain rules'."""
    p = random_market(seed, scale)
    out = simulated(p, spec)
    for k in range(len(p.open) - 1):
        for column, side in enumerate((1, -1)):
            row, price, how = oracle(p, k, side, spec, 0.01)
            net, paid = oracle_net(p, k, side, spec, 0.01, 1.3)
            if not p.real[k + 1] or math.isnan(net):
                assert out.barrier[k, column] == Barrier.UNRESOLVED
                assert out.exit_index[k, column] == -1
                assert np.isnan([out.net[k, column], out.gross[k, column], out.funding[k, column]]).all()
                continue
            assert out.barrier[k, column] == how
            assert out.exit_index[k, column] == 1000 + row
            assert out.gross[k, column] == side * (price / p.open[k + 1] - 1.0)
            assert out.funding[k, column] == pytest.approx(paid, abs=1e-12)
            assert out.net[k, column] == pytest.approx(net, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spec=SPECS, fee=st.floats(0, 30), slip=st.floats(0, 30))
def test_wider_costs_never_create_a_trade(seed, spec, fee, slip):
    """Exits stay, no net rises, and a HOLD never becomes a BUY or a SELL, unless both sides had netted the same."""
    p = random_market(seed, 0.01)
    dearer = replace(
        spec.costs, taker_fee_bps=spec.costs.taker_fee_bps + fee, slippage_bps=spec.costs.slippage_bps + slip
    )
    cheap, dear = simulated(p, spec), simulated(p, replace(spec, costs=dearer))
    np.testing.assert_array_equal(cheap.exit_index, dear.exit_index)
    known = cheap.barrier > 0
    assert (dear.net[known] <= cheap.net[known]).all()
    before, after = (label_classes(found.net, found.barrier) for found in (cheap, dear))
    tied = cheap.net[:, 0] == cheap.net[:, 1]
    assert not ((before == 0) & (after > 0) & ~tied).any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spec=SPECS)
def test_net_is_gross_less_costs_and_the_class_agrees_with_it(seed, spec):
    """Without funding net never beats gross; the class is the side whose stored net is positive and larger."""
    p = replace(random_market(seed, 0.01), funding_paid=np.zeros(60), funding_known=np.ones(60, dtype=bool))
    out = simulated(p, spec)
    known = out.barrier > 0
    assert (out.net[known] <= out.gross[known]).all()
    assert (out.funding[known] == 0).all()
    for label, (long, short), (by_long, by_short) in zip(
        label_classes(out.net, out.barrier), out.net, out.barrier, strict=True
    ):
        if by_long == 0 or by_short == 0:
            assert label == -1
        elif max(long, short) <= 0 or long == short:
            assert label == 0
        else:
            assert label == (1 if long > short else 2)


def test_barriers_may_be_fractions_of_the_price():
    """Two per cent up and one down, whatever the ATR, which may even be missing."""
    spec = BarrierSpec(horizon_bars=4, profit=0.02, stop=0.01, unit="fraction", costs=FREE)
    bars = [FLAT, FLAT, (100, 102.5, 100, 102), FLAT, FLAT]
    for atr in (0.5, 1e-9, math.nan):
        assert trade(path(bars), spec, atr=atr).gross[0] == pytest.approx([0.02, -0.01])


@pytest.mark.parametrize(
    "wrong",
    [
        {"profit": 0.0},
        {"stop": -1.0},
        {"unit": "percent"},
        {"unit": "fraction", "profit": 1.0, "stop": 0.01},
        {"profit": math.nan},
        {"horizon_bars": 0},
        {"trail": -1.0},
        {"trail": math.inf},
        {"trail_after": 1.0},
    ],
)
def test_barriers_that_no_price_could_reach_are_refused(wrong):
    """No width, a width of the whole price, no number, no time."""
    with pytest.raises(LabelSpecError, match=r"labels\.profit"):
        BarrierSpec(**wrong)


def test_a_trailing_stop_follows_only_bars_that_are_over():
    """The bar that makes the high may not stop on it; the next one may, at the trailed price or at a worse open."""
    spec = BarrierSpec(horizon_bars=5, profit=0.5, stop=0.05, unit="fraction", trail=0.02, trail_after=0.03, costs=FREE)
    rise = (100, 104, 100, 104)
    below = trade(path([FLAT, rise, (104, 104, 101, 103), FLAT, FLAT, FLAT]), spec)
    gapped = trade(path([FLAT, rise, (101, 104, 101, 103), FLAT, FLAT, FLAT]), spec)
    too_low = trade(path([FLAT, (100, 102.9, 100, 102), (102, 102, 100.5, 101), FLAT, FLAT, FLAT]), spec)
    assert (below.barrier[0, 0], below.gross[0, 0], below.exit_index[0, 0]) == (
        Barrier.TRAIL,
        pytest.approx(0.02),
        1002,
    )
    assert (gapped.barrier[0, 0], gapped.gross[0, 0]) == (Barrier.TRAIL, pytest.approx(0.01))
    assert too_low.barrier[0, 0] == Barrier.TIME


def test_a_market_without_any_funding_pays_what_is_assumed():
    """Both sides pay every bar after the entry; one known settlement anywhere, and unknown is unknown again."""
    costs = CostModel(taker_fee_bps=0, slippage_bps=0, assumed_funding_bps_per_bar=2.0)
    spec = BarrierSpec(horizon_bars=4, profit=2.0, stop=1.0, costs=costs)
    unknown = np.zeros(6, dtype=bool)
    out = trade(path([FLAT] * 6, funding_known=unknown), spec)
    assert out.funding[0] == pytest.approx([6e-4, 6e-4])
    assert out.net[0] == pytest.approx([-6e-4, -6e-4])
    unknown[0] = True
    assert trade(path([FLAT] * 6, funding_known=unknown), spec).barrier[0].tolist() == [0, 0]


def test_funding_of_real_trades_is_the_ledger_between_entry_and_exit():
    """Every settlement stamped after the entry and up to the exit bar, on its own notional, signed by side."""
    symbol, first = "BTCUSDT", 1_751_000_000_000 // 300_000
    root = real_data_dir() / "marketlab_um"
    bars = pq.read_table(root / "candles_5m" / f"{symbol}.parquet")
    at = bars["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64) // 300_000
    rows = (at >= first) & (at < first + 6000)
    o, h, l, c = (bars[name].to_numpy()[rows] for name in ("open", "high", "low", "close"))  # noqa: E741
    table = pq.read_table(root / "funding" / f"{symbol}.parquet")
    stamps = FundingStamps(
        symbol=symbol,
        time=table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64),
        rate=table["funding_rate"].to_numpy().copy(),
    )
    funding = funding_on_grid(stamps, timeframe=Timeframe.parse("5m"), first_index=first, n=6000)
    p = PricePath(
        first_index=first,
        open=o,
        high=h,
        low=l,
        close=c,
        real=np.ones(6000, dtype=bool),
        funding_paid=funding.paid,
        funding_known=funding.known,
    )
    at = first + np.arange(0, 5800, 17)
    held = np.full(at.size, 0.02)
    out = simulate_trades(p, at, atr_fraction=held, vol_ratio=np.ones(at.size), spec=BarrierSpec(horizon_bars=150))
    paid = 0
    for k, decided in enumerate(at.tolist()):
        for column, side in enumerate((1, -1)):
            assert out.barrier[k, column] > 0
            entered, left = (decided + 2) * 300_000, (int(out.exit_index[k, column]) + 1) * 300_000
            due = np.flatnonzero((stamps.time >= entered) & (stamps.time < left))
            notional = [o[int(stamps.time[i]) // 300_000 - first] / o[decided + 1 - first] for i in due]
            assert out.funding[k, column] == pytest.approx(side * (stamps.rate[due] * notional).sum(), abs=1e-12)
            paid += due.size
    assert paid > 300
