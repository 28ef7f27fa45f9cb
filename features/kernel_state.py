"""How does the state take in one bar?

Strict arithmetic (no fastmath) and a logarithm of our own: no other libm can change a bit. Windows are exact: time is
cut into chunks of the window's length, and a window is a suffix of the last chunk plus a prefix of this one (van Herk
1992, for sums as for maxima). So nothing is ever subtracted out again, and only the EMAs are recursive; they begin
where the state begins. Flat and empty windows have defined values (see ``definitions``), never an epsilon.
"""

import numpy as np
from numba import njit

from features import kernel_layout as row
from features.kernel_lanes import (
    LANES,
    RING,
    above_zero,
    back,
    floor,
    get,
    get_count,
    larger,
    mantissa,
    put,
    put_count,
    ratio,
    raw_exponent,
    root,
    select,
    size,
)

_LN2_HI, _LN2_LO = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT2, _LN2 = 1.4142135623730951, 0.6931471805599453
_GARMAN_KLASS = 2.0 * _LN2 - 1.0
_LARGE = 1e300
_LOWEST = -1.7976931348623157e308
_CUSUM = 2.0  # deviations that returns have to add up to since the last event
_ADX, _WILD, _ROOT_10 = 25.0, 2.0, 3.1622776601683795  # what a trend and a wild market are told by
_HELD = 3.0  # bars that another regime must hold before it is taken over

# Called from compiled code only, so without wrappers for Python and C. Each function costs a tenth of a second to
# compile, so small ones are pasted into their callers.
_LEAN = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
compiled, pasted = njit(**_LEAN), njit(**_LEAN, inline="always")
_unrolled = njit(**_LEAN, forceinline=True)


@compiled
def log_ratio(a, b):
    """Natural logarithm of ``a / b`` within two units in the last place; NaN unless both are in (1e-300, 1e300).

    The polynomial of fdlibm's ``e_log.c``, on q = (a-b)/(a+b): one division, and exactly 0 for equals.
    """
    x, y = mantissa(a), mantissa(b)
    k = raw_exponent(a) - raw_exponent(b)
    large, small = x > _SQRT2 * y, _SQRT2 * x < y
    k = select(large, k + 1.0, select(small, k - 1.0, k))
    x, y = select(small, x + x, x), select(large, y + y, y)
    q = (x - y) / (x + y)
    z = q * q
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    r = odd + z * (6.666666666666735130e-01 + w * even)
    known = (a > 1e-300) & (a < _LARGE) & (b > 1e-300) & (b < _LARGE)
    return select(known, k * _LN2_HI + ((q + q) + (q * r + k * _LN2_LO)), np.nan)


@compiled
def begin(s):
    """Begin with the first bar: everything before it is unknown, and the EMAs stand at its close."""
    for i in range(row.INPUT_COLUMNS * LANES, s.shape[0]):
        s[i] = 0.0
    c = get(s, row.I_CLOSE)
    put(s, row.S_HIGH, get(s, row.I_HIGH))
    put(s, row.S_LOW, get(s, row.I_LOW))
    put(s, row.S_CLOSE, c)
    put(s, row.S_REF, np.nan)
    for ema in range(row.S_EMA_9, row.S_SIGNAL, LANES):
        put(s, ema, c)
    for i in range(row.MAXIMA, row.MAXIMA_END, LANES):  # below every price
        put(s, i, _LOWEST)


