"""What is known at the close of this bar, advanced by one bar in eight lanes?

``run`` advances eight independent lanes bar by bar and writes their rows. A lane is one block of one market: batch
fills lanes with blocks, the stream with markets, so both are the same compiled step and give the same bytes. What a
lane computes depends on its own bars and on how many bars it has taken, never on its position or its neighbours.
"""

import numpy as np
from numba import njit

from features import kernel_layout as row
from features import kernel_rows as rows
from features import kernel_state as state
from features.kernel_lanes import LANES, gather, put_reason, scatter
from features.kernel_layout import FEATURE_COUNT, INPUT_COLUMNS, LONGEST_LOOKBACK, state_size
from features.kernel_state import pasted
from features.sources import source_stamp

__all__ = ["FEATURE_COUNT", "INPUT_COLUMNS", "LANES", "LONGEST_LOOKBACK", "run", "state_size"]

# A job of eight lanes, (JOB_FIELDS * LANES,) int64: the addresses of each lane's bars and rows and the bytes from bar
# to bar; which steps are to be written; the clock's row of the bar before the first. The last two are of the job.
JOB_BARS, JOB_STRIDE, JOB_VALUES, JOB_REASONS, JOB_FIRST, JOB_END, JOB_CLOCK = range(0, 7 * LANES, LANES)
_BAR_NOW, _ROW_NOW = 7 * LANES, 8 * LANES
JOB_BEGIN, JOB_STEPS = 9 * LANES, 9 * LANES + 1  # bars the state has taken before, and bars to take
JOB_FIELDS = 10
_LAST_INPUTS = row.I_OPEN + LANES * (row.INPUT_COLUMNS - LANES)  # the last eight columns, which overlap the first


@pasted
def place_lanes(job, i, week, row_bytes, scratch):
    """Find the lanes' bars and rows of step ``i``: past its bars a lane repeats the last, elsewhere it is idle."""
    writes = False
    for lane in range(LANES):
        first, end = job[JOB_FIRST + lane], job[JOB_END + lane]
        last = end - 1 if end > 0 else 0
        job[_BAR_NOW + lane] = job[JOB_BARS + lane] + (min(last, i)) * job[JOB_STRIDE + lane]
        inside = (first <= i) & (i < end)
        writes |= inside
        job[JOB_CLOCK + lane] = job[JOB_CLOCK + lane] + 1 if job[JOB_CLOCK + lane] < week - 1 else 0
        job[_ROW_NOW + lane] = job[JOB_VALUES + lane] + (i - first) * row_bytes if inside else scratch
    return writes


@pasted
def write_clock(s, clock, job):
    for lane in range(LANES):
        now = clock[job[JOB_CLOCK + lane]]
        s[row.DAY_SIN + lane], s[row.DAY_COS + lane] = now[0], now[1]
        s[row.WEEK_SIN + lane], s[row.WEEK_COS + lane] = now[2], now[3]


@pasted
def hand_over(s, job, i, like):
    """Write each lane's row and reason to where they belong."""
    for feature in range(0, row.FEATURE_COUNT - LANES, LANES):
        scatter(s, row.OUT + feature * LANES, job, _ROW_NOW, feature, row.NARROW, like)
    last = row.FEATURE_COUNT - LANES  # overlaps the one before where the count is no multiple of eight
    scatter(s, row.OUT + last * LANES, job, _ROW_NOW, last, row.NARROW, like)
    for lane in range(LANES):
        first = job[JOB_FIRST + lane]
        if (first <= i) & (i < job[JOB_END + lane]):
            put_reason(job[JOB_REASONS + lane] + 2 * (i - first), s[row.S_REASON + lane])


def _bound_to(stamp):
    """Compile ``run`` for these sources: numba's cache looks at one file and at what a function closes over."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def run(states, jobs, p, clock, aside):
        """Advance every state by its job.

        ``states`` ``(jobs, state_size) float64``, ``jobs`` ``(jobs, JOB_FIELDS * LANES) int64``, ``p`` the parameters,
        ``clock`` the ``clock_table`` of the timeframe, ``aside`` ``(FEATURE_COUNT,)`` for what nobody wants; its dtype
        is that of all rows: float32, or float64 to show what is rounded. Whoever calls keeps the arrays alive that
        the jobs point into.
        """
        if stamp == 0:
            return
        root_of_year = np.sqrt(np.float64(p[row.P_BARS_PER_YEAR]))
        for k in range(jobs.shape[0]):
            s, job = states[k], jobs[k]
            for i in range(job[JOB_STEPS]):
                n = job[JOB_BEGIN] + i
                writes = place_lanes(job, i, clock.shape[0], row.FEATURE_COUNT * aside.itemsize, aside.ctypes.data)
                gather(s, row.I_OPEN, job, _BAR_NOW, 0)
                gather(s, _LAST_INPUTS, job, _BAR_NOW, 8 * (row.INPUT_COLUMNS - LANES))
                # Windows begin late in the warm-up: the first row needs no more than the longest of them.
                late = n - (p[row.P_WARMUP] - row.LONGEST_LOOKBACK)
                if n == 0:
                    state.begin(s)
                if late > 0:
                    state.record_prices(s)
                    state.record_others(s)
                    state.push_windows(s)
                    state.derive(s)
                state.carry(s)
                if late >= 0:
                    state.remember(s, n)
                if late > 0:
                    state.settle_regimes(s, n)
                state.flag(s, p[row.P_FILL_WINDOW])
                if not writes:
                    continue
                if n < p[row.P_WARMUP]:
                    rows.write_nothing(s)
                else:
                    write_clock(s, clock, job)
                    rows.write_price(s)
                    rows.write_momentum(s, n)
                    rows.write_trend(s, n)
                    rows.write_bands(s, n)
                    rows.write_volatility(s, root_of_year)
                    rows.write_volume(s)
                    rows.write_funding(s)
                    rows.write_reference(s, n)
                    rows.write_optional(s, n)
                    rows.write_reasons(s, p)
                hand_over(s, job, i, aside)

    return run


run = _bound_to(source_stamp())
