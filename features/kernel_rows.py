"""What are the features of a state that is complete?

One function a group, in the order of ``definitions``, which says in words what each line computes. Prices enter through
ratios of prices and volumes through ratios of volumes, so a factor of 2**k changes no bit.
"""

import numpy as np

from features import kernel_layout as row
from features.kernel_lanes import LANES, above_zero, back, get, larger, put, ratio, root, select, size, wide
from features.kernel_state import compiled, deviation, pasted

_LN2 = 0.6931471805599453
_TOO_LARGE = 1.7976931348623157e308 / 3e38  # times this, what float32 cannot hold is infinite
_CONSTANT = 1e-10  # of the squared mean: a smaller variance is rounding


@pasted
def _zscore(s, window, total, squares, known, x, need):
    """How many population deviations x lies from the mean of the known bars; NaN for fewer than needed."""
    count, t = get(s, window + known), get(s, window + total)
    spread = count * get(s, window + squares) - t * t
    z = select(spread > _CONSTANT * t * t, (count * x - t) / root(spread), 0.0)
    return select((count >= need) & (x == x), z, np.nan)


@compiled
def write_price(s):
    o, h, l, c = get(s, row.I_OPEN), get(s, row.I_HIGH), get(s, row.I_LOW), get(s, row.S_CLOSE)  # noqa: E741
    inv, signed, before = get(s, row.S_PER_CLOSE), get(s, row.S_BODY), get(s, row.S_BODY_1)
    body, top, bottom = size(signed), larger(o, c), select(o < c, o, c)
    upper, lower = h - top, bottom - l
    put(s, row.PRICE_RANGE, (h - l) * inv)
    put(s, row.BODY_SIZE, body * inv)
    put(s, row.UPPER_WICK, upper * inv)
    put(s, row.LOWER_WICK, lower * inv)
    put(s, row.RELATIVE_SPREAD, (h - l) / (0.5 * (h + l)))
    put(s, row.IS_DOJI, select(10.0 * body <= h - l, 1.0, 0.0))
    hammer = (lower > 2.0 * body) & (body > 0.0) & (upper <= body)
    put(s, row.IS_HAMMER, select(hammer, 1.0, 0.0))
    engulfing = (body > 1.5 * size(before)) & (signed * before <= 0.0)
    put(s, row.IS_ENGULFING, select(engulfing, select(signed > 0.0, 1.0, -1.0), 0.0))
    put(s, row.GAP_UP, select(l > get(s, row.S_HIGH_1), 1.0, 0.0))
    put(s, row.GAP_DOWN, select(h < get(s, row.S_LOW_1), 1.0, 0.0))


@compiled
def write_momentum(s, n):
    c = get(s, row.S_CLOSE)
    c_1, c_5, c_10 = back(s, row.RING_C, n, 1), back(s, row.RING_C, n, 5), back(s, row.RING_C, n, 10)
    inv = get(s, row.S_PER_CLOSE)
    put(s, row.RETURNS, get(s, row.X_SR))
    put(s, row.LOG_RETURNS, get(s, row.S_R))
    put(s, row.RETURN_5, (c - back(s, row.RING_C, n, 5)) * back(s, row.RING_PER_C, n, 5))
    put(s, row.RETURN_12, (c - back(s, row.RING_C, n, 12)) * back(s, row.RING_PER_C, n, 12))
    put(s, row.RETURN_48, (c - back(s, row.RING_C, n, 48)) * back(s, row.RING_PER_C, n, 48))
    put(s, row.RETURN_144, (c - back(s, row.RING_C, n, 144)) * back(s, row.RING_PER_C, n, 144))
    put(s, row.RETURN_288, (c - back(s, row.RING_C, n, 288)) * back(s, row.RING_PER_C, n, 288))
    put(s, row.MOMENTUM_5, (c - c_5) * inv)
    put(s, row.MOMENTUM_10, (c - c_10) * inv)
    put(s, row.MOMENTUM_20, (c - back(s, row.RING_C, n, 20)) * inv)
    put(s, row.ACCELERATION, ((c - c_5) - (c_1 - back(s, row.RING_C, n, 6))) * inv)
    put(s, row.ROC, 100.0 * (c - back(s, row.RING_C, n, 10)) * back(s, row.RING_PER_C, n, 10))
    up, down = get(s, row.W_14 + row.X_UP), get(s, row.W_14 + row.X_DOWN)
    put(s, row.RSI, ratio(100.0 * up, up + down, 50.0))
    macd, signal = get(s, row.S_EMA_12) - get(s, row.S_EMA_26), get(s, row.S_SIGNAL)
    put(s, row.MACD, macd * inv)
    put(s, row.MACD_SIGNAL, signal * inv)
    put(s, row.MACD_HIST, (macd - signal) * inv)
    k = get(s, row.S_K)
    put(s, row.STOCH_K, k)
    put(s, row.STOCH_D, (k + get(s, row.S_K_1) + get(s, row.S_K_2)) * (1.0 / 3.0))


