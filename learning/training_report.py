"""How good is what was just trained, on bars it never saw?

``render_training`` turns a ``TrainingReport`` into one self-contained HTML page: what is known first, how surely, and
then where it came from. Everything is inlined and escaped; nothing is fetched. Unknown numbers are dashes.
"""

from collections.abc import Sequence
from html import escape

from learning.plots import equity_plot, importance_plot, reliability_plot
from learning.report_forms import grid, number, percent, ranged, section, share, table, when
from learning.report_style import STYLE
from learning.training_report_inputs import Range, TrainingReport
from learning.training_report_tables import breakdown, differences, folds, strategies, trials

__all__ = ["render_training"]

_STEPS = {
    "TAKEN": "traded",
    "NOT_ELIGIBLE": "no valid features at the bar",
    "NO_QUORUM": "too few models had an answer",
    "NOT_FINITE": "a probability was no number",
    "NO_VOTE": "no model was sure enough",
    "EVEN_SPLIT": "buyers and sellers weighed the same",
    "NO_CONSENSUS": "the models did not agree",
    "VOLATILITY": "the market was too wild",
    "SUPERVISOR": "too many of the last trades took the same side",
    "POSITION_OPEN": "a position was open already",
    "MAX_POSITIONS": "as many positions as allowed were open",
    "MAX_EXPOSURE": "as much exposure as allowed was on",
    "NO_EVENT": "the bar was no event",
}


def render_training(report: TrainingReport) -> str:
    """The page as one HTML document."""
    body = "".join(
        (
            _headline(report),
            _facts(report),
            strategies(report),
            differences(report),
            _equity(report),
            _calibration(report),
            _importance(report),
            _shares(report),
            folds(report),
            breakdown(report),
            _steps(report),
            trials(report),
            _timings(report),
        )
    )
    title = f"Training of {report.model_name}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}"
        f"<footer>Made {when(report.made_ms)} UTC. Bundle <code>{escape(report.bundle_hash)}</code></footer>"
        "</main></body></html>"
    )


def _headline(report: TrainingReport) -> str:
    word, kind = _verdict(report.skill)
    sure = f"{percent(report.confidence, digits=0)} interval"
    why = (
        f"Skill against class shares (climatology) is {number(report.skill.value, 4)} nats a bar, {sure} "
        f"{number(report.skill.low, 4)} to {number(report.skill.high, 4)}, on bars that no model had seen."
    )
    ours = next((line for line in report.strategies if line.scores.role == "ensemble"), None)
    cells = []
    if ours is not None:
        cells += [
            ("Net return", ranged(ours.net_return, lambda value: percent(value, sign=True, digits=2))),
            ("Sharpe, a year", ranged(ours.sharpe, lambda value: number(value, 2))),
            ("Trades", number(ours.scores.trades, 0)),
        ]
    cells += [
        ("Smallest skill to be seen", f"{number(report.detectable_skill, 4)} nats"),
        ("Smallest Sharpe to be seen", number(report.detectable_sharpe, 2)),
        ("Trials on this data", f"{report.trials:,}"),
        ("Deflated Sharpe", percent(report.deflated_sharpe)),
        ("Overfitting (PBO)", percent(report.overfitting)),
    ]
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in cells)
    banner = (
        '<p class="banner" role="note">Synthetic market: these numbers show that the machinery works. '
        "They say nothing about any real market.</p>"
    )
    return (
        f"<header><h1>Training of {escape(report.model_name)}</h1>"
        f'<p class="sub">{escape(report.timeframe)} bars, {escape(report.period)}; bundle '
        f"<code>{escape(report.bundle_hash[:12])}</code></p></header>{banner if report.synthetic else ''}"
        f'<div class="headline {kind}"><p class="word">{word}</p><p class="why">{escape(why)}</p>'
        f'<dl class="facts">{facts}</dl></div>'
    )


