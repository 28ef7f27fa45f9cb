"""What is odd about a candle history, though every bar keeps the rules?

``check_candles`` refuses what cannot be true. This module reports what can be true and should be known: bars without
volume, prices that stand still, returns far out, bars that look torn (saved while they still formed), bars repeated,
contracts that died, histories that begin late, bars that were revised. Nothing is repaired, dropped or changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from market.candles import Candles, Floats, Ints
from market.runs import BarRun, runs_of
from market.timeframe import DAY_MS, Timeframe, as_utc

__all__ = ["Finding", "Severity", "counted", "judge_candles", "judge_revisions", "judge_starts", "longest"]

_FLAT_BARS = 12
_FENCE_IQRS = 3.0
_WILD_RETURN = 0.20
_NAMED = 3
_USUAL_SHARE = 0.98
_TORN_USUAL_JUMPS = 8.0
_TORN_TYPICAL_RETURNS = 0.10
_TORN_SHARE = 0.001
_VOLUME_BARS_EACH_SIDE = 24


class Severity(StrEnum):
    """``warn``: look before training on it; ``info``: worth knowing."""

    INFO = "info"
    WARN = "warn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found in one market.

    ``kind`` is its name, ``words`` say it plainly. ``bars`` bars (or stamps) are concerned, all between ``first_ms``
    and ``last_ms``; ``runs`` lists the stretches they lie in, oldest first.
    """

    symbol: str
    kind: str
    severity: Severity
    first_ms: int
    last_ms: int
    bars: int
    words: str
    runs: tuple[BarRun, ...] = ()


def judge_candles(candles: Candles) -> tuple[Finding, ...]:
    """Everything odd about checked candles, at most one finding of each kind."""
    if len(candles) == 0:
        return ()
    found = (
        _zero_volume(candles),
        _flat_line(candles),
        _dead_contract(candles),
        _extreme_return(candles),
        _torn_bar(candles),
        _repeated_bar(candles),
    )
    return tuple(one for one in found if one is not None)


def judge_starts(first_ms: Mapping[str, int], timeframe: Timeframe) -> tuple[Finding, ...]:
    """Markets whose first bar opens a day or more after the earliest of them all: such a panel is ragged."""
    earliest = min(first_ms.values(), default=0)
    return tuple(
        Finding(
            symbol=symbol,
            kind="late_start",
            severity=Severity.INFO,
            first_ms=start,
            last_ms=start,
            bars=(start - earliest) // timeframe.ms,
            words=f"begins {as_utc(start)}, {(start - earliest) / DAY_MS:.1f} days after the earliest market here",
        )
        for symbol, start in first_ms.items()
        if start - earliest >= DAY_MS
    )


def judge_revisions(symbol: str, times: Ints, known_at: Ints) -> tuple[Finding, ...]:
    """Bars the source changed after we had stored them: ``(n,)`` open times, and when each change became known."""
    if times.size == 0:
        return ()
    bars = int(np.unique(times).size)
    finding = Finding(
        symbol=symbol,
        kind="revised_bar",
        severity=Severity.INFO,
        first_ms=int(times.min()),
        last_ms=int(times.max()),
        bars=bars,
        words=f"{counted(bars, 'bar')} revised at their source, the last change known {as_utc(int(known_at.max()))}; "
        "reads as of an earlier moment still see the older values",
    )
    return (finding,)


