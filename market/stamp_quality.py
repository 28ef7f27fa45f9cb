"""What is odd about funding settlements and open interest stamps, though every value keeps the rules?

Funding: which intervals were in force and when they changed, stamps off their full minute, extreme rates, settlements
that look missing. Open interest: stamps off the grid, two in one slot, empty slots, zeros (an archive's "nothing").
Nothing is repaired: ``funding_on_grid`` and the open interest grid have their own rules for all of it.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from market.candles import Floats, Ints
from market.funding import FundingStamps
from market.quality import Finding, Severity, counted, longest
from market.runs import BarRun, runs_of
from market.timeframe import HOUR_MS, MINUTE_MS, Timeframe, as_utc

__all__ = ["judge_funding", "judge_open_interest"]

_LONGEST_MS = 8 * HOUR_MS
_EXTREME_RATE = 0.005


def judge_funding(stamps: FundingStamps) -> tuple[Finding, ...]:
    """Everything odd about checked settlements, at most one finding of each kind."""
    if stamps.time.size < 2:
        return ()
    found = (_intervals(stamps), _jitter(stamps), _extreme_rate(stamps), _missing_settlement(stamps))
    return tuple(one for one in found if one is not None)


def judge_open_interest(symbol: str, time: Ints, value: Floats, *, timeframe: Timeframe) -> tuple[Finding, ...]:
    """Everything odd about sorted stamps ``time (n,)`` ms and ``value (n,)``; a slot is one ``timeframe`` long."""
    if time.size == 0:
        return ()
    slot = time // timeframe.ms
    late = time - slot * timeframe.ms
    _, rows_of = np.unique(slot, return_counts=True)
    doubled = np.append(False, np.diff(slot) == 0)
    found = (
        _chosen(
            symbol, "open_interest_off_grid", time, late > 0, f"off the grid, up to {late.max() / 1000:.3g} s late"
        ),
        _chosen(symbol, "open_interest_doubled", time, doubled, f"in a slot that has one ({rows_of.max()} at most)"),
        _chosen(symbol, "open_interest_zero", time, value == 0, "of exactly zero: the archive had nothing"),
        _empty_slots(symbol, slot, timeframe),
    )
    return tuple(one for one in found if one is not None)


def _intervals(stamps: FundingStamps) -> Finding:
    step = _whole_minutes(np.diff(stamps.time))
    starts = np.append(0, np.flatnonzero(np.diff(step) != 0) + 1)
    ends = np.append(starts[1:], step.size)
    runs = tuple(
        BarRun(first_ms=int(stamps.time[lo]), last_ms=int(stamps.time[hi]), bars=int(hi - lo))
        for lo, hi in zip(starts, ends, strict=True)
    )
    counts = Counter((step / HOUR_MS).tolist())
    named = ", ".join(f"{hours:g}h x {count:,}" for hours, count in counts.most_common())
    changes = [f"{step[lo] / HOUR_MS:g}h since {as_utc(int(stamps.time[lo]))}" for lo in starts[1:6]]
    more = f" and {len(runs) - 6} more" if len(runs) > 6 else ""
    words = f"settles {named}" + (f"; {len(runs) - 1} changes: {', '.join(changes)}{more}" if changes else "")
    return Finding(
        symbol=stamps.symbol,
        kind="funding_intervals",
        severity=Severity.INFO,
        first_ms=int(stamps.time[0]),
        last_ms=int(stamps.time[-1]),
        bars=int(stamps.time.size),
        words=words,
        runs=runs,
    )


def _jitter(stamps: FundingStamps) -> Finding | None:
    off = np.abs(stamps.time - _whole_minutes(stamps.time))
    return _chosen(
        stamps.symbol, "funding_jitter", stamps.time, off > 0, f"not on their full minute, by up to {off.max()} ms"
    )


def _extreme_rate(stamps: FundingStamps) -> Finding | None:
    hit = np.abs(stamps.rate) >= _EXTREME_RATE
    if not hit.any():
        return None
    low, high = int(np.argmin(stamps.rate)), int(np.argmax(stamps.rate))
    ends = ", ".join(f"{stamps.rate[row]:+.2%} at {as_utc(int(stamps.time[row]))}" for row in (low, high))
    words = f"of {_EXTREME_RATE:.1%} or more a settlement, either way; the range is {ends}"
    return _chosen(stamps.symbol, "funding_extreme_rate", stamps.time, hit, words, Severity.WARN)


def _missing_settlement(stamps: FundingStamps) -> Finding | None:
    """Longer than any interval a venue uses, or twice as long as the intervals on both sides of it."""
    step = _whole_minutes(np.diff(stamps.time))
    around = np.maximum(np.append(0, step[:-1]), np.append(step[1:], 0))
    inner = np.zeros(step.size, dtype=np.bool_)
    inner[1:-1] = True
    base = np.minimum(np.where(inner, around, _LONGEST_MS), _LONGEST_MS)
    lacking = np.where((step > _LONGEST_MS) | (inner & (step >= 2 * base)), -(-step // base) - 1, 0)
    rows = np.flatnonzero(lacking > 0)
    if rows.size == 0:
        return None
    runs = tuple(
        BarRun(first_ms=int(stamps.time[k]), last_ms=int(stamps.time[k + 1]), bars=int(lacking[k])) for k in rows
    )
    missing = sum(run.bars for run in runs)
    return Finding(
        symbol=stamps.symbol,
        kind="funding_missing",
        severity=Severity.WARN,
        first_ms=runs[0].first_ms,
        last_ms=runs[-1].last_ms,
        bars=missing,
        words=f"{counted(missing, 'settlement')} missing, as the intervals around tell ({longest(runs)})",
        runs=runs,
    )


def _empty_slots(symbol: str, slot: Ints, timeframe: Timeframe) -> Finding | None:
    held = np.unique(slot)
    after = np.flatnonzero(np.diff(held) > 1)
    if after.size == 0:
        return None
    runs = tuple(
        BarRun(
            first_ms=timeframe.open_time(int(held[k]) + 1),
            last_ms=timeframe.open_time(int(held[k + 1]) - 1),
            bars=int(held[k + 1] - held[k]) - 1,
        )
        for k in after
    )
    empty = sum(run.bars for run in runs)
    return Finding(
        symbol=symbol,
        kind="open_interest_empty",
        severity=Severity.INFO,
        first_ms=runs[0].first_ms,
        last_ms=runs[-1].last_ms,
        bars=empty,
        words=f"{counted(empty, 'slot')} of {timeframe.name} without a stamp ({longest(runs)})",
        runs=runs,
    )


def _chosen(
    symbol: str, kind: str, time: Ints, hit: NDArray[np.bool_], what: str, severity: Severity = Severity.INFO
) -> Finding | None:
    if not hit.any():
        return None
    # Stamps have no length: those next to each other in the history are one run.
    runs = runs_of(np.arange(time.size), hit, step_ms=1)
    spans = tuple(BarRun(first_ms=int(time[r.first_ms]), last_ms=int(time[r.last_ms]), bars=r.bars) for r in runs)
    return Finding(
        symbol=symbol,
        kind=kind,
        severity=severity,
        first_ms=spans[0].first_ms,
        last_ms=spans[-1].last_ms,
        bars=int(hit.sum()),
        words=f"{counted(int(hit.sum()), 'stamp')} {what}",
        runs=spans,
    )


def _whole_minutes(time: Ints) -> Ints:
    nearest: Ints = (time + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
    return nearest
