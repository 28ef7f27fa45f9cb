"""Are the standard indicators those of TA-Lib on real candles, where the definitions coincide?"""

from functools import cache

import numpy as np
import pytest
import talib as ta

from features import FEATURES, BarInputs, kernel
from features.inputs import Column
from features.lanes import Stretch, run_stretches
from features.unified import TALIB_DIFFERENCES
from tests.features.histories import FIVE, contract, inputs_of, real_inputs

FIRST = 1152


@cache
def market() -> BarInputs:
    """One block with its warm-up: a week with the crash of 2025-10-10."""
    whole = real_inputs("marketlab_um", "SOLUSDT", start="2025-10-01", days=20)
    begin = -(-(whole.first_index + FIRST) // 2016) * 2016 - FIRST
    at = begin - whole.first_index
    return inputs_of(whole.values[at : at + FIRST + 2016], first_index=begin, symbol=whole.symbol)


@cache
def rows() -> dict[str, np.ndarray]:
    """Every feature of the block, before rounding to float32."""
    one = market()
    values, reason = np.empty((2016, kernel.FEATURE_COUNT)), np.empty(2016, np.uint16)
    stretch = Stretch(
        bars=one.values, first_index=one.first_index, start=0, first=FIRST, end=len(one), values=values, reason=reason
    )
    run_stretches([stretch], contract(), threads=1)
    assert not reason.any()
    return {feature.name: values[:, k] for k, feature in enumerate(FEATURES)}


@cache
def columns() -> tuple[np.ndarray, ...]:
    """Open, high, low, close, volume and reference close, each contiguous."""
    picked = (Column.OPEN, Column.HIGH, Column.LOW, Column.CLOSE, Column.VOLUME, Column.REF_CLOSE)
    return tuple(np.ascontiguousarray(market().values[:, k]) for k in picked)


def ema(x: np.ndarray, n: int) -> np.ndarray:
    """TA-Lib's EMA, which begins at a mean of n values, begun at the first value: n - 1 copies of it go before."""
    return ta.EMA(np.concatenate((np.repeat(x[0], n - 1), x)), n)[n - 1 :]


def sample_std(x: np.ndarray, n: int) -> np.ndarray:
    """TA-Lib's deviation as a sample's; scaled up, because it calls small variances zero."""
    return ta.STDDEV(x * 1e4, n) / 1e4 * np.sqrt(n / (n - 1))


def averages() -> dict[str, np.ndarray]:
    _, _, _, c, _, _ = columns()
    e = {n: ema(c, n) for n in (9, 21, 50, 200)}
    line, signal, rest = ta.MACD(c, 12, 26, 9)
    return {
        **{f"ema_{n}_dist": (c - e[n]) / c for n in e},
        "ema_9_21_diff": (e[9] - e[21]) / c,
        "ema_9_21_above": np.where(e[9] > e[21], 1.0, 0.0),
        "price_above_ema_50": np.where(c > e[50], 1.0, 0.0),
        "sma_20_dist": (c - ta.SMA(c, 20)) / c,
        "sma_50_dist": (c - ta.SMA(c, 50)) / c,
        "ma_10_20_diff": (ta.SMA(c, 10) - ta.SMA(c, 20)) / c,
        "macd": line / c,
        "macd_signal": signal / c,
        "macd_hist": rest / c,
    }


def movements() -> dict[str, np.ndarray]:
    _, h, l, c, _, ref = columns()  # noqa: E741
    fast_k, fast_d = ta.STOCHF(h, l, c, 14, 3, 0)
    up, down = (ta.SUM(np.maximum(sign * ta.MOM(c, 1), 0.0), 14) for sign in (1, -1))
    return {
        "returns": ta.ROCP(c, 1),
        **{f"return_{k}": ta.ROCP(c, k) for k in (5, 12, 48, 144, 288)},
        **{f"ref_return_{k}": ta.ROCP(ref, k) for k in (1, 12, 288)},
        **{f"relative_strength_{k}": ta.ROCP(c, k) - ta.ROCP(ref, k) for k in (12, 288)},
        **{f"momentum_{k}": ta.MOM(c, k) / c for k in (5, 10, 20)},
        "acceleration": ta.MOM(ta.MOM(c, 5), 1) / c,
        "roc": ta.ROC(c, 10),
        "rsi": 100 * up / (up + down),
        "stoch_k": fast_k,
        "stoch_d": fast_d,
        "efficiency_ratio_48": np.abs(ta.MOM(c, 48)) / ta.SUM(np.abs(ta.MOM(c, 1)), 48),
    }


def directions() -> dict[str, np.ndarray]:
    """Wilder's movements and true ranges without his smoothing: TA-Lib's with one bar, and their plain sums."""
    _, h, l, c, _, _ = columns()  # noqa: E741
    tr = ta.TRANGE(h, l, c)
    moved = ta.SUM(tr, 14)
    plus, minus = (100 * ta.SUM(dm(h, l, 1), 14) / moved for dm in (ta.PLUS_DM, ta.MINUS_DM))
    return {
        "plus_di": plus,
        "minus_di": minus,
        "adx": ta.SMA(100 * np.abs(plus - minus) / (plus + minus), 14),
        "atr_pct": ta.SMA(tr, 14) / c,
        "atr_ratio": ta.SMA(tr, 14) / ta.SMA(tr, 288),
    }


def spreads() -> dict[str, np.ndarray]:
    o, h, l, c, _, _ = columns()  # noqa: E741
    r, width = ta.MOM(np.log(c), 1), 2 * np.sqrt(20 / 19)
    upper, middle, lower = ta.BBANDS(c, 20, width, width)
    hl, co = np.log(h / l), np.log(c / o)
    vols = {n: sample_std(r, n) for n in (12, 48, 144, 288, 576)}
    return {
        "bb_upper_dist": (upper - c) / c,
        "bb_lower_dist": (c - lower) / c,
        "bb_width": (upper - lower) / middle,
        "bb_position": (c - lower) / (upper - lower),
        "price_volatility_10": ta.STDDEV(c, 10) / ta.SMA(c, 10),
        "volatility": sample_std(ta.ROCP(c, 1), 24) * np.sqrt(FIVE.bars_per_year),
        **{f"realized_vol_{n}": vols[n] for n in vols},
        "vol_ratio_12_288": vols[12] / vols[288],
        "parkinson_288": np.sqrt(ta.SMA(hl**2, 288) / (4 * np.log(2))),
        "garman_klass_48": np.sqrt(ta.SMA(hl**2 / 2 - (2 * np.log(2) - 1) * co**2, 48)),
        "downside_share_48": ta.SUM(np.minimum(r, 0) ** 2, 48) / ta.SUM(r**2, 48),
        "range_position_288": (c - ta.MIN(l, 288)) / (ta.MAX(h, 288) - ta.MIN(l, 288)),
        "drawdown_288": c / ta.MAX(h, 288) - 1,
    }


def volumes() -> dict[str, np.ndarray]:
    _, h, l, c, v, _ = columns()  # noqa: E741
    v_20, v_288 = ta.SMA(v, 20), ta.SMA(v, 288)
    obv = ta.MOM(ta.OBV(c, v), 20) / ta.SUM(v, 20)
    return {
        "volume_ratio": v / v_20,
        "volume_trend": v_20 / v_288,
        "volume_zscore_288": (v - v_288) / ta.STDDEV(v, 288),
        "obv": obv,
        "obv_ema": ta.EMA(obv, 20),
        "vpt": ta.SUM(ta.ROCP(c, 1) * v, 20) / ta.SUM(v, 20),
        "vwap_288_dist": (c - ta.SUM(ta.TYPPRICE(h, l, c) * v, 288) / ta.SUM(v, 288)) / c,
    }


def reference() -> dict[str, np.ndarray]:
    """BETA wants prices and takes their simple returns: chains of log returns stand for them."""
    _, _, _, c, _, ref = columns()
    r, q = (np.diff(np.log(x), prepend=np.log(x[0])) for x in (c, ref))
    return {
        "ref_realized_vol_288": sample_std(q, 288),
        "ref_corr_288": ta.CORREL(r * 1e3, q * 1e3, 288),
        "ref_beta_288": ta.BETA(np.cumprod(1 + q), np.cumprod(1 + r), 288),
    }


@pytest.mark.parametrize("peer", [averages, movements, directions, spreads, volumes, reference])
def test_where_definitions_coincide_the_numbers_do(peer):
    """Float64 rows of a block with a crash; TA-Lib's running sums keep about nine digits, ours all."""
    for name, values in peer().items():
        np.testing.assert_allclose(rows()[name], values[FIRST:], rtol=1e-6, atol=1e-8, err_msg=name)


def plain_talib() -> dict[str, tuple[str, np.ndarray]]:
    """What each function that we list as different gives, in its own defaults and our unit, beside one of our names."""
    o, h, l, c, v, ref = columns()  # noqa: E741
    upper, middle, lower = ta.BBANDS(c, 20, 2, 2)
    return {
        "RSI": ("rsi", ta.RSI(c, 14)),
        "ATR": ("atr_pct", ta.ATR(h, l, c, 14) / c),
        "PLUS_DI": ("plus_di", ta.PLUS_DI(h, l, c, 14)),
        "MINUS_DI": ("minus_di", ta.MINUS_DI(h, l, c, 14)),
        "ADX": ("adx", ta.ADX(h, l, c, 14)),
        "EMA": ("ema_200_dist", (c - ta.EMA(c, 200)) / c),
        "BBANDS": ("bb_width", (upper - lower) / middle),
        "STDDEV": ("realized_vol_12", ta.STDDEV(ta.MOM(np.log(c), 1), 12)),
        "BETA": ("ref_beta_288", ta.BETA(ref, c, 288)),
        "OBV": ("obv", ta.OBV(c, v) / ta.SUM(v, 20)),
        "CDLDOJI": ("is_doji", ta.CDLDOJI(o, h, l, c) / 100.0),
        "CDLHAMMER": ("is_hammer", ta.CDLHAMMER(o, h, l, c) / 100.0),
        "CDLENGULFING": ("is_engulfing", ta.CDLENGULFING(o, h, l, c) / 100.0),
    }


def test_each_listed_difference_is_one():
    """The page's table names every function that differs, and nothing that does not."""
    found = plain_talib()
    assert {one.function for one in TALIB_DIFFERENCES} == set(found)
    for one in TALIB_DIFFERENCES:
        name, values = found[one.function]
        assert name in one.features
        assert not np.allclose(rows()[name], values[FIRST:], rtol=1e-9, atol=0.0), one.function


def test_what_is_listed_exists():
    """Features named in the table are defined."""
    known = {feature.name for feature in FEATURES}
    assert {name for one in TALIB_DIFFERENCES for name in one.features} <= known