def counted(number: int, noun: str) -> str:
    """``1 bar``, ``1,024 bars``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def longest(runs: Sequence[BarRun]) -> str:
    """How many runs there are and where the longest begins, in words."""
    top = max(runs, key=lambda run: run.bars)
    where = f"{top.bars:,} from {as_utc(top.first_ms)}"
    return where if len(runs) == 1 else f"{len(runs):,} runs, the longest {where}"


def _zero_volume(candles: Candles) -> Finding | None:
    runs = runs_of(candles.open_time, candles.volume == 0, step_ms=candles.timeframe.ms)
    long = any(run.bars >= _FLAT_BARS for run in runs)
    return _of_runs(candles, "zero_volume", runs, "without volume", Severity.WARN if long else Severity.INFO)


def _flat_line(candles: Candles) -> Finding | None:
    runs = runs_of(candles.open_time, _unmoved(candles), step_ms=candles.timeframe.ms, at_least=_FLAT_BARS)
    return _of_runs(candles, "flat_line", runs, "at a constant price", Severity.WARN)


def _dead_contract(candles: Candles) -> Finding | None:
    still = _unmoved(candles) & (candles.volume == 0)
    runs = runs_of(candles.open_time, still, step_ms=candles.timeframe.ms, at_least=candles.timeframe.bars_per_day)
    if not runs or runs[-1].last_ms != candles.open_time[-1]:
        return None
    dead = f"to the end: nothing traded since {as_utc(runs[-1].first_ms)}, the contract is dead"
    return _of_runs(candles, "dead_contract", runs[-1:], dead, Severity.WARN)


def _extreme_return(candles: Candles) -> Finding | None:
    """|log return| beyond Q3 + 3 IQR (Tukey 1977, the outer fence) of the bars that moved at all."""
    size = _returns(candles)
    moved = size[size > 0]
    if moved.size == 0:
        return None
    q1, q3 = np.quantile(moved, (0.25, 0.75))
    # Where every move is one tick there is no spread to measure by: half the tick stands in for it.
    fence = q3 + _FENCE_IQRS * max(q3 - q1, q3 / 2)
    hits = np.flatnonzero(size > fence)
    if hits.size == 0:
        return None
    worst = hits[np.argsort(-size[hits], kind="stable")][:_NAMED]
    named = ", ".join(f"{size[row]:.3g} at {as_utc(int(candles.open_time[row]))}" for row in worst)
    wild = size[worst[0]] >= _WILD_RETURN
    words = f"moved more than {fence:.2g} (log return, Q3 + 3 IQR); the most: {named}"
    return _of_rows(candles, "extreme_return", hits, words, Severity.WARN if wild else Severity.INFO)


def _torn_bar(candles: Candles) -> Finding | None:
    """Bars whose close the next open does not continue, and whose volume is small for their time.

    A bar saved while it still formed has the right open, but a close that was not yet the last. The next open then
    jumps: by many times what this market usually jumps, and by more than a small part of its typical return.
    """
    jump = np.zeros(len(candles))
    np.abs(np.log(candles.open[1:] / candles.close[:-1]), out=jump[:-1])
    joined = _joined(candles)[1:]
    jump[:-1][~joined] = 0.0
    moves = _returns(candles)
    if not (moves > 0).any():
        return None
    usual = float(np.quantile(jump[:-1][joined], _USUAL_SHARE))
    limit = max(_TORN_USUAL_JUMPS * usual, _TORN_TYPICAL_RETURNS * float(np.median(moves[moves > 0])))
    hits = np.array([row for row in np.flatnonzero(jump > limit) if _thin(candles.volume, int(row))], dtype=np.int64)
    if hits.size == 0:
        return None
    words = f"look saved while still forming: little volume, and the next open lies more than {limit:.2g} away"
    severity = Severity.WARN if hits.size >= _TORN_SHARE * len(candles) else Severity.INFO
    return _of_rows(candles, "torn_bar", hits, words, severity)


def _repeated_bar(candles: Candles) -> Finding | None:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    same = _joined(candles) & (candles.volume > 0)
    for column in columns:
        same[1:] &= column[1:] == column[:-1]
    # A quiet market may print one price and one lot twice; a whole candle never comes twice by chance.
    ranged = bool((candles.high > candles.low)[same].any())
    severity = Severity.WARN if ranged else Severity.INFO
    runs = runs_of(candles.open_time, same, step_ms=candles.timeframe.ms)
    return _of_runs(candles, "repeated_bar", runs, "just as the one before, volume included", severity)


def _joined(candles: Candles) -> NDArray[np.bool_]:
    """``(n,)`` whether the bar directly follows the one before it."""
    return np.append(False, np.diff(candles.open_time) == candles.timeframe.ms)


def _unmoved(candles: Candles) -> NDArray[np.bool_]:
    """``(n,)`` whether nothing but one price was seen, the same as at the close before."""
    unmoved: NDArray[np.bool_] = candles.high == candles.low
    unmoved[1:] &= candles.close[1:] == candles.close[:-1]
    return unmoved


def _returns(candles: Candles) -> Floats:
    """``(n,)`` size of the log return from close to close; zero after a hole."""
    size = np.zeros(len(candles))
    size[1:] = np.abs(np.diff(np.log(candles.close)))
    size[~_joined(candles)] = 0.0
    return size


def _thin(volume: Floats, row: int) -> bool:
    around = volume[max(row - _VOLUME_BARS_EACH_SIDE, 0) : row + _VOLUME_BARS_EACH_SIDE + 1]
    return bool(volume[row] < np.median(around))


def _of_rows(candles: Candles, kind: str, rows: Ints, what: str, severity: Severity) -> Finding | None:
    chosen = np.zeros(len(candles), dtype=np.bool_)
    chosen[rows] = True
    runs = runs_of(candles.open_time, chosen, step_ms=candles.timeframe.ms)
    return _finding(candles.symbol, kind, runs, f"{counted(rows.size, 'bar')} {what}", severity)


def _of_runs(candles: Candles, kind: str, runs: tuple[BarRun, ...], what: str, severity: Severity) -> Finding | None:
    if not runs:
        return None
    bars = sum(run.bars for run in runs)
    return _finding(candles.symbol, kind, runs, f"{counted(bars, 'bar')} {what} ({longest(runs)})", severity)


def _finding(symbol: str, kind: str, runs: tuple[BarRun, ...], words: str, severity: Severity) -> Finding:
    return Finding(
        symbol=symbol,
        kind=kind,
        severity=severity,
        first_ms=runs[0].first_ms,
        last_ms=runs[-1].last_ms,
        bars=sum(run.bars for run in runs),
        words=words,
        runs=runs,
    )
