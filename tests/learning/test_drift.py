"""Drift with limits calibrated on past windows."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import lfilter

from learning.drift import (
    DriftReference,
    DriftThresholds,
    DriftVerdict,
    calibrate_thresholds,
    check_drift,
    feature_reference,
    probability_reference,
)
from learning.drift_report import evidently_html
from learning.errors import DriftError
from registry.reference import reference_distributions

COLUMNS = 8
WINDOW = 1440
WINDOWS = 30


def autocorrelated(rows: int, rng: np.random.Generator, *, phi: float, columns: int = COLUMNS) -> np.ndarray:
    """Stationary AR(1) columns of unit variance, as market features are."""
    noise = rng.standard_normal((rows + 1000, columns)) * np.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)[1000:]


def reference_of(rows: np.ndarray) -> DriftReference:
    found = reference_distributions(rows.astype(np.float32), np.full((10, 3), 1 / 3))
    return feature_reference(found, names=tuple(f"f{c}" for c in range(rows.shape[1])))


def calibrated(past: np.ndarray, *, window: int = WINDOW) -> tuple[DriftReference, DriftThresholds]:
    reference = reference_of(past)
    windows = [past[i : i + window] for i in range(0, past.shape[0] - window + 1, window)]
    return reference, calibrate_thresholds(windows, reference)


@pytest.fixture(scope="module")
def market() -> tuple[np.ndarray, DriftReference, DriftThresholds]:
    """Past of AR(.9) columns, with its reference and limits."""
    past = autocorrelated(WINDOWS * WINDOW, np.random.default_rng(1), phi=0.9)
    return (past, *calibrated(past))


@pytest.mark.parametrize("phi", [0.9, 0.98])
def test_false_alarms_stay_at_the_stated_rate_on_autocorrelated_columns(phi):
    """Where nothing changed, any-column alarms keep the stated 5%; the fixed PSI limit of .1 fires nearly always."""
    rng = np.random.default_rng(2)
    alarms = fixed = 0
    worlds, window = 100, 288
    for _ in range(worlds):
        rows = autocorrelated((WINDOWS + 2) * window, rng, phi=phi, columns=4)
        reference, thresholds = calibrated(rows[: WINDOWS * window], window=window)
        got = check_drift(rows[-window:], reference, thresholds)
        alarms += got.verdict != DriftVerdict.NONE
        fixed += any(column.psi > 0.1 for column in got.columns)
    assert thresholds.false_alarm_rate == 0.05
    assert alarms / worlds <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / worlds)
    assert fixed / worlds >= 0.95


def test_a_doubled_scale_in_one_column_is_found(market):
    """Twice the scale of one AR(.9) column is found in nearly all windows, and named first."""
    _, reference, thresholds = market
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(30):
        current = autocorrelated(WINDOW, rng, phi=0.9)
        current[:, 5] *= 2.0
        got = check_drift(current, reference, thresholds)
        found += got.verdict == DriftVerdict.HIGH and got.columns[0].name == "f5"
    assert found >= 27


def test_values_beyond_the_range_of_training_count(market):
    """Values outside the outermost decile edges fall into the outer bins instead of vanishing."""
    past, reference, thresholds = market
    current = past[:WINDOW].copy()
    current[: WINDOW // 2, 0] = 1e6
    got = next(c for c in check_drift(current, reference, thresholds).columns if c.name == "f0")
    assert got.verdict == DriftVerdict.HIGH
    assert got.outside == 0.5


def test_values_that_went_missing_are_drift(market):
    """A column that turned NaN is HIGH although none of its remaining values moved."""
    past, reference, thresholds = market
    half, gone = past[:WINDOW].copy(), past[:WINDOW].copy()
    half[::2, 2] = np.nan
    gone[:, 2] = np.nan
    for current, share in ((half, 0.5), (gone, 1.0)):
        got = check_drift(current, reference, thresholds).columns[0]
        assert (got.name, got.verdict, got.missing) == ("f2", DriftVerdict.HIGH, share)


def test_distances_match_their_definitions():
    """PSI and KS by hand on two bins' worth of shifted counts."""
    reference = DriftReference(
        names=("x",),
        rows=1000,
        edges=np.array([[0.0, 1.0, 2.0]]),
        shares=np.array([[0.5, 0.5]]),
        missing=np.zeros(1),
    )
    current = np.concatenate([np.full(80, 0.5), np.full(20, 1.5)])[:, None]
    got = check_drift(current, reference, None).columns[0]
    p, q = np.array([80.5, 20.5]) / 101, np.array([0.5, 0.5])
    assert got.psi == pytest.approx(((p - q) * np.log(p / q)).sum())
    assert got.ks == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("rows", "words"), [(0, "too few"), (29, "too few"), (400, "limits are for windows of about 1440")]
)
def test_what_cannot_be_judged_is_unknown(market, rows, words):
    """Fewer than thirty rows, or far fewer than calibrated for, give UNKNOWN with the reason and never NONE."""
    past, reference, thresholds = market
    got = check_drift(past[:rows], reference, thresholds)
    assert got.verdict == DriftVerdict.UNKNOWN
    assert words in got.reason
    assert {column.verdict for column in got.columns} == {DriftVerdict.UNKNOWN}