@compiled
def record_prices(s):
    """Write this bar's quantities of price; the state still holds the bar before."""
    o, h, l, c = get(s, row.I_OPEN), get(s, row.I_HIGH), get(s, row.I_LOW), get(s, row.I_CLOSE)  # noqa: E741
    v, c_1 = get(s, row.I_VOLUME), get(s, row.S_CLOSE)
    change, r, hl, co = c - c_1, log_ratio(c, c_1), log_ratio(h, l), log_ratio(c, o)
    fraction = change * get(s, row.S_PER_CLOSE)
    put(s, row.S_R, r)
    put(s, row.X_HIGH, h)
    put(s, row.X_NEG_LOW, 0.0 - l)
    put(s, row.X_C, c)
    put(s, row.X_R, r)
    put(s, row.X_R2, r * r)
    put(s, row.X_ABS_R, size(r))
    put(s, row.X_DOWN2, select(r < 0.0, r * r, 0.0))
    put(s, row.X_SR, fraction)
    put(s, row.X_SR2, fraction * fraction)
    put(s, row.X_SR_V, fraction * v)
    put(s, row.X_HL2, hl * hl)
    put(s, row.X_GK, 0.5 * hl * hl - _GARMAN_KLASS * co * co)
    put(s, row.X_TR, larger(larger(h - l, size(h - c_1)), size(l - c_1)))
    put(s, row.X_ABS_DC, size(change))
    put(s, row.X_UP, above_zero(change))
    put(s, row.X_DOWN, above_zero(0.0 - change))
    up, down = h - get(s, row.S_HIGH), get(s, row.S_LOW) - l
    put(s, row.X_PLUS, select((up > down) & (up > 0.0), up, 0.0))
    put(s, row.X_MINUS, select((down > up) & (down > 0.0), down, 0.0))
    put(s, row.X_DX_1, get(s, row.S_DX))
    put(s, row.X_SIGNED_V, select(change > 0.0, v, select(change < 0.0, 0.0 - v, 0.0)))
    put(s, row.X_V, v)
    put(s, row.X_V2, v * v)
    put(s, row.X_PV, (h + l + c) * (1.0 / 3.0) * v)


@compiled
def record_others(s):
    """Write this bar's quantities of what is known beside prices; the unknown counts 0 and is not counted."""
    q = log_ratio(get(s, row.I_REF), get(s, row.S_REF))
    q = select(q == q, q, 0.0)  # missing now, or never seen before: the reference stays at its last close
    put(s, row.X_REF, q)
    put(s, row.X_REF2, q * q)
    put(s, row.X_CROSS, get(s, row.S_R) * q)
    rate, interval = get(s, row.I_RATE), get(s, row.I_INTERVAL)
    known = (size(rate + get(s, row.I_HOURS)) < _LARGE) & (interval > 0.0)
    steps = select(known, floor(rate * 1e8 + 0.5), 0.0)  # whole numbers add up exactly
    put(s, row.X_F, steps)
    put(s, row.X_F2, steps * steps)
    put(s, row.X_F_KNOWN, select(known, 1.0, 0.0))
    put(s, row.X_F_MINUTES, select(known, floor(interval * 60.0 + 0.5), 0.0))
    oi = get(s, row.I_OI)
    known = oi > 0.0
    oi = select(known, oi, 0.0)
    put(s, row.X_OI, oi)
    put(s, row.X_OI2, oi * oi)
    put(s, row.X_OI_KNOWN, select(known, 1.0, 0.0))
    basis = get(s, row.I_BASIS)
    known = size(basis) < _LARGE
    basis = select(known, basis, 0.0)
    put(s, row.X_BASIS, basis)
    put(s, row.X_BASIS2, basis * basis)
    put(s, row.X_BASIS_KNOWN, select(known, 1.0, 0.0))
    share, v = get(s, row.I_TAKER), get(s, row.I_VOLUME)
    known = share >= 0.0
    put(s, row.X_TAKER, select(known, (2.0 * share - 1.0) * v, 0.0))
    put(s, row.X_TAKER_V, select(known, v, 0.0))
    put(s, row.X_TAKER_KNOWN, select(known, 1.0, 0.0))


@_unrolled
def _slide(s, window, prefix, result, ring, bars, first, width):
    """Take this bar's quantities into one summed window."""
    place = get_count(s, row.POSITIONS + window)
    here = ring + place * width
    for i in range(0, width, LANES):
        x = get(s, first + i)
        total = get(s, prefix + i) + x
        put(s, result + i, total + get(s, here + width + i))  # what is left of the last chunk, at its end 0
        put(s, prefix + i, total)
        put(s, here + i, x)
    place += 1
    if place == bars:  # turn the chunk into its suffix sums, and begin the next
        place = 0
        for i in range(prefix, prefix + width, LANES):
            put(s, i, 0.0)
        for i in range(here - LANES, ring - LANES, -LANES):
            put(s, i, get(s, i) + get(s, i + width))
    put_count(s, row.POSITIONS + window, place)