def _verdict(skill: Range) -> tuple[str, str]:
    if skill.low is None or skill.high is None:
        return "Too short to be judged", "plain"
    if skill.low > 0.0:
        return "Better than the class shares alone", "promote"
    return (
        ("Worse than the class shares alone", "refuse")
        if skill.high < 0.0
        else ("Cannot be told from the class shares alone", "plain")
    )


def _facts(report: TrainingReport) -> str:
    rows = [
        (
            f'<th scope="row">{escape(fact.name)}</th>',
            f'<td class="t">{f"<code>{escape(fact.value)}</code>" if fact.code else escape(fact.value)}</td>',
        )
        for fact in report.facts
    ]
    return table("What was trained on", "Equal data, settings and code give this bundle again.", ("", ""), rows)


def _equity(report: TrainingReport) -> str:
    if not report.equity:
        return ""
    plot = equity_plot([(curve.name, curve.time_ms, curve.equity) for curve in report.equity])
    note = "Out of fold, after all costs; sizes are of the starting equity, without compounding."
    return section("Equity and drawdown", note, plot)


def _calibration(report: TrainingReport) -> str:
    if not report.calibration:
        return ""
    plot = reliability_plot([(curve.name, curve.predicted, curve.observed) for curve in report.calibration])
    note = (
        "When the ensemble says 40%, does it happen 40% of the time? On the dashed line it does. Slope "
        f"{number(report.calibration_slope, 2)}: 1 is calibrated, below it is overconfident, above it underconfident."
    )
    return section("Reliability per class", note, plot)


def _importance(report: TrainingReport) -> str:
    if not report.importance:
        return ""
    plot = importance_plot([(one.name, one.final, one.folds) for one in report.importance])
    count = len(report.importance[0].folds)
    rows = [
        (
            f'<th scope="row"><code>{escape(one.name)}</code></th>',
            f'<td class="n">{percent(one.final)}</td>',
            f'<td class="n">{percent(min(one.folds, default=None))}</td>',
            f'<td class="n">{percent(max(one.folds, default=None))}</td>',
            f'<td class="n">{one.among_first} of {count}</td>',
        )
        for one in report.importance
    ]
    note = (
        f"Share of the models' gain: bar in the final fit, ticks in each fold. Mean rank correlation of the folds with "
        f"the final fit over all features: {number(report.stability, 2)} (1 is the same order)."
    )
    heads = ("Feature", "#Final", "#Least", "#Most", f"#Among the first {len(report.importance)}")
    return section("Feature importance and its stability", note, plot + _folded(heads, rows))


def _folded(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"<details><summary>As a table</summary>{grid(heads, rows, label='Feature importance')}</details>"


def _shares(report: TrainingReport) -> str:
    rows = [
        (f'<th scope="row">{escape(name)}</th>', *(f'<td class="n">{percent(value)}</td>' for value in values))
        for name, values in report.shares
    ]
    note = "How often each class was, was most likely, and was expected on average."
    return table("Class shares", note, ("", "#HOLD", "#BUY", "#SELL"), rows)


def _steps(report: TrainingReport) -> str:
    total = sum(count for _, count in report.steps)
    rows = [
        (
            f'<th scope="row">{escape(_STEPS.get(name, name.lower().replace("_", " ")))}</th>',
            f'<td class="n">{count:,}</td>',
            f'<td class="n">{share(count, total)}</td>',
            f'<td class="wide"><div class="bar" style="width:{100 * count / (total or 1):.1f}%"></div></td>',
        )
        for name, count in report.steps
    ]
    note = f"What became of {total:,} decisions of the serving code: the first rule that held each of them."
    return table("Decision funnel", note, ("Outcome", "#Decisions", "#Share", ""), rows)


def _timings(report: TrainingReport) -> str:
    longest = max((row.seconds for row in report.timings), default=0.0)
    rows = [
        (
            f'<th scope="row">{escape(row.step)}</th>',
            f'<td class="n">{row.seconds:,.1f} s</td>',
            f'<td class="wide"><div class="bar" style="width:{100 * row.seconds / (longest or 1):.1f}%"></div></td>',
        )
        for row in report.timings
    ]
    return table("Where the time went", "", ("Stage", "#Time", ""), rows)
