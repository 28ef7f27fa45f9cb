"""What is known at the close of this bar, advanced by one bar?

``run`` advances one market bar by bar and writes rows: batch calls it with a block of bars, the stream with one bar,
so both are the same compiled step and give the same bytes. Strict arithmetic (no fastmath), and logarithm and sine
of our own: no other libm can change a bit. Windows are exact: time is cut into chunks of the window's length, and a
window is a suffix of the last chunk plus a prefix of this one (van Herk 1992, for sums as for maxima). So nothing is
ever subtracted out again, and only the EMAs are recursive; they begin where the state begins. Prices enter through
ratios of prices and volumes through ratios of volumes, so a factor of 2**k changes no bit. Flat and empty windows
have defined values (see ``definitions``), never an epsilon.

All compiled code and its constants stay in this one file, long as it is: numba's cache notices a change of the file
that holds the cached function and of no other, so a second file could leave old machine code behind a new contract.
"""

import math

import numpy as np
from numba import njit

# Columns of one input bar.
IN_OPEN, IN_HIGH, IN_LOW, IN_CLOSE, IN_VOLUME, IN_REAL, IN_REF_CLOSE = range(7)
IN_FUNDING_RATE, IN_FUNDING_INTERVAL_H, IN_HOURS_TO_FUNDING, IN_OPEN_INTEREST = range(7, 11)
INPUT_COLUMNS = 11

# Columns of one row, by group; ``definitions`` says what each one means.
RETURNS, LOG_RETURNS, PRICE_RANGE, BODY_SIZE, UPPER_WICK, LOWER_WICK, RELATIVE_SPREAD = range(7)
RETURN_5, RETURN_12, RETURN_48, RETURN_144, RETURN_288, MOMENTUM_5, MOMENTUM_10, MOMENTUM_20 = range(7, 15)
ACCELERATION, ROC, RSI, MACD, MACD_SIGNAL, MACD_HIST, STOCH_K, STOCH_D = range(15, 23)
EMA_9_DIST, EMA_21_DIST, EMA_50_DIST, EMA_200_DIST, EMA_9_21_DIFF, EMA_9_21_ABOVE, PRICE_ABOVE_EMA_50 = range(23, 30)
SMA_20_DIST, SMA_50_DIST, MA_10_20_DIFF, ADX, PLUS_DI, MINUS_DI, EFFICIENCY_RATIO_48 = range(30, 37)
BB_UPPER_DIST, BB_LOWER_DIST, BB_WIDTH, BB_POSITION, PRICE_VOLATILITY_10, ATR_PCT, ATR_RATIO = range(37, 44)
VOLATILITY, REALIZED_VOL_12, REALIZED_VOL_48, REALIZED_VOL_144, REALIZED_VOL_288, REALIZED_VOL_576 = range(44, 50)
VOL_RATIO_12_288, GARMAN_KLASS_48, PARKINSON_288, DOWNSIDE_SHARE_48 = range(50, 54)
RANGE_POSITION_288, DRAWDOWN_288 = range(54, 56)
VOLUME_RATIO, VOLUME_TREND, VOLUME_ZSCORE_288, OBV, OBV_EMA, VPT, VWAP_288_DIST, ILLIQUIDITY_RATIO = range(56, 64)
IS_DOJI, IS_HAMMER, IS_ENGULFING, GAP_UP, GAP_DOWN = range(64, 69)
DAY_SIN, DAY_COS, WEEK_SIN, WEEK_COS = range(69, 73)
FUNDING_RATE, FUNDING_ANNUALISED, FUNDING_ZSCORE_576, HOURS_TO_FUNDING = range(73, 77)
REF_RETURN_1, REF_RETURN_12, REF_RETURN_288, REF_REALIZED_VOL_288 = range(77, 81)
REF_BETA_288, REF_CORR_288, RELATIVE_STRENGTH_12, RELATIVE_STRENGTH_288 = range(81, 85)
OI_CHANGE_12, OI_CHANGE_288, OI_PRICE_DIVERGENCE_12 = range(85, 88)
FEATURE_COUNT = 88

# Reason bits, as in ``reasons.Reason``.
WARMUP, FILLED, GAPS, FUNDING_UNKNOWN, REFERENCE_MISSING, NOT_FINITE = 1, 2, 4, 8, 16, 32

# Parameters: (4,) int64.
P_WARMUP, P_MAX_FILLED, P_FILL_WINDOW, P_BARS_PER_YEAR = range(4)
PARAMETERS = 4

