"""Has the market moved away from what the model was trained on?

Two distances per column between the current window and the bundle's reference deciles: PSI over ten bins with open
outer bins plus one for missing values, and the Kolmogorov-Smirnov distance read at the bin edges. Market features
are autocorrelated, so fixed limits and textbook p-values fire on every window: ``calibrate_thresholds`` learns from
past windows of the same length how large both distances get when nothing has changed, and sets limits whose
false-alarm rate over all columns together is stated. A column beyond its limit has drifted; how much is told by PSI
(Siddiqi 2006: .1 and .25). What cannot be judged (fewer than 30 rows, no calibration, a shorter window) is UNKNOWN,
never NONE.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from learning.errors import DriftError
from market.candles import Floats
from registry.policy import Action
from registry.reference import ReferenceDistributions

__all__ = [
    "ColumnDrift",
    "DriftCheck",
    "DriftReference",
    "DriftThresholds",
    "DriftVerdict",
    "calibrate_thresholds",
    "check_drift",
    "feature_reference",
    "probability_reference",
]

_FEWEST_ROWS = 30
_FEWEST_WINDOWS = 8
_SMALLEST_SPREAD = 0.1
_SMALLEST_DISTANCE = 1e-4
_MEDIUM_PSI = 0.1
_HIGH_PSI = 0.25

Rows = NDArray[np.floating]


class DriftVerdict(StrEnum):
    """How far a column has moved; UNKNOWN is not a synonym of NONE."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    UNKNOWN = "UNKNOWN"


_ORDER = (DriftVerdict.NONE, DriftVerdict.LOW, DriftVerdict.MEDIUM, DriftVerdict.HIGH)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftReference:
    """What ``C`` columns looked like: ``edges (C, B + 1)``, ``shares (C, B)`` of present values, ``missing (C,)``."""

    names: tuple[str, ...]
    rows: int
    edges: Floats
    shares: Floats
    missing: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftThresholds:
    """Limits per column, for windows of about ``rows`` rows.

    ``false_alarm_rate`` is the probability that any column exceeds a limit when nothing has changed.
    """

    names: tuple[str, ...]
    psi: tuple[float, ...]
    ks: tuple[float, ...]
    false_alarm_rate: float
    windows: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """Distances of one column beside their limits; limits None without calibration, ``ks`` NaN without values."""

    name: str
    verdict: DriftVerdict
    psi: float
    psi_threshold: float | None
    ks: float
    ks_threshold: float | None
    missing: float
    outside: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCheck:
    """One check of one window: the worst column decides; columns with the largest PSI against its limit come first."""

    verdict: DriftVerdict
    reason: str
    rows: int
    columns: tuple[ColumnDrift, ...]
    false_alarm_rate: float | None
    calibration_windows: int


def feature_reference(reference: ReferenceDistributions, *, names: tuple[str, ...]) -> DriftReference:
    """The features' part of a bundle's reference, in contract order."""
    return DriftReference(
        names=names,
        rows=reference.rows,
        edges=reference.feature_edges,
        shares=reference.feature_shares,
        missing=reference.feature_missing,
    )


def probability_reference(reference: ReferenceDistributions) -> DriftReference:
    """The ensemble probabilities' part of a bundle's reference, for prediction drift."""
    return DriftReference(
        names=tuple(f"probability_{action.name.lower()}" for action in Action),
        rows=reference.rows,
        edges=reference.probability_edges,
        shares=reference.probability_shares,
        missing=np.zeros(len(Action)),
    )


def calibrate_thresholds(
    windows: Sequence[Rows], reference: DriftReference, *, false_alarm_rate: float = 0.05
) -> DriftThresholds:
    """Limits from past ``windows`` (each ``(rows, C)``, of the length that will be checked, from before the check).

    The limit of a column is its usual log distance plus so many of its own standard deviations that at most the stated
    share of windows has any column beyond its limit (max-T, Westfall and Young 1993: the columns' dependence is kept).
    With W windows the rate cannot be below 1 / (W + 1). The windows may be part of the reference: distances are then a
    little small, which is corrected. Raises ``DriftError`` on too few windows or windows that do not fit the reference.
    """
    count = len(windows)
    if count < _FEWEST_WINDOWS or any(window.shape[0] < _FEWEST_ROWS for window in windows):
        raise DriftError(
            f"{count} past windows of at least {min((w.shape[0] for w in windows), default=0)} rows",
            why=f"a limit needs {_FEWEST_WINDOWS} past windows of {_FEWEST_ROWS} rows or more",
            remedy="provide a longer history or check shorter windows",
        )
    distances = np.array([_distances(window, reference)[:2] for window in windows])
    logs = np.log(np.maximum(np.nan_to_num(distances, nan=0.0), _SMALLEST_DISTANCE))
    own_share = (count + 1.0) / (count - 1.0)
    usual = logs.mean(axis=0) + np.log([[own_share], [sqrt(own_share)]])
    spread = np.maximum(logs.std(axis=0, ddof=1), _SMALLEST_SPREAD)
    largest = np.sort(_left_out(logs - logs.mean(axis=0)).max(axis=(1, 2)))
    rate = max(false_alarm_rate, 1.0 / (count + 1.0))
    reach = largest[ceil((1.0 - rate) * (count + 1.0) - 1e-9) - 1] * sqrt(1.0 + 1.0 / count)
    psi, ks = np.exp(usual + reach * spread)
    return DriftThresholds(
        names=reference.names,
        psi=tuple(float(v) for v in psi),
        ks=tuple(float(v) for v in ks),
        false_alarm_rate=rate,
        windows=count,
        rows=int(np.median([window.shape[0] for window in windows])),
    )


