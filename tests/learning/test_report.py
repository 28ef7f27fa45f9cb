"""The HTML report and its plots."""

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser

import numpy as np
import pytest

from learning.plots import drift_plot, equity_plot, reliability_plot
from learning.report import render_report
from learning.report_inputs import (
    CalibrationCurve,
    CoverageRow,
    DriftRow,
    EquityCurve,
    GateRow,
    Parity,
    Place,
    ReportInputs,
    ScoreRow,
    SignalRow,
    Timing,
)

START = 1_760_000_000_000
HOUR = 3_600_000


def full_report() -> ReportInputs:
    """A report with every section filled."""
    rng = np.random.default_rng(4)
    times = tuple(START + HOUR * i for i in range(0, 1200, 4))
    curves = [1.0 + np.cumsum(rng.normal(drift, 0.004, len(times))) for drift in (0.0009, 0.0002)]
    bins = np.linspace(0.08, 0.62, 10)
    gates = [
        ("integrity", None, None, "is", True, "The bundle is complete and unchanged."),
        ("coverage_min", 0.9991, 0.95, ">=", True, "The thinnest symbol has 99.91% of its bars; needs at least 0.95."),
        (
            "skill_climatology_min",
            0.0121,
            0.0,
            ">=",
            True,
            "Walk-forward against class shares alone: +0.0213 nats a bar (95% interval +0.0121 to +0.0307).",
        ),
        ("deflated_sharpe_min", 0.87, 0.9, ">=", False, "After 14 trials the edge is real with probability 0.870."),
        ("walk_forward_drawdown_max", 0.064, 0.2, "<=", True, "Equity fell 6.4% from its peak at worst."),
        ("shadow_harm_max", 0.31, 20.0, "<=", True, "Evidence that it is worse in shadow: e-value 0.31 (1 is none)."),
    ]
    keys = ("name", "measured", "threshold", "comparison", "passed", "detail")
    return ReportInputs(
        title="Lockstep demo: one model from data to decision",
        model_name="lockstep",
        version=3,
        bundle_hash="9f2c4e1ab07d55e1c3",
        champion_hash="41d0aa93bb67c2e8",
        verdict="refuse",
        reason="1 of 6 gates did not pass (deflated_sharpe_min). First: the edge is real with probability 0.870.",
        synthetic=True,
        timeframe="5m",
        profile="paper",
        made_ms=START + 2000 * HOUR,
        coverage=tuple(
            CoverageRow(
                symbol=symbol,
                kind="candles",
                first_ms=START,
                last_ms=times[-1],
                rows=14_400,
                missing=missing,
                coverage=1 - missing / 14_400,
            )
            for symbol, missing in (("BTCUSDT", 0), ("ETHUSDT", 3), ("SOLUSDT", 12))
        ),
        parity=Parity(rows=1728, identical=1728),
        scores=(
            ScoreRow(
                name="lightgbm",
                role="model",
                log_loss=1.0312,
                brier=0.6121,
                trades=143,
                hit_rate=0.538,
                profit_factor=1.21,
                sharpe=1.12,
                max_drawdown=0.071,
                total_return=0.062,
            ),
            ScoreRow(name="xgboost", role="model", log_loss=1.0334, brier=0.6133, trades=138, sharpe=0.94),
            ScoreRow(name="logistic", role="model", log_loss=1.0409, brier=0.6190, trades=97, sharpe=-0.41),
            ScoreRow(
                name="ensemble",
                role="ensemble",
                log_loss=1.0288,
                brier=0.6104,
                trades=131,
                hit_rate=0.547,
                profit_factor=1.33,
                sharpe=1.48,
                max_drawdown=0.064,
                total_return=0.081,
            ),
            ScoreRow(name="climatology", role="baseline", log_loss=1.0501, brier=0.6312),
            ScoreRow(name="no trade", role="baseline", trades=0, max_drawdown=0.0, total_return=0.0),
        ),
        gates=tuple(GateRow(**dict(zip(keys, gate, strict=True))) for gate in gates),
        equity=tuple(
            EquityCurve(name=name, time_ms=times, equity=tuple(curve.tolist()))
            for name, curve in zip(("ensemble", "logistic"), curves, strict=True)
        ),
        calibration=tuple(
            CalibrationCurve(
                name=name,
                predicted=tuple(bins.tolist()),
                observed=tuple((bins + rng.normal(0, 0.02, 10)).clip(0, 1).tolist()),
            )
            for name in ("HOLD", "BUY", "SELL")
        ),
        drift_verdict="MEDIUM",
        drift_reason="1 of 40 columns are beyond their limit; furthest funding_z with PSI 0.214 (limit 0.150).",
        drift=tuple(
            DriftRow(name=name, verdict=verdict, psi=psi, psi_threshold=limit, ks=psi / 3)
            for name, verdict, psi, limit in (
                ("funding_z", "MEDIUM", 0.214, 0.150),
                ("atr_pct", "NONE", 0.181, 0.262),
                ("realized_vol_288", "NONE", 0.310, 0.494),
                ("rsi_14", "NONE", 0.011, 0.031),
                ("volume_ratio", "NONE", 0.013, 0.052),
                ("beta_btc_288", "NONE", 0.090, 0.410),
            )
        ),
        signals=(
            SignalRow(
                time_ms=times[-1],
                symbol="BTCUSDT",
                action="BUY",
                confidence=0.561,
                size=0.031,
                state="FULL",
                reason="3 of 3 models agree",
            ),
            SignalRow(
                time_ms=times[-1],
                symbol="ETHUSDT",
                action="HOLD",
                confidence=0.402,
                size=0.0,
                state="FULL",
                reason="below the threshold of this side",
            ),
            SignalRow(
                time_ms=times[-1],
                symbol="SOLUSDT",
                action="HOLD",
                confidence=None,
                size=None,
                state="FLAT",
                reason="funding unknown: no decision without it",
            ),
        ),
        timings=tuple(
            Timing(step=step, seconds=seconds)
            for step, seconds in (
                ("collect", 4.2),
                ("features", 1.1),
                ("walk-forward training", 61.0),
                ("shadow", 12.4),
                ("register and promote", 9.7),
            )
        ),
        places=(
            Place(label="Model registry", where="mlflow ui --backend-store-uri ...", note="versions, aliases, metrics"),
            Place(label="Flows", where="prefect server start", note="runs, schedules, artifacts"),
        ),
    )


