"""Where does each number stand: in an input bar, in the state, in a feature row?

The state of eight lanes is one array of rows, eight doubles wide; the names below are the elements at which their rows
begin. Windows are sums (or maxima) of the last bars over a run of neighbouring quantities, so the order of the
quantities is chosen such that every window takes a run: ``W_48 + X_R`` is the row of SUM48(r).
"""

from itertools import count

from features.definitions import FEATURES
from features.kernel_lanes import LANES, RING

# Columns of one input bar.
IN_OPEN, IN_HIGH, IN_LOW, IN_CLOSE, IN_VOLUME, IN_REAL, IN_REF_CLOSE = range(7)
IN_FUNDING_RATE, IN_FUNDING_INTERVAL_H, IN_HOURS_TO_FUNDING = range(7, 10)
IN_OPEN_INTEREST, IN_BASIS, IN_TAKER_SHARE = range(10, 13)
INPUT_COLUMNS = 13

# Reason bits, as in ``reasons.Reason``.
WARMUP, FILLED, GAPS, FUNDING_UNKNOWN, REFERENCE_MISSING, NOT_FINITE = 1, 2, 4, 8, 16, 32

# Parameters: (5,) int64.
P_WARMUP, P_MAX_FILLED, P_FILL_WINDOW, P_BARS_PER_YEAR, P_FUNDING_REQUIRED = range(5)
PARAMETERS = 5

_taken = count(step=LANES)  # elements of the state, a row at a time


def _rows(number: int) -> list[int]:
    """The next rows of the state."""
    return [next(_taken) for _ in range(number)]


def _ring(bars: int, width: int = 1) -> int:
    """The first of the next ``bars * width`` rows."""
    return _rows(bars * width)[0]


# This bar, in the order of its columns.
I_OPEN, I_HIGH, I_LOW, I_CLOSE, I_VOLUME, I_REAL, I_REF, I_RATE, I_INTERVAL, I_HOURS, I_OI, I_BASIS, I_TAKER = _rows(13)

# Numbers carried from bar to bar.
S_HIGH, S_LOW, S_CLOSE, S_PER_CLOSE, S_REF, S_BODY, S_HIGH_1, S_LOW_1, S_BODY_1, S_OI, S_R = _rows(11)
S_EMA_9, S_EMA_12, S_EMA_21, S_EMA_26, S_EMA_50, S_EMA_200, S_SIGNAL, S_OBV, S_OBV_EMA = _rows(9)
S_K, S_K_1, S_K_2, S_PLUS_DI, S_MINUS_DI, S_DX, S_FILLS, S_MISSES, S_REASON, S_PER_V_20 = _rows(10)
S_VOL_48, S_RISE, S_FALL, S_EVENT, S_VOL_288, S_ADX, S_ATR_RATIO = _rows(7)
S_TREND, S_TREND_ASKED, S_TREND_HELD, S_WILD, S_WILD_ASKED, S_WILD_HELD = _rows(6)

# Quantities of this bar that windows add up.
X_GK, X_DOWN2, X_ABS_DC, X_TAKER, X_TAKER_V, X_TAKER_KNOWN, X_R, X_R2, X_ABS_R, X_V, X_SIGNED_V, X_SR_V = _rows(12)
X_BASIS, X_BASIS2, X_BASIS_KNOWN, X_V2, X_PV, X_HL2, X_REF, X_REF2, X_CROSS = _rows(9)
X_TR, X_PLUS, X_MINUS, X_UP, X_DOWN, X_DX_1, X_SR, X_SR2, X_C = _rows(9)
X_F, X_F2, X_F_KNOWN, X_F_MINUTES, X_OI, X_OI2, X_OI_KNOWN = _rows(7)
X_HIGH, X_NEG_LOW = _rows(2)

# The feature row, in the order of the definitions; each one's name in capitals is added below.
FEATURE_COUNT = len(FEATURES)
OUT = _ring(FEATURE_COUNT)

# Raw values of the last bars and one over them (a change is a difference times one over the old value: exactly zero
# where nothing moved, and no division).
RING_C, RING_PER_C = _ring(RING), _ring(RING)
RING_REF, RING_PER_REF, RING_OI, RING_PER_OI = _ring(RING), _ring(RING), _ring(RING), _ring(RING)

_windows = count()


def _window(bars: int, first: int, last: int) -> tuple[int, ...]:
    """Place a window over the quantities ``first`` to ``last``.

    A window holds a prefix, a result and a ring of ``bars + 1`` bars, each one row a quantity, and a counter.
    """
    width = (last - first) // LANES + 1
    return next(_windows), _ring(1, width), _ring(1, width), _ring(bars + 1, width), bars, first, width * LANES


SUM_12, SUM_13, SUM_14 = _window(12, X_TAKER, X_V), _window(13, X_DX_1, X_DX_1), _window(14, X_TR, X_DOWN)
SUM_20, SUM_24, SUM_48 = _window(20, X_V, X_SR_V), _window(24, X_SR, X_SR2), _window(48, X_GK, X_R2)
SUM_50, SUM_144, SUM_288_R = _window(50, X_C, X_C), _window(144, X_R, X_R2), _window(288, X_R, X_V)
SUM_288, SUM_576_R, SUM_576 = _window(288, X_BASIS, X_TR), _window(576, X_R, X_R2), _window(576, X_F, X_OI_KNOWN)
MAXIMA = _ring(1)
MAX_14, MAX_288 = _window(14, X_HIGH, X_NEG_LOW), _window(288, X_HIGH, X_NEG_LOW)
MAXIMA_END = _ring(1)
# Where the result of quantity 0 of each window would stand.
W_12, W_13, W_14, W_20, W_24, W_48, W_50, W_144, W_288_R, W_288, W_576_R, W_576, W_MAX_14, W_MAX_288 = (
    window[2] - window[5]
    for window in (
        *(SUM_12, SUM_13, SUM_14, SUM_20, SUM_24, SUM_48, SUM_50, SUM_144, SUM_288_R, SUM_288, SUM_576_R, SUM_576),
        *(MAX_14, MAX_288),
    )
)
LONGEST_LOOKBACK = 577

# Whole numbers, one element each: where the windows stand in their rings, and where in the ring of flags, which ends
# the state. NARROW is room for eight features as float32.
POSITIONS, FLAG_AT, NARROW = _ring(2), _ring(1), _ring(4)
FLAGS = _ring(1)


def state_size(fill_window: int) -> int:
    """Length of the float64 state of eight lanes."""
    return FLAGS + 2 * LANES * fill_window


def _name_features(known: dict[str, object]) -> None:
    """Give each feature's row its name in capitals (``RETURNS``, ``LOG_RETURNS``, ...), unless that is taken."""
    for column, feature in enumerate(FEATURES):
        name = feature.name.upper()
        if name in known:
            raise ImportError(f"feature {feature.name!r}: features.kernel_layout.{name} stands for something else")
        known[name] = OUT + LANES * column


_name_features(globals())