@compiled
def write_trend(s, n):
    c = get(s, row.S_CLOSE)
    inv, ema_9, ema_21, ema_50 = (
        get(s, row.S_PER_CLOSE),
        get(s, row.S_EMA_9),
        get(s, row.S_EMA_21),
        get(s, row.S_EMA_50),
    )
    put(s, row.EMA_9_DIST, (c - ema_9) * inv)
    put(s, row.EMA_21_DIST, (c - ema_21) * inv)
    put(s, row.EMA_50_DIST, (c - ema_50) * inv)
    put(s, row.EMA_200_DIST, (c - get(s, row.S_EMA_200)) * inv)
    put(s, row.EMA_9_21_DIFF, (ema_9 - ema_21) * inv)
    put(s, row.EMA_9_21_ABOVE, select(ema_9 > ema_21, 1.0, 0.0))
    put(s, row.PRICE_ABOVE_EMA_50, select(c > ema_50, 1.0, 0.0))
    put(s, row.SMA_50_DIST, (c - get(s, row.W_50 + row.X_C) * (1.0 / 50.0)) * inv)
    put(s, row.ADX, get(s, row.S_ADX))
    put(s, row.PLUS_DI, get(s, row.S_PLUS_DI))
    put(s, row.MINUS_DI, get(s, row.S_MINUS_DI))
    efficiency = ratio(size(c - back(s, row.RING_C, n, 48)), get(s, row.W_48 + row.X_ABS_DC), 0.0)
    put(s, row.EFFICIENCY_RATIO_48, select(efficiency < 1.0, efficiency, 1.0))
    put(s, row.TREND_REGIME, get(s, row.S_TREND))


@compiled
def write_bands(s, n):
    """Averages of closes are taken as deviations from the newest close, which are exactly zero in a flat window."""
    c = get(s, row.S_CLOSE)
    inv, dev, dev2, dev_10, dev2_10 = get(s, row.S_PER_CLOSE), wide(0.0), wide(0.0), wide(0.0), wide(0.0)
    for k in range(10):
        d, before = back(s, row.RING_C, n, k) - c, back(s, row.RING_C, n, k + 10) - c
        dev_10, dev2_10 = dev_10 + d, dev2_10 + d * d
        dev, dev2 = dev + before, dev2 + before * before
    dev, dev2 = dev + dev_10, dev2 + dev2_10
    mean, mean_10 = dev * (1.0 / 20.0), dev_10 * (1.0 / 10.0)
    std = root(above_zero(dev2 - dev * mean) * (1.0 / 19.0))
    put(s, row.SMA_20_DIST, (0.0 - mean) * inv)
    put(s, row.MA_10_20_DIFF, (mean_10 - mean) * inv)
    put(s, row.BB_UPPER_DIST, (mean + 2.0 * std) * inv)
    put(s, row.BB_LOWER_DIST, (2.0 * std - mean) * inv)
    put(s, row.BB_WIDTH, 4.0 * std / (c + mean))
    put(s, row.BB_POSITION, ratio(2.0 * std - mean, 4.0 * std, 0.5))
    put(s, row.PRICE_VOLATILITY_10, root(above_zero(dev2_10 - dev_10 * mean_10) * (1.0 / 10.0)) / (c + mean_10))


@compiled
def write_volatility(s, root_of_year):
    c, tr = get(s, row.S_CLOSE), get(s, row.W_14 + row.X_TR) * (1.0 / 14.0)
    put(s, row.ATR_PCT, tr * get(s, row.S_PER_CLOSE))
    put(s, row.ATR_RATIO, get(s, row.S_ATR_RATIO))
    put(s, row.VOLATILITY, deviation(s, row.W_24, row.X_SR, row.X_SR2, 24.0) * root_of_year)
    short = deviation(s, row.W_12, row.X_R, row.X_R2, 12.0)
    day = get(s, row.S_VOL_288)
    put(s, row.REALIZED_VOL_12, short)
    put(s, row.REALIZED_VOL_48, get(s, row.S_VOL_48))
    put(s, row.REALIZED_VOL_144, deviation(s, row.W_144, row.X_R, row.X_R2, 144.0))
    put(s, row.REALIZED_VOL_288, day)
    put(s, row.REALIZED_VOL_576, deviation(s, row.W_576_R, row.X_R, row.X_R2, 576.0))
    put(s, row.VOL_RATIO_12_288, ratio(short, day, 1.0))
    put(s, row.GARMAN_KLASS_48, root(get(s, row.W_48 + row.X_GK) * (1.0 / 48.0)))
    put(s, row.PARKINSON_288, root(get(s, row.W_288 + row.X_HL2) * (1.0 / (288.0 * 4.0 * _LN2))))
    put(s, row.DOWNSIDE_SHARE_48, ratio(get(s, row.W_48 + row.X_DOWN2), get(s, row.W_48 + row.X_R2), 0.5))
    highest, lowest = get(s, row.W_MAX_288 + row.X_HIGH), 0.0 - get(s, row.W_MAX_288 + row.X_NEG_LOW)
    put(s, row.RANGE_POSITION_288, ratio(c - lowest, highest - lowest, 0.5))
    put(s, row.DRAWDOWN_288, c / highest - 1.0)
    put(s, row.WILD_REGIME, get(s, row.S_WILD))
    put(s, row.CUSUM_EVENT, get(s, row.S_EVENT))