class Outline(HTMLParser):
    """Open tags must close in order; collects identifiers, references and headings."""

    VOID = frozenset({"meta", "path", "use", "rect", "line", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        """Note the tag and what it names or refers to."""
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id"]
        self.references += [v for k, v in attrs if k in {"src", "href", "xlink:href", "action", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """A tag that closes itself."""
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        """The innermost open tag must be the one that closes."""
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return render_report(full_report())


def test_page_is_well_formed_and_self_contained(page):
    """Tags close in order, identifiers are unique, and nothing outside the page is referenced."""
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert all(reference.startswith("#") for reference in outline.references)
    assert not {"script", "link", "iframe", "img"} & set(outline.tags)
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_references_inside_plots_resolve(page):
    """Every clip path and marker of every plot points at an identifier of the same page."""
    outline = Outline()
    outline.feed(page)
    used = set(re.findall(r"url\(#([^)]+)\)", page)) | {r[1:] for r in outline.references}
    assert used
    assert used <= set(outline.ids)


def test_every_section_is_there_in_the_order_of_reading(page):
    """Verdict, gates, results, plots, signals, data, timings and places appear, in that order."""
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "Promotion gates",
        "Walk-forward results",
        "Equity and drawdown",
        "Calibration",
        "Drift since training",
        "Latest signals",
        "Data and parity",
        "Where the time went",
        "Where to look next",
    ]
    assert "Not promoted" in page
    assert "5 of 6" in page
    assert "1,728 of 1,728 served rows" in page


def test_failed_gates_come_first_with_their_badges(page):
    """The reader sees what failed before what passed."""
    gates = page[page.index("Promotion gates") : page.index("Walk-forward results")]
    words = re.findall(r'badge (?:good|bad)">(\w+)<', gates)
    assert words == ["failed", "passed", "passed", "passed", "passed", "passed"]
    assert "deflated sharpe</th>" in gates
    assert gates.index("deflated sharpe") < gates.index("integrity")


def test_synthetic_runs_carry_a_banner_and_real_ones_do_not(page):
    """Nobody can take a synthetic page for a real result."""
    assert "Synthetic market" in page
    assert "Synthetic market" not in render_report(replace(full_report(), synthetic=False))


def test_a_promotion_says_so():
    """The headline follows the verdict."""
    got = render_report(replace(full_report(), verdict="promote", champion_hash=None))
    assert "Promoted to champion" in got
    assert "no champion before it" in got
    assert "Not promoted" not in got


def test_unknown_numbers_are_dashes_and_empty_sections_are_left_out():
    """A page with nothing measured holds no zero, no nan and no empty table."""
    bare = ReportInputs(
        title="t",
        model_name="m",
        version=None,
        bundle_hash="h",
        champion_hash=None,
        verdict="refuse",
        reason="Nothing was tested.",
        synthetic=False,
        timeframe="5m",
        profile="paper",
        made_ms=START,
        scores=(ScoreRow(name="ensemble", role="ensemble", sharpe=float("nan")),),
    )
    got = render_report(bare)
    assert re.findall(r"<h2>(.*?)</h2>", got) == ["Walk-forward results", "Data and parity"]
    assert "nan" not in got.lower().replace("finance", "")
    assert "<tbody></tbody>" not in got
    assert "\u2013" in got


def test_texts_cannot_break_the_page():
    """Markup in any text is shown, not run."""
    evil = '<script>alert("x")</script>'
    inputs = full_report()
    got = render_report(
        replace(
            inputs,
            title=evil,
            reason=evil,
            drift_reason=evil,
            gates=(replace(inputs.gates[0], name=evil, detail=evil),),
            signals=(replace(inputs.signals[0], reason=evil, symbol=evil, action=evil, state=evil),),
            drift=(replace(inputs.drift[0], name=evil),),
            equity=(replace(inputs.equity[0], name=evil),),
            places=(replace(inputs.places[0], where=evil),),
        )
    )
    assert "<script" not in got
    outline = Outline()
    outline.feed(got)
    assert outline.open == []


def test_inputs_survive_json():
    """The inputs are plain values."""
    once = json.loads(json.dumps(asdict(full_report()), allow_nan=False))
    assert once["gates"][3]["passed"] is False
    assert once["parity"] == {"rows": 1728, "identical": 1728, "first_mismatch": ""}


def test_plots_are_reproducible_and_follow_the_page_colours():
    """The same numbers give the same bytes, with colours left to the page's light or dark scheme."""
    points = ([START, START + HOUR, START + 2 * HOUR], [1.0, 1.1, 0.9])
    first, again = (equity_plot([("ensemble", *points)]) for _ in range(2))
    assert first == again
    assert "var(--series-1)" in first
    assert "#01020" not in first
    assert "<text" in first
    bars = drift_plot([("a", 0.3, 0.2), ("b", 0.1, 0.2), ("c", 0.1, None)])
    assert bars.count("var(--bad)") == 1
    assert 'aria-label="Predicted probability' in reliability_plot([("BUY", [0.1, float("nan")], [0.2, float("nan")])])


@pytest.mark.parametrize("hours", [3, 30, 110, 400, 3000, 20_000])
def test_equity_of_any_length_has_dates_without_complaint(hours):
    """From hours to years: the axis finds ticks, and no library warns (warnings are errors here)."""
    times = [START + HOUR * hours * i // 50 for i in range(51)]
    assert equity_plot([("ensemble", times, [1.0] * 51)]).count("<text") > 5


def test_drawing_leaves_the_global_settings_alone():
    """Plots neither import pyplot nor change matplotlib's settings for others."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    equity_plot([("x", [START, START + HOUR], [1.0, 1.1])])
    assert dict(mpl.rcParams) == before
