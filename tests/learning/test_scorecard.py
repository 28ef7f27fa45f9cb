"""Scores of forecasts and trades, against slow recomputations and other libraries."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from learning.scorecard import FEWEST, forecast_scores, trade_scores, wilson, windows_apart

SERVING = Path(__file__).resolve().parents[2] / "serving"


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(hits_of):
    """The same interval, also for none and for all."""
    found = binomtest(*hits_of).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(*hits_of) == pytest.approx((found.low, found.high), abs=1e-12)
    assert wilson(0, 0) is None


def forecasts(seed: int, n: int):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet((2.0, 1.0, 1.0), size=n)
    y = np.array([rng.choice(3, p=row) for row in p], dtype=np.int8).reshape(n)
    return p, y, rng.integers(0, 3, size=n)


@pytest.mark.parametrize(("seed", "n"), [(0, 1), (1, 7), (2, 29), (3, 30), (4, 400)])
def test_scores_are_those_counted_row_by_row(seed, n):
    """Hit rate, Brier, ECE, shares and bias by plain loops."""
    p, y, side = forecasts(seed, n)
    found = forecast_scores("m", p, y, side, independent=5)
    named = [(int(s), int(c)) for s, c in zip(side, y, strict=True) if s > 0]
    hits = sum(s == c for s, c in named)
    assert found.with_side == len(named)
    assert found.hit_rate == (pytest.approx(hits / len(named)) if named else None)
    assert found.hit_interval == wilson(hits, len(named))
    rows = list(zip(p.tolist(), y.tolist(), strict=True))
    squares = [sum((q - (k == c)) ** 2 for k, q in enumerate(row)) for row, c in rows]
    assert found.brier == pytest.approx(sum(squares) / n)
    bins = [[] for _ in range(10)]
    for row, c in rows:
        bins[min(int(max(row) * 10), 9)].append((max(row), row.index(max(row)) == c))
    ece = sum(abs(sum(a for a, _ in b) - sum(h for _, h in b)) for b in bins) / n
    assert found.ece == pytest.approx(ece)
    assert (found.hold_share, found.buy_share, found.sell_share) == tuple(
        pytest.approx(sum(s == c for s in side.tolist()) / n) for c in (0, 1, 2)
    )
    assert found.bias == (pytest.approx(sum(3 - 2 * s for s, _ in named) / len(named)) if named else None)
    assert (found.verdict == "unknown") == (n < FEWEST)


def test_the_slope_is_the_one_that_trainings_are_judged_by():
    """Forecasts drawn as they were told have a slope near 1, overconfident ones less; without variation: none."""
    p, y, side = forecasts(9, 2000)
    honest = forecast_scores("m", p, y, side, independent=1).slope
    sharper = p**2 / (p**2).sum(axis=1, keepdims=True)
    assert honest == pytest.approx(1.0, abs=0.15)
    assert forecast_scores("m", sharper, y, side, independent=1).slope == pytest.approx(honest / 2, rel=0.02)
    same = forecast_scores("m", np.full((40, 3), 1 / 3), np.arange(40) % 3, np.zeros(40, dtype=int), independent=1)
    assert same.slope is None
    assert same.ece is not None
    assert (same.hit_rate, same.hit_interval, same.bias) == (None, None, None)


def test_nothing_is_scored_as_nothing():
    """Every number None, never zero."""
    found = forecast_scores("m", np.zeros((0, 3)), np.zeros(0, dtype=int), np.zeros(0, dtype=int), independent=0)
    assert (found.n, found.brier, found.ece, found.hold_share, found.verdict) == (0, None, None, None, "unknown")


@given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 1)), max_size=60))
def test_trade_scores_are_those_counted_one_by_one(trades):
    """Wins, averages, profit factor (None with a reason without losses) and the streak at the end."""
    net, size = (np.array([row[k] for row in trades]) for k in (0, 1))
    found = trade_scores(net, size, independent=0, unresolved=2)
    wins, losses = [t for t in trades if t[0] > 0], [t for t in trades if t[0] < 0]
    assert found.win_rate == (pytest.approx(len(wins) / len(trades)) if trades else None)
    assert found.average_win == (pytest.approx(sum(n for n, _ in wins) / len(wins)) if wins else None)
    assert found.average_loss == (pytest.approx(sum(n for n, _ in losses) / len(losses)) if losses else None)
    lost = -sum(n * s for n, s in losses)
    expected = sum(n * s for n, s in wins) / lost if lost > 1e-12 else None
    assert found.profit_factor == (None if expected is None else pytest.approx(expected))
    assert (found.profit_factor_reason is None) == (expected is not None)
    assert found.profit_factor is None or math.isfinite(found.profit_factor)
    assert found.net_return == (pytest.approx(sum(n * s for n, s in trades)) if trades else None)
    assert found.losses_in_a_row == next((k for k, (n, _) in enumerate(reversed(trades)) if n >= 0), len(trades))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=9))
def test_windows_apart_are_the_most_that_do_not_overlap(windows):
    """Against every subset."""
    spans = [(begin, begin + length) for begin, length in windows]

    def most(left: list[tuple[int, int]], free_from: int) -> int:
        return max((1 + most(left, e) for b, e in left if b >= free_from), default=0)

    first, last = (np.array([span[k] for span in spans], dtype=np.int64) for k in (0, 1))
    assert windows_apart(first, last) == most(spans, 0)


def test_alerts_need_thirty_rows_and_name_what_is_wrong():
    """One-sided, wrong and overconfident; with 29 rows it is unknown with the same numbers."""
    p, y, side = np.tile([0.02, 0.96, 0.02], (30, 1)), np.full(30, 2), np.ones(30, dtype=int)
    found = forecast_scores("m", p, y, side, independent=30)
    assert (found.verdict, found.alerts) == ("alert", ("hit rate", "calibration", "one-sided"))
    fewer = forecast_scores("m", p[:29], y[:29], side[:29], independent=29)
    assert (fewer.verdict, fewer.hit_rate) == ("unknown", 0.0)


def weight_writers(source: str) -> list[str]:
    """Lines that assign to somebody's ``weights``, or write a table that holds bundles or what was learnt."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                held = target.value if isinstance(target, ast.Subscript) else target
                if isinstance(held, ast.Attribute) and held.attr == "weights":
                    found.append(ast.unparse(node))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("insert", "update", "delete"):
            found += [ast.unparse(node)] if getattr(node.args[0], "id", "") in ("bundles", "training_runs") else []
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.lower()
            found += [words for table in ("bundles", "training_runs") if f"into {table}" in words]
    return found


def test_nothing_in_serving_writes_weights():
    """Weights come sealed in a bundle and change with a new one alone."""
    assert {path.name: found for path in SERVING.glob("*.py") if (found := weight_writers(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source", ["bundle.weights = w", "b.weights[0] += 0.1", "insert(bundles)", "run('INSERT INTO bundles (x)')"]
)
def test_a_writer_of_weights_would_be_found(source):
    """The search can fail."""
    assert weight_writers(source)


def test_three_sides_of_a_thousand_rows_raise_no_alert():
    """Many rows make no few sides trustworthy; the numbers are shown."""
    p = np.tile([0.5, 0.3, 0.2], (1000, 1))
    side = np.zeros(1000, dtype=int)
    side[:3] = 2
    found = forecast_scores("m", p, np.arange(1000) % 2, side, independent=9)
    assert found.bias == -1.0
    assert "one-sided" not in found.alerts
    assert "hit rate" not in found.alerts