# Windowed quantities of one bar; each window takes a run of them.
Q_GK, Q_DOWN2, Q_ABS_DC, Q_F, Q_F2, Q_F_KNOWN, Q_R, Q_R2, Q_ABS_R, Q_V, Q_SIGNED_V, Q_SR_V, Q_V2, Q_PV = range(14)
Q_HL2, Q_REF, Q_REF2, Q_CROSS, Q_TR, Q_PLUS, Q_MINUS, Q_UP, Q_DOWN, Q_DX_1, Q_SR, Q_SR2, Q_C = range(14, 27)
Q_HIGH, Q_NEG_LOW = 27, 28

# The state: numbers carried from bar to bar, this bar's quantities, raw values of the last 512 bars (closes twice
# over, so that any run of them is contiguous), the windows, two rings of flags.
S_COUNT, S_OPEN, S_HIGH, S_LOW, S_CLOSE, S_HIGH_1, S_LOW_1, S_BODY, S_BODY_1, S_R, S_REF, S_FUNDING_KNOWN = range(12)
S_EMA_9, S_EMA_12, S_EMA_21, S_EMA_26, S_EMA_50, S_EMA_200, S_SIGNAL, S_OBV, S_OBV_EMA = range(12, 21)
S_K, S_K_1, S_K_2, S_PLUS_DI, S_MINUS_DI, S_DX, S_FILLS, S_REF_MISSES, S_FLAG = range(21, 30)
_X, _CLOSES, _REFS, _OIS, _WINDOWS = 32, 64, 64 + 1024, 64 + 1536, 64 + 2048