@_unrolled
def _top(s, window, prefix, result, ring, bars, first, width):
    """Take this bar's high and negated low into one window of maxima."""
    place = get_count(s, row.POSITIONS + window)
    here = ring + place * width
    for i in range(0, width, LANES):
        x = get(s, first + i)
        highest = larger(get(s, prefix + i), x)
        put(s, result + i, larger(highest, get(s, here + width + i)))
        put(s, prefix + i, highest)
        put(s, here + i, x)
    place += 1
    if place == bars:
        place = 0
        for i in range(prefix, prefix + width, LANES):
            put(s, i, _LOWEST)
        for i in range(here - LANES, ring - LANES, -LANES):
            put(s, i, larger(get(s, i), get(s, i + width)))
    put_count(s, row.POSITIONS + window, place)


@compiled
def push_windows(s):
    """Take this bar into every window; one line a window, so that each is compiled for its own width."""
    _slide(s, *row.SUM_12)
    _slide(s, *row.SUM_13)
    _slide(s, *row.SUM_14)
    _slide(s, *row.SUM_20)
    _slide(s, *row.SUM_24)
    _slide(s, *row.SUM_48)
    _slide(s, *row.SUM_50)
    _slide(s, *row.SUM_144)
    _slide(s, *row.SUM_288_R)
    _slide(s, *row.SUM_288)
    _slide(s, *row.SUM_576_R)
    _slide(s, *row.SUM_576)
    _top(s, *row.MAX_14)
    _top(s, *row.MAX_288)


@compiled
def derive(s):
    """Update what is built on windows and needed bar by bar."""
    per_volume = ratio(1.0, get(s, row.W_20 + row.X_V), 0.0)
    flow = get(s, row.W_20 + row.X_SIGNED_V) * per_volume
    put(s, row.S_PER_V_20, per_volume)
    put(s, row.S_OBV, flow)
    _follow(s, row.S_OBV_EMA, flow, 2.0 / 21.0)
    highest, lowest = get(s, row.W_MAX_14 + row.X_HIGH), 0.0 - get(s, row.W_MAX_14 + row.X_NEG_LOW)
    put(s, row.S_K_2, get(s, row.S_K_1))
    put(s, row.S_K_1, get(s, row.S_K))
    put(s, row.S_K, ratio(100.0 * (get(s, row.I_CLOSE) - lowest), highest - lowest, 50.0))
    per_move = ratio(100.0, get(s, row.W_14 + row.X_TR), 0.0)
    plus, minus = get(s, row.W_14 + row.X_PLUS) * per_move, get(s, row.W_14 + row.X_MINUS) * per_move
    put(s, row.S_PLUS_DI, plus)
    put(s, row.S_MINUS_DI, minus)
    put(s, row.S_DX, ratio(100.0 * size(plus - minus), plus + minus, 0.0))
    vol = deviation(s, row.W_48, row.X_R, row.X_R2, 48.0)
    rise, fall = above_zero(get(s, row.S_RISE) + get(s, row.S_R)), above_zero(get(s, row.S_FALL) - get(s, row.S_R))
    up, down = rise > _CUSUM * vol, fall > _CUSUM * vol
    put(s, row.S_VOL_48, vol)
    put(s, row.S_EVENT, select(up, 1.0, select(down, -1.0, 0.0)))
    put(s, row.S_RISE, select(up, 0.0, rise))
    put(s, row.S_FALL, select(down, 0.0, fall))


@pasted
def _settle(s, regime, asked, held, now):
    """Take over what now seems so once it has held; until then the regime stays."""
    count = select(now == get(s, asked), get(s, held) + 1.0, 1.0)
    put(s, held, count)
    put(s, asked, now)
    put(s, regime, select(count >= _HELD, now, get(s, regime)))