@compiled
def write_volume(s):
    c, v, v_12 = get(s, row.S_CLOSE), get(s, row.I_VOLUME), get(s, row.W_12 + row.X_V)
    v_20, v_288 = get(s, row.W_20 + row.X_V), get(s, row.W_288_R + row.X_V)
    per_20, per_288, mean = get(s, row.S_PER_V_20), ratio(1.0, v_288, 0.0), v_288 * (1.0 / 288.0)
    put(s, row.VOLUME_RATIO, 20.0 * v * per_20)
    put(s, row.VOLUME_TREND, (288.0 / 20.0) * v_20 * per_288)
    variance = get(s, row.W_288 + row.X_V2) * (1.0 / 288.0) - mean * mean
    put(s, row.VOLUME_ZSCORE_288, select(variance > 1e-12 * mean * mean, (v - mean) / root(variance), 0.0))
    put(s, row.OBV, get(s, row.S_OBV))
    put(s, row.OBV_EMA, get(s, row.S_OBV_EMA))
    put(s, row.VPT, get(s, row.W_20 + row.X_SR_V) * per_20)
    away = c - get(s, row.W_288 + row.X_PV) * per_288
    put(s, row.VWAP_288_DIST, select(v_288 != 0.0, away, 0.0) * get(s, row.S_PER_CLOSE))
    usual = get(s, row.W_288_R + row.X_ABS_R) * v_12
    put(s, row.ILLIQUIDITY_RATIO, ratio(get(s, row.W_12 + row.X_ABS_R) * v_288, usual, 1.0))


@compiled
def write_funding(s):
    """Unknown at this bar, or for more than half of the window: NaN. Rates and minutes add up exactly."""
    count, total = get(s, row.W_576 + row.X_F_KNOWN), get(s, row.W_576 + row.X_F)
    rate, interval, minutes = get(s, row.I_RATE), get(s, row.I_INTERVAL), get(s, row.W_576 + row.X_F_MINUTES)
    known = (get(s, row.X_F_KNOWN) != 0.0) & (count >= 288.0)
    spread = count * get(s, row.W_576 + row.X_F2) - total * total
    away = count * get(s, row.X_F) - total
    put(s, row.FUNDING_RATE, select(known, rate, np.nan))
    put(s, row.FUNDING_ANNUALISED, select(known, rate * (8760.0 / interval), np.nan))
    put(s, row.FUNDING_ZSCORE_576, select(known, select(spread > 0.0, away / root(spread), 0.0), np.nan))
    put(s, row.FUNDING_CHANGE_576, select(known, away / (count * 1e8), np.nan))
    change = (count * get(s, row.X_F_MINUTES) - minutes) / minutes
    put(s, row.FUNDING_INTERVAL_CHANGE, select(known, change, np.nan))
    put(s, row.HOURS_TO_FUNDING, select(known, get(s, row.I_HOURS), np.nan))


@compiled
def write_reference(s, n):
    ref = get(s, row.S_REF)
    hour = (ref - back(s, row.RING_REF, n, 12)) * back(s, row.RING_PER_REF, n, 12)
    day = (ref - back(s, row.RING_REF, n, 288)) * back(s, row.RING_PER_REF, n, 288)
    put(s, row.REF_RETURN_1, (ref - back(s, row.RING_REF, n, 1)) * back(s, row.RING_PER_REF, n, 1))
    put(s, row.REF_RETURN_12, hour)
    put(s, row.REF_RETURN_288, day)
    put(s, row.RELATIVE_STRENGTH_12, get(s, row.RETURN_12) - hour)
    put(s, row.RELATIVE_STRENGTH_288, get(s, row.RETURN_288) - day)
    x, y = get(s, row.W_288 + row.X_REF), get(s, row.W_288_R + row.X_R)
    var_x = above_zero(get(s, row.W_288 + row.X_REF2) - x * x * (1.0 / 288.0))
    cov = get(s, row.W_288 + row.X_CROSS) - x * y * (1.0 / 288.0)
    std_x = root(var_x * (1.0 / 287.0))
    put(s, row.REF_REALIZED_VOL_288, std_x)
    put(s, row.REF_BETA_288, ratio(cov, var_x, 0.0))
    corr = ratio(cov, 287.0 * std_x * get(s, row.REALIZED_VOL_288), 0.0)
    put(s, row.REF_CORR_288, larger(select(corr < 1.0, corr, 1.0), -1.0))