def _layout(at: int) -> tuple[tuple[tuple[int, int, int, int], ...], int]:
    """Place each window at ``(place, bars, first quantity, quantities)``: position, prefix, result, chunk, zeros."""
    windows = []
    for bars, first, end in (
        (12, Q_R, Q_V + 1),
        (13, Q_DX_1, Q_DX_1 + 1),
        (14, Q_TR, Q_DOWN + 1),
        (20, Q_V, Q_SR_V + 1),
        (24, Q_SR, Q_SR2 + 1),
        (48, Q_GK, Q_R2 + 1),
        (50, Q_C, Q_C + 1),
        (144, Q_R, Q_R2 + 1),
        (288, Q_R, Q_TR + 1),
        (576, Q_F, Q_R2 + 1),
        (14, Q_HIGH, Q_NEG_LOW + 1),
        (288, Q_HIGH, Q_NEG_LOW + 1),
    ):
        width = 4 * -(-(end - first) // 4) if first < Q_HIGH else end - first
        windows.append((at, bars, first, width))
        at += 1 + (2 + bars + 1) * width
    return tuple(windows), at


_PLACES, FIXED_STATE = _layout(_WINDOWS)
_TABLE = np.array(_PLACES, dtype=np.uint64)  # unsigned: numba then omits its test for negative indices
_SUMS, _THIS = 10, np.uint64(_X)
_NONE, _ONE, _TWO, _THREE, _FOUR = np.arange(5, dtype=np.uint64)
# Where the result of quantity 0 of each window would stand: ``s[W_48 + Q_R]`` is a sum.
W_12, W_13, W_14, W_20, W_24, W_48, W_50, W_144, W_288, W_576, W_MAX_14, W_MAX_288 = (
    at + 1 + width - first for at, _bars, first, width in _PLACES
)
LONGEST_LOOKBACK = 577

_LN2_HI, _LN2_LO = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT2, _LN2 = 1.4142135623730951, 0.6931471805599453


def state_size(fill_window: int) -> int:
    """Length of the float64 state of one market."""
    return FIXED_STATE + 2 * fill_window


@njit(nogil=True, error_model="numpy")
def log_ratio(x):
    """Natural logarithm within one unit in the last place (fdlibm ``e_log.c``); NaN unless 1e-300 < x < 1e300."""
    if not 1e-300 < x < 1e300:
        return np.nan
    k = 0.0
    while x > _SQRT2:
        x *= 0.5
        k += 1.0
    while x < 0.5 * _SQRT2:
        x *= 2.0
        k -= 1.0
    f = x - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    half = 0.5 * f * f
    r = odd + z * (6.666666666666735130e-01 + w * even)
    return k * _LN2_HI - ((half - (s * (half + r) + k * _LN2_LO)) - f)


@njit(nogil=True, error_model="numpy")
def _ratio(a, b, otherwise):
    return a / b if b != 0.0 else otherwise


@njit(nogil=True, error_model="numpy")
def _close(s, n):
    return s[_CLOSES + (n & 511)]


@njit(nogil=True, error_model="numpy")
def _ref(s, n):
    return s[_REFS + (n & 511)]


@njit(nogil=True, error_model="numpy")
def _oi(s, n):
    return s[_OIS + (n & 511)]


@njit(nogil=True, error_model="numpy")
def _push_sums(s):
    """Take this bar's quantities into every summed window, four at a time (all loads before the stores: one vector)."""
    for k in range(_SUMS):
        at, bars, first, width = _TABLE[k, 0], _TABLE[k, 1], _TABLE[k, 2], _TABLE[k, 3]
        p = np.uint64(s[at])
        x, prefix = _THIS + first, at + _ONE
        result, here = prefix + width, prefix + width + width + p * width
        last = p + _ONE == bars
        for j in range(_NONE, width, _FOUR):
            i, v, r, h = prefix + j, x + j, result + j, here + j
            u = h + width  # what is left of the last chunk; beyond its end is a row of zeros
            v0, v1, v2, v3 = s[v], s[v + _ONE], s[v + _TWO], s[v + _THREE]
            t0, t1, t2, t3 = s[i] + v0, s[i + _ONE] + v1, s[i + _TWO] + v2, s[i + _THREE] + v3
            r0, r1, r2, r3 = t0 + s[u], t1 + s[u + _ONE], t2 + s[u + _TWO], t3 + s[u + _THREE]
            s[i], s[i + _ONE], s[i + _TWO], s[i + _THREE] = t0, t1, t2, t3
            s[h], s[h + _ONE], s[h + _TWO], s[h + _THREE] = v0, v1, v2, v3
            s[r], s[r + _ONE], s[r + _TWO], s[r + _THREE] = r0, r1, r2, r3
        s[at] += 1.0
        if last:
            s[at] = 0.0
            for i in range(prefix, result):
                s[i] = 0.0
            for j in range(_NONE, p * width, _FOUR):
                i, u = here - j - _FOUR, here - j - _FOUR + width
                v0, v1, v2, v3 = s[u], s[u + _ONE], s[u + _TWO], s[u + _THREE]
                t0, t1, t2, t3 = s[i] + v0, s[i + _ONE] + v1, s[i + _TWO] + v2, s[i + _THREE] + v3
                s[i], s[i + _ONE], s[i + _TWO], s[i + _THREE] = t0, t1, t2, t3


@njit(nogil=True, error_model="numpy")
def _push_maxima(s):
    """Take this bar's high and negated low into the windows of maxima."""
    for k in range(_SUMS, _TABLE.shape[0]):
        at, bars, first, width = _TABLE[k, 0], _TABLE[k, 1], _TABLE[k, 2], _TABLE[k, 3]
        p = np.uint64(s[at])
        x, prefix, result = _THIS + first, at + _ONE, at + _ONE + width
        here = result + width + p * width
        last = p + _ONE == bars
        for j in range(width):
            highest = max(s[prefix + j], s[x + j]) if s[at] > 0.0 else s[x + j]
            s[prefix + j], s[here + j] = highest, s[x + j]
            s[result + j] = highest if last else max(highest, s[here + width + j])
        if last:
            for i in range(_ONE, p * width + _ONE):
                s[here - i] = max(s[here - i], s[here - i + width])
        s[at] = 0.0 if last else s[at] + 1.0


@njit(nogil=True, error_model="numpy")
def _flag(s, window, filled, missing):
    """Count filled bars and missing reference bars among the last ``window``."""
    at = int(s[S_FLAG])
    fills, misses = FIXED_STATE + at, FIXED_STATE + window + at
    s[S_FILLS] += filled - s[fills]
    s[S_REF_MISSES] += missing - s[misses]
    s[fills], s[misses] = filled, missing
    s[S_FLAG] = at + 1 if at + 1 < window else 0


@njit(nogil=True, error_model="numpy")
def _seed(s, bar):
    """Begin with the first bar: everything before it is unknown, and the EMAs stand at its close."""
    s[:] = 0.0
    s[S_HIGH], s[S_LOW], s[S_CLOSE] = bar[IN_HIGH], bar[IN_LOW], bar[IN_CLOSE]
    s[S_REF] = np.nan
    s[S_EMA_9 : S_EMA_200 + 1] = bar[IN_CLOSE]


@njit(nogil=True, error_model="numpy")
def _record_prices(s, bar):
    """Write this bar's price and volume quantities; the state still holds the bar before."""
    o, h, l, c, v = bar[IN_OPEN], bar[IN_HIGH], bar[IN_LOW], bar[IN_CLOSE], bar[IN_VOLUME]  # noqa: E741
    c_1, up, down = s[S_CLOSE], h - s[S_HIGH], s[S_LOW] - l
    change, r, hl, co = c - c_1, log_ratio(c / c_1), log_ratio(h / l), log_ratio(c / o)
    ret = c / c_1 - 1.0
    s[_X + Q_HIGH], s[_X + Q_NEG_LOW], s[_X + Q_C] = h, -l, c
    s[_X + Q_R], s[_X + Q_R2], s[_X + Q_ABS_R], s[_X + Q_DOWN2] = r, r * r, abs(r), r * r if r < 0.0 else 0.0
    s[_X + Q_V], s[_X + Q_V2], s[_X + Q_PV] = v, v * v, (h + l + c) * (1.0 / 3.0) * v
    s[_X + Q_SR], s[_X + Q_SR2], s[_X + Q_SR_V] = ret, ret * ret, ret * v
    s[_X + Q_HL2], s[_X + Q_GK] = hl * hl, 0.5 * hl * hl - (2.0 * _LN2 - 1.0) * co * co
    s[_X + Q_TR], s[_X + Q_ABS_DC] = max(h - l, abs(h - c_1), abs(l - c_1)), abs(change)
    s[_X + Q_UP], s[_X + Q_DOWN] = max(change, 0.0), max(-change, 0.0)
    s[_X + Q_PLUS] = up if up > down and up > 0.0 else 0.0
    s[_X + Q_MINUS] = down if down > up and down > 0.0 else 0.0
    s[_X + Q_SIGNED_V] = v if change > 0.0 else (-v if change < 0.0 else 0.0)
    s[_X + Q_DX_1] = s[S_DX]
    s[S_R] = r


@njit(nogil=True, error_model="numpy")
def _record_others(s, bar):
    """Write reference and funding quantities. A missing reference bar stays at its last close."""
    ref_r = log_ratio(bar[IN_REF_CLOSE] / s[S_REF])
    if math.isnan(ref_r):  # missing now, or never seen before
        ref_r = 0.0
    s[_X + Q_REF], s[_X + Q_REF2], s[_X + Q_CROSS] = ref_r, ref_r * ref_r, s[S_R] * ref_r
    known = math.isfinite(bar[IN_FUNDING_RATE] + bar[IN_HOURS_TO_FUNDING]) and bar[IN_FUNDING_INTERVAL_H] > 0.0
    steps = math.floor(bar[IN_FUNDING_RATE] * 1e8 + 0.5) if known else 0.0
    s[S_FUNDING_KNOWN] = 1.0 if known else 0.0
    s[_X + Q_F], s[_X + Q_F2], s[_X + Q_F_KNOWN] = steps, steps * steps, s[S_FUNDING_KNOWN]


@njit(nogil=True, error_model="numpy")
def _derive(s, c):
    """Update what is built on windows and needed bar by bar."""
    s[S_OBV] = _ratio(s[W_20 + Q_SIGNED_V], s[W_20 + Q_V], 0.0)
    s[S_OBV_EMA] += 2.0 / 21.0 * (s[S_OBV] - s[S_OBV_EMA])
    highest, lowest = s[W_MAX_14 + Q_HIGH], -s[W_MAX_14 + Q_NEG_LOW]
    s[S_K_2], s[S_K_1] = s[S_K_1], s[S_K]
    s[S_K] = _ratio(100.0 * (c - lowest), highest - lowest, 50.0)
    s[S_PLUS_DI] = _ratio(100.0 * s[W_14 + Q_PLUS], s[W_14 + Q_TR], 0.0)
    s[S_MINUS_DI] = _ratio(100.0 * s[W_14 + Q_MINUS], s[W_14 + Q_TR], 0.0)
    s[S_DX] = _ratio(100.0 * abs(s[S_PLUS_DI] - s[S_MINUS_DI]), s[S_PLUS_DI] + s[S_MINUS_DI], 0.0)


@njit(nogil=True, error_model="numpy")
def _carry(s, n, bar, window):
    """Carry prices, rings, flags and EMAs on; a missing reference keeps its last close."""
    c, at = bar[IN_CLOSE], n & 511
    missing = not bar[IN_REF_CLOSE] > 0.0
    if not missing:
        s[S_REF] = bar[IN_REF_CLOSE]
    s[S_HIGH_1], s[S_LOW_1], s[S_BODY_1] = s[S_HIGH], s[S_LOW], s[S_BODY]
    s[S_OPEN], s[S_HIGH], s[S_LOW], s[S_CLOSE] = bar[IN_OPEN], bar[IN_HIGH], bar[IN_LOW], c
    s[S_BODY] = c - bar[IN_OPEN]
    s[_CLOSES + at] = s[_CLOSES + 512 + at] = c
    s[_REFS + at] = s[S_REF]
    s[_OIS + at] = bar[IN_OPEN_INTEREST] if bar[IN_OPEN_INTEREST] > 0.0 else np.nan
    _flag(s, window, 0.0 if bar[IN_REAL] == 1.0 else 1.0, 1.0 if missing else 0.0)
    s[S_EMA_9] += 2.0 / 10.0 * (c - s[S_EMA_9])
    s[S_EMA_12] += 2.0 / 13.0 * (c - s[S_EMA_12])
    s[S_EMA_21] += 2.0 / 22.0 * (c - s[S_EMA_21])
    s[S_EMA_26] += 2.0 / 27.0 * (c - s[S_EMA_26])
    s[S_EMA_50] += 2.0 / 51.0 * (c - s[S_EMA_50])
    s[S_EMA_200] += 2.0 / 201.0 * (c - s[S_EMA_200])
    s[S_SIGNAL] += 2.0 / 10.0 * (s[S_EMA_12] - s[S_EMA_26] - s[S_SIGNAL])
    s[S_COUNT] = n + 1


@njit(nogil=True, error_model="numpy")
def _advance(s, bar, p):
    """Take one bar into the state; a state whose count is 0 begins with this bar. Returns the bar's number.

    Windows begin late in the warm-up: the first row that is written needs no more than the longest of them.
    """
    n = int(s[S_COUNT])
    if n == 0:
        _seed(s, bar)
    if n > p[P_WARMUP] - LONGEST_LOOKBACK:
        _record_prices(s, bar)
        _record_others(s, bar)
        _push_sums(s)
        _push_maxima(s)
        _derive(s, bar[IN_CLOSE])
    _carry(s, n, bar, p[P_FILL_WINDOW])
    return n


@njit(nogil=True, error_model="numpy")
def _write_momentum(s, n, out):
    c, inv = s[S_CLOSE], 1.0 / s[S_CLOSE]
    c_1, c_5, c_10 = _close(s, n - 1), _close(s, n - 5), _close(s, n - 10)
    out[RETURNS], out[LOG_RETURNS] = c / c_1 - 1.0, s[S_R]
    out[RETURN_5], out[RETURN_12] = c / c_5 - 1.0, c / _close(s, n - 12) - 1.0
    out[RETURN_48], out[RETURN_144] = c / _close(s, n - 48) - 1.0, c / _close(s, n - 144) - 1.0
    out[RETURN_288] = c / _close(s, n - 288) - 1.0
    out[MOMENTUM_5], out[MOMENTUM_10] = (c - c_5) * inv, (c - c_10) * inv
    out[MOMENTUM_20] = (c - _close(s, n - 20)) * inv
    out[ACCELERATION] = ((c - c_5) - (c_1 - _close(s, n - 6))) * inv
    out[ROC] = 100.0 * (c - c_10) / c_10
    out[RSI] = _ratio(100.0 * s[W_14 + Q_UP], s[W_14 + Q_UP] + s[W_14 + Q_DOWN], 50.0)
    macd = s[S_EMA_12] - s[S_EMA_26]
    out[MACD], out[MACD_SIGNAL], out[MACD_HIST] = macd * inv, s[S_SIGNAL] * inv, (macd - s[S_SIGNAL]) * inv
    out[STOCH_K], out[STOCH_D] = s[S_K], (s[S_K] + s[S_K_1] + s[S_K_2]) * (1.0 / 3.0)


@njit(nogil=True, error_model="numpy")
def _write_trend(s, n, out):
    """Averages of closes are taken as deviations from the newest close, which are exactly zero in a flat window."""
    c, inv = s[S_CLOSE], 1.0 / s[S_CLOSE]
    ema_9, ema_21 = s[S_EMA_9], s[S_EMA_21]
    out[EMA_9_DIST], out[EMA_21_DIST] = (c - ema_9) * inv, (c - ema_21) * inv
    out[EMA_50_DIST], out[EMA_200_DIST] = (c - s[S_EMA_50]) * inv, (c - s[S_EMA_200]) * inv
    out[EMA_9_21_DIFF], out[EMA_9_21_ABOVE] = (ema_9 - ema_21) * inv, 1.0 if ema_9 > ema_21 else 0.0
    out[PRICE_ABOVE_EMA_50] = 1.0 if c > s[S_EMA_50] else 0.0
    end = _CLOSES + 512 + (n & 511)
    dev_10, dev2_10, dev, dev2 = 0.0, 0.0, 0.0, 0.0
    for k in range(10):
        d, before = s[end - k] - c, s[end - k - 10] - c
        dev_10 += d
        dev2_10 += d * d
        dev += before
        dev2 += before * before
    dev, dev2 = dev + dev_10, dev2 + dev2_10
    mean, mean_10 = dev * (1.0 / 20.0), dev_10 * (1.0 / 10.0)
    std = np.sqrt(max(dev2 - dev * mean, 0.0) * (1.0 / 19.0))
    out[SMA_20_DIST], out[SMA_50_DIST] = -mean * inv, (c - s[W_50 + Q_C] / 50.0) * inv
    out[MA_10_20_DIFF] = (mean_10 - mean) * inv
    out[BB_UPPER_DIST], out[BB_LOWER_DIST] = (mean + 2.0 * std) * inv, (2.0 * std - mean) * inv
    out[BB_WIDTH], out[BB_POSITION] = 4.0 * std / (c + mean), _ratio(2.0 * std - mean, 4.0 * std, 0.5)
    out[PRICE_VOLATILITY_10] = np.sqrt(max(dev2_10 - dev_10 * mean_10, 0.0) / 10.0) / (c + mean_10)
    out[ADX], out[PLUS_DI], out[MINUS_DI] = (s[S_DX] + s[W_13 + Q_DX_1]) * (1.0 / 14.0), s[S_PLUS_DI], s[S_MINUS_DI]
    moved = abs(c - _close(s, n - 48))
    out[EFFICIENCY_RATIO_48] = min(_ratio(moved, s[W_48 + Q_ABS_DC], 0.0), 1.0)


@njit(nogil=True, error_model="numpy")
def _std(total, squares, bars):
    """Sample standard deviation of returns from raw moments, which is safe because their mean is near zero."""
    return np.sqrt(max(squares - total * total * (1.0 / bars), 0.0) * (1.0 / (bars - 1.0)))


@njit(nogil=True, error_model="numpy")
def _write_volatility(s, bars_per_year, out):
    c, tr = s[S_CLOSE], s[W_14 + Q_TR] * (1.0 / 14.0)
    out[ATR_PCT], out[ATR_RATIO] = tr / c, _ratio(tr, s[W_288 + Q_TR] * (1.0 / 288.0), 1.0)
    out[VOLATILITY] = _std(s[W_24 + Q_SR], s[W_24 + Q_SR2], 24.0) * np.sqrt(bars_per_year)
    short, day = _std(s[W_12 + Q_R], s[W_12 + Q_R2], 12.0), _std(s[W_288 + Q_R], s[W_288 + Q_R2], 288.0)
    out[REALIZED_VOL_12], out[REALIZED_VOL_288], out[VOL_RATIO_12_288] = short, day, _ratio(short, day, 1.0)
    out[REALIZED_VOL_48] = _std(s[W_48 + Q_R], s[W_48 + Q_R2], 48.0)
    out[REALIZED_VOL_144] = _std(s[W_144 + Q_R], s[W_144 + Q_R2], 144.0)
    out[REALIZED_VOL_576] = _std(s[W_576 + Q_R], s[W_576 + Q_R2], 576.0)
    out[GARMAN_KLASS_48] = np.sqrt(s[W_48 + Q_GK] / 48.0)
    out[PARKINSON_288] = np.sqrt(s[W_288 + Q_HL2] / (288.0 * 4.0 * _LN2))
    out[DOWNSIDE_SHARE_48] = _ratio(s[W_48 + Q_DOWN2], s[W_48 + Q_R2], 0.5)
    highest, lowest = s[W_MAX_288 + Q_HIGH], -s[W_MAX_288 + Q_NEG_LOW]
    out[RANGE_POSITION_288] = _ratio(c - lowest, highest - lowest, 0.5)
    out[DRAWDOWN_288] = c / highest - 1.0


@njit(nogil=True, error_model="numpy")
def _write_volume(s, v, out):
    c, v_12, v_20, v_288 = s[S_CLOSE], s[W_12 + Q_V], s[W_20 + Q_V], s[W_288 + Q_V]
    mean = v_288 * (1.0 / 288.0)
    out[VOLUME_RATIO], out[VOLUME_TREND] = _ratio(v, v_20 * (1.0 / 20.0), 0.0), _ratio(v_20 * (1.0 / 20.0), mean, 0.0)
    variance = s[W_288 + Q_V2] * (1.0 / 288.0) - mean * mean
    out[VOLUME_ZSCORE_288] = (v - mean) / np.sqrt(variance) if variance > 1e-12 * mean * mean else 0.0
    out[OBV], out[OBV_EMA], out[VPT] = s[S_OBV], s[S_OBV_EMA], _ratio(s[W_20 + Q_SR_V], v_20, 0.0)
    out[VWAP_288_DIST] = (c - _ratio(s[W_288 + Q_PV], v_288, c)) / c
    out[ILLIQUIDITY_RATIO] = _ratio(s[W_12 + Q_ABS_R] * v_288, s[W_288 + Q_ABS_R] * v_12, 1.0)


@njit(nogil=True, error_model="numpy")
def _write_candle(s, out):
    o, h, l, c, inv = s[S_OPEN], s[S_HIGH], s[S_LOW], s[S_CLOSE], 1.0 / s[S_CLOSE]  # noqa: E741
    body, before = abs(s[S_BODY]), s[S_BODY_1]
    upper, lower = h - max(o, c), min(o, c) - l
    out[PRICE_RANGE], out[RELATIVE_SPREAD] = (h - l) * inv, (h - l) / (0.5 * (h + l))
    out[BODY_SIZE], out[UPPER_WICK], out[LOWER_WICK] = body * inv, upper * inv, lower * inv
    out[IS_DOJI] = 1.0 if 10.0 * body <= h - l else 0.0
    out[IS_HAMMER] = 1.0 if lower > 2.0 * body and body > 0.0 and upper <= body else 0.0
    out[IS_ENGULFING] = 0.0
    if body > 1.5 * abs(before) and s[S_BODY] * before <= 0.0:
        out[IS_ENGULFING] = 1.0 if s[S_BODY] > 0.0 else -1.0
    out[GAP_UP] = 1.0 if l > s[S_HIGH_1] else 0.0
    out[GAP_DOWN] = 1.0 if h < s[S_LOW_1] else 0.0


@njit(nogil=True, error_model="numpy")
def _write_funding(s, bar, out):
    """Unknown at this bar, or for more than half of the window: NaN. Rates count in steps of 1e-8, exactly."""
    count, total, rate = s[W_576 + Q_F_KNOWN], s[W_576 + Q_F], bar[IN_FUNDING_RATE]
    if s[S_FUNDING_KNOWN] == 0.0 or count < 288.0:
        out[FUNDING_RATE : HOURS_TO_FUNDING + 1] = np.nan
        return
    out[FUNDING_RATE], out[HOURS_TO_FUNDING] = rate, bar[IN_HOURS_TO_FUNDING]
    out[FUNDING_ANNUALISED] = rate * (8760.0 / bar[IN_FUNDING_INTERVAL_H])
    spread = count * s[W_576 + Q_F2] - total * total
    away = count * math.floor(rate * 1e8 + 0.5) - total
    out[FUNDING_ZSCORE_576] = away / np.sqrt(spread) if spread > 0.0 else 0.0


@njit(nogil=True, error_model="numpy")
def _write_reference(s, n, out):
    c, ref = s[S_CLOSE], s[S_REF]
    hour, day = ref / _ref(s, n - 12) - 1.0, ref / _ref(s, n - 288) - 1.0
    out[REF_RETURN_1], out[REF_RETURN_12], out[REF_RETURN_288] = ref / _ref(s, n - 1) - 1.0, hour, day
    out[RELATIVE_STRENGTH_12] = c / _close(s, n - 12) - 1.0 - hour
    out[RELATIVE_STRENGTH_288] = c / _close(s, n - 288) - 1.0 - day
    x, y = s[W_288 + Q_REF], s[W_288 + Q_R]
    var_x = max(s[W_288 + Q_REF2] - x * x * (1.0 / 288.0), 0.0)
    var_y = max(s[W_288 + Q_R2] - y * y * (1.0 / 288.0), 0.0)
    cov = s[W_288 + Q_CROSS] - x * y * (1.0 / 288.0)
    out[REF_REALIZED_VOL_288], out[REF_BETA_288] = np.sqrt(var_x / 287.0), _ratio(cov, var_x, 0.0)
    out[REF_CORR_288] = max(-1.0, min(1.0, _ratio(cov, np.sqrt(var_x * var_y), 0.0)))


@njit(nogil=True, error_model="numpy")
def _write_open_interest(s, n, out):
    oi, moved = _oi(s, n), s[S_CLOSE] - _close(s, n - 12)
    change = oi / _oi(s, n - 12) - 1.0
    out[OI_CHANGE_12], out[OI_CHANGE_288] = change, oi / _oi(s, n - 288) - 1.0
    out[OI_PRICE_DIVERGENCE_12] = -change if moved > 0.0 else (change if moved < 0.0 else 0.0 * change)


@njit(nogil=True, error_model="numpy")
def _write_row(s, n, index, bar, p, clock, out):
    """Write one row from a complete state."""
    _write_momentum(s, n, out)
    _write_trend(s, n, out)
    _write_volatility(s, p[P_BARS_PER_YEAR], out)
    _write_volume(s, bar[IN_VOLUME], out)
    _write_candle(s, out)
    week = clock.shape[0]  # the epoch was a Thursday
    row = (index + 1 + week // 7 * 3) % week
    for j in range(4):
        out[DAY_SIN + j] = clock[row, j]
    _write_funding(s, bar, out)
    _write_reference(s, n, out)
    _write_open_interest(s, n, out)


@njit(nogil=True, error_model="numpy")
def _reason(s, bar, p):
    """Bits that the state knows; ``_judge`` adds those that the values tell."""
    reason = 0 if bar[IN_REAL] == 1.0 else FILLED
    if s[S_FILLS] > p[P_MAX_FILLED]:
        reason |= GAPS
    if s[S_REF_MISSES] > p[P_MAX_FILLED] or not bar[IN_REF_CLOSE] > 0.0:
        reason |= REFERENCE_MISSING
    return reason


@njit(nogil=True, error_model="numpy")
def _judge(values, reasons):
    """Mark the rows that hold a number float32 cannot, by the group that holds it.

    Done after the loop: reading a row while its writes are still under way costs more than writing it.
    """
    for i in range(values.shape[0]):
        if reasons[i] & WARMUP:
            continue
        own, funding, reference = 0, 0, 0
        for j in range(FUNDING_RATE):
            own += not abs(values[i, j]) < 3e38
        for j in range(FUNDING_RATE, REF_RETURN_1):
            funding += not abs(values[i, j]) < 3e38
        for j in range(REF_RETURN_1, OI_CHANGE_12):
            reference += not abs(values[i, j]) < 3e38
        reasons[i] |= (
            (NOT_FINITE if own else 0) | (FUNDING_UNKNOWN if funding else 0) | (REFERENCE_MISSING if reference else 0)
        )


@njit(cache=True, nogil=True, error_model="numpy")
def run(s, first_index, bars, start, first, end, p, clock, values, reasons):
    """Advance the state by ``bars[start:end]`` and write the rows of ``bars[first:end]``.

    ``s`` is the state (its count set to 0 begins anew), ``first_index`` the absolute index of ``bars[0]``, ``bars``
    ``(n, INPUT_COLUMNS) float64``, ``p`` the parameters, ``clock`` the ``clock_table`` of the timeframe, ``values``
    ``(end - first, FEATURE_COUNT) float32`` (float64 shows what is rounded) and ``reasons`` ``uint16`` the output.
    """
    for i in range(start, end):
        bar = bars[i]
        n = _advance(s, bar, p)
        if i < first:
            continue
        if n < p[P_WARMUP]:
            values[i - first] = np.nan
            reasons[i - first] = WARMUP if bar[IN_REAL] == 1.0 else WARMUP | FILLED
        else:
            _write_row(s, n, first_index + i, bar, p, clock, values[i - first])
            reasons[i - first] = _reason(s, bar, p)
    _judge(values, reasons)
