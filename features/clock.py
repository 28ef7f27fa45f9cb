"""Where in the day and in the week does each bar close?

Sine and cosine of our own, in plain Python arithmetic: the same bits on every machine, whatever its libm.
"""

import math
from functools import cache

import numpy as np

from market.candles import Floats
from market.timeframe import DAY_MS

__all__ = ["clock_table", "sin_cos"]

_S5, _S6 = -2.50507602534068634195e-08, 1.58969099521155010221e-10
_C5, _C6 = 2.08757232129817482790e-09, -1.13596475577881948265e-11


def sin_cos(turn: float) -> tuple[float, float]:
    """Sine and cosine of a fraction of a full turn in [0, 1), by fdlibm's polynomials on an eighth of a turn."""
    quarter = math.floor(4.0 * turn + 0.5)
    x = (4.0 * turn - quarter) * 1.5707963267948966
    z = x * x
    s = 2.75573137070700676789e-06 + z * (_S5 + z * _S6)
    s = 8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * s)
    s = x + x * z * (-1.66666666666666324348e-01 + z * s)
    c = -2.75573143513906633035e-07 + z * (_C5 + z * _C6)
    c = -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * c)
    c = 1.0 - (0.5 * z - z * z * (4.16666666666666019037e-02 + z * c))
    if quarter == 1:
        return c, -s
    if quarter == 2:
        return -s, -c
    if quarter == 3:
        return -c, s
    return s, c


@cache
def clock_table(timeframe_ms: int) -> Floats:
    """Sine and cosine of day and week at each bar's close, ``(bars a week, 4)``; row 0 closes on Monday 00:00 UTC."""
    day = DAY_MS // timeframe_ms
    rows = [(*sin_cos(k % day / day), *sin_cos(k / (7 * day))) for k in range(7 * day)]
    return np.array(rows)