def test_without_calibration_there_are_numbers_but_no_verdict(market):
    """Distances are reported, the verdict stays UNKNOWN."""
    past, reference, _ = market
    got = check_drift(past[:WINDOW] * 3.0, reference, None)
    assert got.verdict == DriftVerdict.UNKNOWN
    assert got.columns[0].psi > 0.25
    assert "no limits were calibrated" in got.reason


def test_severity_follows_the_effect_not_the_sample_size():
    """On many independent rows a tiny real shift is LOW, a large one HIGH."""
    rng = np.random.default_rng(5)
    past = rng.standard_normal((40 * 5000, 2))
    reference, thresholds = calibrated(past, window=5000)
    current = rng.standard_normal((5000, 2))
    verdicts = []
    for shift in (0.0, 0.15, 0.4, 1.0):
        column = next(
            c for c in check_drift(current + np.array([shift, 0.0]), reference, thresholds).columns if c.name == "f0"
        )
        verdicts.append(column.verdict)
    assert verdicts == [DriftVerdict.NONE, DriftVerdict.LOW, DriftVerdict.MEDIUM, DriftVerdict.HIGH]


def test_few_windows_state_the_rate_they_can_hold():
    """Nine past windows cannot promise 5%: the stated rate is one in ten; seven are refused."""
    past = autocorrelated(9 * 300, np.random.default_rng(6), phi=0.5)
    reference, thresholds = calibrated(past, window=300)
    assert thresholds.false_alarm_rate == pytest.approx(0.1)
    windows = [past[i : i + 300] for i in range(0, 7 * 300, 300)]
    with pytest.raises(DriftError, match="7 past windows"):
        calibrate_thresholds(windows, reference)


def test_prediction_drift_uses_the_same_check():
    """Ensemble probabilities that collapse onto one class are drift of the predictions."""
    rng = np.random.default_rng(7)
    past = rng.dirichlet([4.0, 3.0, 3.0], size=12_000)
    reference = probability_reference(reference_distributions(np.zeros((10, 1), dtype=np.float32), past))
    thresholds = calibrate_thresholds(np.split(past, 24), reference)
    assert reference.names == ("probability_hold", "probability_buy", "probability_sell")
    assert check_drift(rng.dirichlet([4.0, 3.0, 3.0], size=500), reference, thresholds).verdict == DriftVerdict.NONE
    collapsed = check_drift(rng.dirichlet([1.0, 9.0, 1.0], size=500), reference, thresholds)
    assert collapsed.verdict == DriftVerdict.HIGH


def test_columns_are_ordered_by_how_far_they_are(market):
    """The column nearest to or furthest beyond its own limit comes first."""
    past, reference, thresholds = market
    got = check_drift(past[:WINDOW], reference, thresholds)
    ratios = [column.psi / column.psi_threshold for column in got.columns]
    assert all(a >= b for a, b in pairwise(ratios))


def test_refuses_other_columns(market):
    """Rows or limits of other columns are refused instead of compared by position."""
    past, reference, thresholds = market
    with pytest.raises(DriftError, match="8 columns"):
        check_drift(past[:WINDOW, :5], reference, thresholds)
    renamed = DriftReference(
        names=tuple(f"g{c}" for c in range(COLUMNS)),
        rows=reference.rows,
        edges=reference.edges,
        shares=reference.shares,
        missing=reference.missing,
    )
    with pytest.raises(DriftError, match="calibrated for other columns"):
        check_drift(past[:WINDOW], renamed, thresholds)


def test_evidently_report_names_every_column(market):
    """The HTML report holds the columns, leaves out an empty one, and raises no warning."""
    past, _, _ = market
    current = past[:400].copy()
    current[:, 1] = np.nan
    current[:, 2] = 1.0
    page = evidently_html(past[:400], current, names=tuple(f"feature_{c}" for c in range(COLUMNS)), most_rows=200)
    assert page.lstrip().startswith("<")
    assert "feature_0" in page
    assert "feature_7" in page
    assert "feature_1" not in page