@compiled
def settle_regimes(s, n):
    """Say whether the market trends and whether it is wild, with hysteresis: after closes and EMAs of this bar."""
    c, c_10, ema_50 = get(s, row.S_CLOSE), back(s, row.RING_C, n, 10), get(s, row.S_EMA_50)
    adx = (get(s, row.S_DX) + get(s, row.W_13 + row.X_DX_1)) * (1.0 / 14.0)
    vol = deviation(s, row.W_288_R, row.X_R, row.X_R2, 288.0)
    atr_ratio = ratio(get(s, row.W_14 + row.X_TR) * (1.0 / 14.0), get(s, row.W_288 + row.X_TR) * (1.0 / 288.0), 1.0)
    move, far = c - c_10, _ROOT_10 * vol * c_10
    down = select((adx > _ADX) & (c < ema_50) & (move < 0.0 - far), -1.0, 0.0)
    trend = select((adx > _ADX) & (c > ema_50) & (move > far), 1.0, down)
    put(s, row.S_ADX, adx)
    put(s, row.S_VOL_288, vol)
    put(s, row.S_ATR_RATIO, atr_ratio)
    _settle(s, row.S_TREND, row.S_TREND_ASKED, row.S_TREND_HELD, trend)
    _settle(s, row.S_WILD, row.S_WILD_ASKED, row.S_WILD_HELD, select(atr_ratio > _WILD, 1.0, 0.0))


@pasted
def deviation(s, window, total, squares, bars):
    """Sample standard deviation of returns from raw moments, which is safe because their mean is near zero."""
    t = get(s, window + total)
    return root(above_zero(get(s, window + squares) - t * t * (1.0 / bars)) * (1.0 / (bars - 1.0)))


@pasted
def _follow(s, ema, x, weight):
    """Move an EMA towards x."""
    before = get(s, ema)
    put(s, ema, before + weight * (x - before))


@compiled
def carry(s):
    """Carry prices and EMAs on; a missing reference keeps its last close."""
    c, ref = get(s, row.I_CLOSE), get(s, row.I_REF)
    put(s, row.S_HIGH_1, get(s, row.S_HIGH))
    put(s, row.S_LOW_1, get(s, row.S_LOW))
    put(s, row.S_BODY_1, get(s, row.S_BODY))
    put(s, row.S_HIGH, get(s, row.I_HIGH))
    put(s, row.S_LOW, get(s, row.I_LOW))
    put(s, row.S_CLOSE, c)
    put(s, row.S_BODY, c - get(s, row.I_OPEN))
    put(s, row.S_REF, select(ref > 0.0, ref, get(s, row.S_REF)))
    _follow(s, row.S_EMA_9, c, 2.0 / 10.0)
    _follow(s, row.S_EMA_12, c, 2.0 / 13.0)
    _follow(s, row.S_EMA_21, c, 2.0 / 22.0)
    _follow(s, row.S_EMA_26, c, 2.0 / 27.0)
    _follow(s, row.S_EMA_50, c, 2.0 / 51.0)
    _follow(s, row.S_EMA_200, c, 2.0 / 201.0)
    _follow(s, row.S_SIGNAL, get(s, row.S_EMA_12) - get(s, row.S_EMA_26), 2.0 / 10.0)


@compiled
def remember(s, n):
    """Keep this bar's close, reference and open interest for the changes of later bars."""
    c, ref, oi = get(s, row.S_CLOSE), get(s, row.S_REF), get(s, row.I_OI)
    oi, per_close = select(oi > 0.0, oi, np.nan), 1.0 / c
    put(s, row.S_OI, oi)
    put(s, row.S_PER_CLOSE, per_close)
    place = (n & (RING - 1)) * LANES
    put(s, row.RING_C + place, c)
    put(s, row.RING_PER_C + place, per_close)
    put(s, row.RING_REF + place, ref)
    put(s, row.RING_PER_REF + place, 1.0 / ref)
    put(s, row.RING_OI + place, oi)
    put(s, row.RING_PER_OI + place, 1.0 / oi)


@compiled
def flag(s, window):
    """Count filled bars and missing reference bars among the last ``window``."""
    filled = select(get(s, row.I_REAL) == 1.0, 0.0, 1.0)
    missing = select(get(s, row.I_REF) > 0.0, 0.0, 1.0)
    place = get_count(s, row.FLAG_AT)
    at = row.FLAGS + 2 * LANES * place
    put(s, row.S_FILLS, get(s, row.S_FILLS) + filled - get(s, at))
    put(s, row.S_MISSES, get(s, row.S_MISSES) + missing - get(s, at + LANES))
    put(s, at, filled)
    put(s, at + LANES, missing)
    put_count(s, row.FLAG_AT, place + 1 if place + 1 < window else 0)
