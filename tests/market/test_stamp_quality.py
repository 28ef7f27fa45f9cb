"""What is odd about funding and open interest that keep every rule."""

import numpy as np
import pytest

from market.funding import FundingStamps, check_funding
from market.quality import Finding, Severity
from market.runs import BarRun
from market.stamp_quality import judge_funding, judge_open_interest
from market.timeframe import HOUR_MS, Timeframe

FIVE = Timeframe.parse("5m")
START = 1_738_281_600_000  # 2025-01-31 00:00 UTC


def funding(hours: list[int], *, rate: float = 1e-4) -> FundingStamps:
    """Settlements these many hours apart, the first at the start."""
    time = START + np.concatenate(([0], np.cumsum(hours))).astype(np.int64) * HOUR_MS
    return FundingStamps(symbol="X", time=time, rate=np.full(time.size, rate))


def judged(stamps: FundingStamps) -> dict[str, Finding]:
    """Findings by kind."""
    check_funding(stamps)
    return {one.kind: one for one in judge_funding(stamps)}


def test_intervals_are_counted_and_their_changes_dated():
    """8h, then 4h, then 1h: three stretches, two changes, in words; nothing is missing at the switches."""
    found = judged(funding([8] * 4 + [4] * 3 + [1] * 5))
    assert set(found) == {"funding_intervals"}
    one = found["funding_intervals"]
    assert [run.bars for run in one.runs] == [4, 3, 5]
    assert one.words == (
        "settles 1h x 5, 8h x 4, 4h x 3; 2 changes: 4h since 2025-02-01 08:00, 1h since 2025-02-01 20:00"
    )
    assert one.severity is Severity.INFO


@pytest.mark.parametrize(
    ("hours", "missing"),
    [
        ([8, 8, 16, 8, 8], 1),
        ([4, 4, 8, 4, 4], 1),
        ([4, 4, 12, 4], 2),
        ([1, 1, 4, 1], 3),
        ([8, 8, 24], 2),
        ([16, 8, 8], 1),
        ([8, 8, 4, 4, 8, 8], 0),
        ([4, 8, 8], 0),
        ([8], 0),
    ],
)
def test_missing_settlements_are_told_by_the_intervals_around(hours, missing):
    """Longer than any venue's interval, or twice those on both sides; a switch of interval is none."""
    found = judged(funding(hours)).get("funding_missing")
    assert (0 if found is None else found.bars) == missing
    assert found is None or found.severity is Severity.WARN


def test_jitter_is_measured_from_the_full_minute():
    """13 ms late and 2 ms early are two stamps off, 13 ms at most; intervals stay whole hours all the same."""
    stamps = funding([8] * 5)
    stamps.time[2] += 13
    stamps.time[4] -= 2
    found = judged(stamps)
    assert found["funding_jitter"].bars == 2
    assert "13 ms" in found["funding_jitter"].words
    assert found["funding_intervals"].words == "settles 8h x 5"


def test_extreme_rates_are_warned_of_on_both_sides():
    """Half a percent counts, a little less does not; the range is named."""
    stamps = funding([8] * 5)
    stamps.rate[[1, 3, 4]] = (-0.02, 0.0085, 0.0049)
    one = judged(stamps)["funding_extreme_rate"]
    assert (one.bars, one.severity) == (2, Severity.WARN)
    assert "-2.00% at 2025-01-31 08:00" in one.words
    assert "+0.85% at 2025-02-01 00:00" in one.words


def test_too_few_settlements_say_nothing():
    """One stamp has no interval; none has nothing."""
    assert judge_funding(funding([])) == ()
    empty = np.array([], dtype=np.int64)
    assert judge_funding(FundingStamps(symbol="X", time=empty, rate=empty.astype(float))) == ()


def test_open_interest_off_the_grid_doubled_empty_and_zero():
    """One stamp of each kind is found once, with its place; a sound history has nothing odd."""
    grid = START + np.arange(20, dtype=np.int64) * FIVE.ms
    value = np.full(20, 1000.0)
    assert judge_open_interest("X", grid, value, timeframe=FIVE) == ()
    assert judge_open_interest("X", grid[:0], value[:0], timeframe=FIVE) == ()
    time = np.sort(np.append(np.delete(grid, [7, 8, 15]), grid[3] + 1000))
    value = np.full(time.size, 1000.0)
    value[-1] = 0.0
    found = {one.kind: one for one in judge_open_interest("X", time, value, timeframe=FIVE)}
    assert set(found) == {
        "open_interest_off_grid",
        "open_interest_doubled",
        "open_interest_zero",
        "open_interest_empty",
    }
    assert found["open_interest_off_grid"].first_ms == int(grid[3]) + 1000
    assert "1 s late" in found["open_interest_off_grid"].words
    assert found["open_interest_doubled"].bars == 1
    assert found["open_interest_zero"].first_ms == int(grid[19])
    assert found["open_interest_empty"].runs == (
        BarRun(first_ms=int(grid[7]), last_ms=int(grid[8]), bars=2),
        BarRun(first_ms=int(grid[15]), last_ms=int(grid[15]), bars=1),
    )