@pasted
def _imbalance(s, window, need):
    """Taker buys less taker sells, by their volume, over the bars where both are known."""
    share = ratio(get(s, window + row.X_TAKER), get(s, window + row.X_TAKER_V), 0.0)
    return select(get(s, window + row.X_TAKER_KNOWN) >= need, share, np.nan)


@compiled
def write_optional(s, n):
    """What a source may lack is NaN where it does, and the row stays valid."""
    oi, moved = get(s, row.S_OI), get(s, row.S_CLOSE) - back(s, row.RING_C, n, 12)
    change = (oi - back(s, row.RING_OI, n, 12)) * back(s, row.RING_PER_OI, n, 12)
    put(s, row.OI_CHANGE_12, change)
    put(s, row.OI_CHANGE_288, (oi - back(s, row.RING_OI, n, 288)) * back(s, row.RING_PER_OI, n, 288))
    put(s, row.OI_ZSCORE_576, _zscore(s, row.W_576, row.X_OI, row.X_OI2, row.X_OI_KNOWN, oi, 288.0))
    same_way = select(moved < 0.0, change, 0.0 * change)
    put(s, row.OI_PRICE_DIVERGENCE_12, select(moved > 0.0, 0.0 - change, same_way))
    basis = get(s, row.I_BASIS)
    put(s, row.BASIS, basis)
    z = _zscore(s, row.W_288, row.X_BASIS, row.X_BASIS2, row.X_BASIS_KNOWN, basis, 144.0)
    put(s, row.BASIS_ZSCORE_288, z)
    put(s, row.TAKER_SHARE, get(s, row.I_TAKER))
    put(s, row.TAKER_IMBALANCE_12, _imbalance(s, row.W_12, 6.0))
    put(s, row.TAKER_IMBALANCE_48, _imbalance(s, row.W_48, 24.0))


@pasted
def _unfit(s, first, end):
    """NaN in the lanes where one of these features is not a number that float32 can hold, else 0.

    Four sums side by side: each addition waits for the one before it.
    """
    a, b, c, d = wide(0.0), wide(0.0), wide(0.0), wide(0.0)
    for feature in range(first, end - 3 * LANES, 4 * LANES):
        a = a + get(s, feature) * _TOO_LARGE
        b = b + get(s, feature + LANES) * _TOO_LARGE
        c = c + get(s, feature + 2 * LANES) * _TOO_LARGE
        d = d + get(s, feature + 3 * LANES) * _TOO_LARGE
    for feature in range(end - (end - first) % (4 * LANES), end, LANES):
        a = a + get(s, feature) * _TOO_LARGE
    seen = (a + b) + (c + d)
    return seen - seen


@compiled
def write_reasons(s, p):
    """Write the bits of every reason why a row is not valid."""
    reason = select(get(s, row.I_REAL) == 1.0, 0.0, row.FILLED)
    reason = reason + select(get(s, row.S_FILLS) > float(p[row.P_MAX_FILLED]), row.GAPS, 0.0)
    own = _unfit(s, row.OUT, row.FUNDING_RATE)
    reason = reason + select(own == own, 0.0, row.NOT_FINITE)
    funding = _unfit(s, row.FUNDING_RATE, row.REF_RETURN_1)
    lacking = float(p[row.P_FUNDING_REQUIRED]) * row.FUNDING_UNKNOWN
    reason = reason + select(funding == funding, 0.0, lacking)
    known = (get(s, row.S_MISSES) <= float(p[row.P_MAX_FILLED])) & (get(s, row.I_REF) > 0.0)
    reference = _unfit(s, row.REF_RETURN_1, row.OI_CHANGE_12)
    reason = reason + select(known & (reference == reference), 0.0, row.REFERENCE_MISSING)
    put(s, row.S_REASON, reason)


@compiled
def write_nothing(s):
    """A row before the warm-up is complete holds no number."""
    for feature in range(row.OUT, row.OUT + row.FEATURE_COUNT * LANES, LANES):
        put(s, feature, np.nan)
    put(s, row.S_REASON, float(row.WARMUP) + select(get(s, row.I_REAL) == 1.0, 0.0, row.FILLED))