def _left_out(centered: Floats) -> Floats:
    """Each window in standard deviations of the others ``(W, 2, C)``: what a new window would look like."""
    others = centered.shape[0] - 1
    mean = (centered.sum(axis=0) - centered) / others
    square = (np.square(centered).sum(axis=0) - np.square(centered)) / others
    spread = np.sqrt(np.maximum((square - mean * mean) * others / (others - 1), _SMALLEST_SPREAD**2))
    out: Floats = (centered - mean) / (spread * sqrt(1.0 + 1.0 / others))
    return out


def check_drift(current: Rows, reference: DriftReference, thresholds: DriftThresholds | None) -> DriftCheck:
    """Compare ``current`` ``(rows, C)`` with the reference; ``thresholds`` None gives numbers without a verdict.

    Raises ``DriftError`` when columns do not match.
    """
    _check_columns(current, reference, thresholds)
    rows = int(current.shape[0])
    unknown = _why_unknown(rows, thresholds)
    psi, ks, missing, outside = _distances(current, reference) if rows else np.full((4, len(reference.names)), np.nan)
    columns = [
        ColumnDrift(
            name=name,
            verdict=DriftVerdict.UNKNOWN if unknown else _verdict(psi[c], ks[c], thresholds, c),
            psi=float(psi[c]),
            psi_threshold=None if thresholds is None else thresholds.psi[c],
            ks=float(ks[c]),
            ks_threshold=None if thresholds is None else thresholds.ks[c],
            missing=float(missing[c]),
            outside=float(outside[c]),
        )
        for c, name in enumerate(reference.names)
    ]
    columns.sort(key=lambda column: -column.psi / (column.psi_threshold or 1.0) if rows else 0.0)
    moved = [column for column in columns if column.verdict not in (DriftVerdict.NONE, DriftVerdict.UNKNOWN)]
    worst = max((column.verdict for column in columns), key=_ORDER.index) if not unknown else DriftVerdict.UNKNOWN
    return DriftCheck(
        verdict=worst,
        reason=unknown or _reason(moved, columns, thresholds),
        rows=rows,
        columns=tuple(columns),
        false_alarm_rate=None if thresholds is None else thresholds.false_alarm_rate,
        calibration_windows=0 if thresholds is None else thresholds.windows,
    )


def _verdict(psi: float, ks: float, thresholds: DriftThresholds | None, column: int) -> DriftVerdict:
    if thresholds is None:
        return DriftVerdict.UNKNOWN
    if not (psi > thresholds.psi[column] or ks > thresholds.ks[column]):
        return DriftVerdict.NONE
    if psi < _MEDIUM_PSI:
        return DriftVerdict.LOW
    return DriftVerdict.MEDIUM if psi < _HIGH_PSI else DriftVerdict.HIGH


def _why_unknown(rows: int, thresholds: DriftThresholds | None) -> str:
    if rows < _FEWEST_ROWS:
        return f"{rows} rows are too few to judge (at least {_FEWEST_ROWS})"
    if thresholds is None:
        return "no limits were calibrated on past windows"
    if rows < thresholds.rows // 2:
        return f"{rows} rows, but the limits are for windows of about {thresholds.rows}"
    return ""


def _reason(moved: list[ColumnDrift], columns: list[ColumnDrift], thresholds: DriftThresholds | None) -> str:
    rate = 0.0 if thresholds is None else thresholds.false_alarm_rate
    if not moved:
        return f"None of {len(columns)} columns is beyond its limit (false-alarm rate {rate:.0%} for all together)"
    first = moved[0]
    return (
        f"{len(moved)} of {len(columns)} columns are beyond their limit; furthest {first.name} with PSI "
        f"{first.psi:.3f} (limit {first.psi_threshold or 0.0:.3f}; false-alarm rate {rate:.0%} for all together)"
    )


def _distances(window: Rows, reference: DriftReference) -> Floats:
    """``(4, C)``: PSI, KS at the edges (NaN without values), share missing, share of values outside the range seen."""
    out = np.full((4, len(reference.names)), np.nan)
    rows = window.shape[0]
    for c in range(len(reference.names)):
        values = window[:, c]
        present = values[np.isfinite(values)].astype(np.float64)
        edges, shares, gone = reference.edges[c], reference.shares[c], float(reference.missing[c])
        counts = np.bincount(np.searchsorted(edges[1:-1], present, side="right"), minlength=shares.size)
        before = np.append(shares * (1.0 - gone), gone) * reference.rows
        out[0, c] = _psi(np.append(counts, rows - present.size).astype(np.float64), before)
        out[2, c] = 1.0 - present.size / rows
        if present.size and np.isfinite(edges).all():
            out[1, c] = np.abs(np.cumsum(counts / present.size - shares)[:-1]).max()
            out[3, c] = float(((present < edges[0]) | (present > edges[-1])).mean())
    return out


def _psi(now: Floats, before: Floats) -> float:
    """Population stability index of two count vectors; half a count is added, bins empty in both are left out."""
    used = (now > 0) | (before > 0)
    p, q = now[used] + 0.5, before[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _check_columns(current: Rows, reference: DriftReference, thresholds: DriftThresholds | None) -> None:
    expected = len(reference.names)
    if current.ndim != 2 or current.shape[1] != expected:
        raise DriftError(
            f"rows of shape {current.shape} against a reference of {expected} columns",
            why="columns would be compared with the wrong ones",
            remedy="pass the columns of the bundle's contract in its order",
        )
    if thresholds is not None and thresholds.names != reference.names:
        raise DriftError(
            "limits calibrated for other columns",
            why="each limit belongs to one column",
            remedy="calibrate again against this bundle's reference",
        )
