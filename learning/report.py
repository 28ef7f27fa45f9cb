"""What happened, and was the decision right?

``render_report`` turns ``ReportInputs`` into one self-contained HTML page: verdict first, then the evidence in the
order of the lifecycle. Everything is inlined and escaped; nothing is fetched, so the page reads the same offline
and in ten years. Unknown numbers are dashes.
"""

from html import escape

from learning.plots import drift_plot, equity_plot, reliability_plot
from learning.report_forms import badge, gate_number, grid, limit, number, percent, section, share, table, when
from learning.report_inputs import ReportInputs, ScoreRow
from learning.report_style import STYLE

__all__ = ["render_report"]

_DRIFT_BARS = 12
_BADGES = {"NONE": "good", "LOW": "warn", "MEDIUM": "warn", "HIGH": "bad", "BUY": "good", "SELL": "bad"}


def render_report(inputs: ReportInputs) -> str:
    """The page as one HTML document."""
    body = "".join(
        (
            _headline(inputs),
            _gates(inputs),
            _scores(inputs),
            _equity(inputs),
            _calibration(inputs),
            _drift(inputs),
            _signals(inputs),
            _data(inputs),
            _timings(inputs),
            _places(inputs),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(inputs.title)}</title><style>{STYLE}</style></head><body><main>{body}"
        f"<footer>Made {when(inputs.made_ms)} UTC. Bundle <code>{escape(inputs.bundle_hash)}</code></footer>"
        "</main></body></html>"
    )


def _headline(inputs: ReportInputs) -> str:
    passed = sum(gate.passed for gate in inputs.gates)
    word = "Promoted to champion" if inputs.verdict == "promote" else "Not promoted"
    version = "" if inputs.version is None else f" version {inputs.version}"
    champion = "no champion before it" if inputs.champion_hash is None else f"champion {inputs.champion_hash[:12]}"
    facts = [("Gates passed", f"{passed} of {len(inputs.gates)}"), ("Gate profile", inputs.profile)]
    if inputs.parity is not None:
        facts.append(("Served rows identical", share(inputs.parity.identical, inputs.parity.rows)))
    ensemble = next((row for row in inputs.scores if row.role == "ensemble"), None)
    if ensemble is not None:
        facts.append(("Sharpe, walk-forward", number(ensemble.sharpe, 2)))
        facts.append(("Trades, walk-forward", number(ensemble.trades, 0)))
    facts.append(("Drift", inputs.drift_verdict))
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    banner = (
        '<p class="banner" role="note">Synthetic market: these numbers show that the machinery works. '
        "They say nothing about any real market.</p>"
    )
    return (
        f"<header><h1>{escape(inputs.title)}</h1>"
        f'<p class="sub">{escape(inputs.model_name)}{version} on {escape(inputs.timeframe)} bars, '
        f"{escape(champion)}</p>"
        f"</header>{banner if inputs.synthetic else ''}"
        f'<div class="headline {inputs.verdict}"><p class="word">{word}</p>'
        f'<p class="why">{escape(inputs.reason)}</p><dl class="facts">{cells}</dl></div>'
    )


def _gates(inputs: ReportInputs) -> str:
    ordered = sorted(inputs.gates, key=lambda gate: gate.passed)
    rows = [
        (
            f"<td>{badge('passed' if gate.passed else 'failed', 'good' if gate.passed else 'bad')}</td>",
            f'<th scope="row">{escape(_plain(gate.name))}</th>',
            f'<td class="n">{gate_number(gate.measured)}</td>',
            f'<td class="n">{limit(gate.comparison, gate.threshold)}</td>',
            f'<td class="t">{escape(gate.detail)}</td>',
        )
        for gate in ordered
    ]
    note = "Each question that a challenger has to answer. What could not be measured does not pass."
    return table("Promotion gates", note, ("Verdict", "Gate", "#Measured", "#Asked", "In words"), rows)


def _plain(name: str) -> str:
    """A gate's name in words: the column beside it says whether it is a minimum or a maximum."""
    return name.removesuffix("_min").removesuffix("_max").replace("_", " ")


def _scores(inputs: ReportInputs) -> str:
    order = {"ensemble": 0, "model": 1, "baseline": 2}
    scores = sorted(inputs.scores, key=lambda row: order[row.role])
    note = (
        "On bars that were never trained on, decided bar by bar by the serving code, after fees, slippage and funding."
    )
    heads = (
        "Name",
        "#Log loss",
        "#Brier",
        "#Trades",
        "#Hit rate",
        "#Profit factor",
        "#Sharpe",
        "#Drawdown",
        "#Return",
    )
    marks = {"ensemble": "strong", "model": "", "baseline": "quiet"}
    rows = [_score(row) for row in scores]
    return table("Walk-forward results", note, heads, rows, classes=[marks[row.role] for row in scores])


def _score(row: ScoreRow) -> tuple[str, ...]:
    cells = (
        number(row.log_loss, 4),
        number(row.brier, 4),
        number(row.trades, 0),
        percent(row.hit_rate),
        number(row.profit_factor, 2),
        number(row.sharpe, 2),
        percent(row.max_drawdown),
        percent(row.total_return, sign=True),
    )
    role = "" if row.role == "model" else f" ({row.role})"
    head = f'<th scope="row">{escape(row.name)}{role if row.name != row.role else ""}</th>'
    return (head, *(f'<td class="n">{cell}</td>' for cell in cells))


def _equity(inputs: ReportInputs) -> str:
    if not inputs.equity:
        return ""
    plot = equity_plot([(curve.name, curve.time_ms, curve.equity) for curve in inputs.equity])
    return section(
        "Equity and drawdown", "After all costs; sizes are of the starting equity, without compounding.", plot
    )


def _calibration(inputs: ReportInputs) -> str:
    if not inputs.calibration:
        return ""
    plot = reliability_plot([(curve.name, curve.predicted, curve.observed) for curve in inputs.calibration])
    note = "When the model says 40%, does it happen 40% of the time? On the dashed line it does."
    return section("Calibration", note, plot)


def _drift(inputs: ReportInputs) -> str:
    if not inputs.drift:
        return ""
    nearest = sorted(inputs.drift, key=lambda row: -row.psi / (row.psi_threshold or float("inf")))[:_DRIFT_BARS]
    plot = drift_plot([(row.name, row.psi, row.psi_threshold) for row in nearest])
    rows = [
        (
            f'<th scope="row">{escape(row.name)}</th>',
            f"<td>{badge(row.verdict, _BADGES.get(row.verdict, ''))}</td>",
            f'<td class="n">{number(row.psi, 3)}</td>',
            f'<td class="n">{number(row.psi_threshold, 3)}</td>',
            f'<td class="n">{number(row.ks, 3)}</td>',
        )
        for row in nearest
    ]
    kind = _BADGES.get(inputs.drift_verdict, "")
    columns = grid(("Column", "Verdict", "#PSI", "#Limit", "#KS"), rows, label="Drift by column")
    return section(
        "Drift since training", inputs.drift_reason, plot + columns, lead=f"{badge(inputs.drift_verdict, kind)} "
    )


def _signals(inputs: ReportInputs) -> str:
    rows = [
        (
            f'<th scope="row">{when(row.time_ms)}</th>',
            f"<td>{escape(row.symbol)}</td>",
            f"<td>{badge(row.action, _BADGES.get(row.action, ''))}</td>",
            f'<td class="n">{percent(row.confidence)}</td>',
            f'<td class="n">{percent(row.size)}</td>',
            f"<td>{escape(row.state)}</td>",
            f'<td class="t">{escape(row.reason)}</td>',
        )
        for row in inputs.signals
    ]
    heads = ("Bar (UTC)", "Symbol", "Action", "#Confidence", "#Size", "State", "Reason")
    return table("Latest signals", "What was served and why; size is a share of equity.", heads, rows)


def _data(inputs: ReportInputs) -> str:
    rows = [
        (
            f'<th scope="row">{escape(row.symbol)}</th>',
            f"<td>{escape(row.kind)}</td>",
            f"<td>{when(row.first_ms)}</td>",
            f"<td>{when(row.last_ms)}</td>",
            f'<td class="n">{row.rows:,}</td>',
            f'<td class="n">{row.missing:,}</td>',
            f'<td class="n">{percent(row.coverage, digits=2)}</td>',
        )
        for row in inputs.coverage
    ]
    note = "Times in UTC. Missing bars are marked, never filled in for training."
    if inputs.parity is not None:
        parity = inputs.parity
        note += f" Features: {parity.identical:,} of {parity.rows:,} served rows are byte-identical to a batch run."
        note += f" First difference: {parity.first_mismatch}." if parity.first_mismatch else ""
    heads = ("Symbol", "Kind", "First", "Last", "#Bars", "#Missing", "#Coverage")
    return table("Data and parity", note, heads, rows) if rows else section("Data and parity", note, "")


def _timings(inputs: ReportInputs) -> str:
    longest = max((row.seconds for row in inputs.timings), default=0.0)
    rows = [
        (
            f'<th scope="row">{escape(row.step)}</th>',
            f'<td class="n">{row.seconds:,.1f} s</td>',
            f'<td class="wide"><div class="bar" style="width:{100 * row.seconds / (longest or 1):.1f}%"></div></td>',
        )
        for row in inputs.timings
    ]
    total = sum(row.seconds for row in inputs.timings)
    return table(
        "Where the time went", f"{total:,.1f} seconds in all.", ("Step", "#Time", "Share of the longest"), rows
    )


def _places(inputs: ReportInputs) -> str:
    rows = [
        (
            f'<th scope="row">{escape(place.label)}</th>',
            f"<td><code>{escape(place.where)}</code></td>",
            f'<td class="t">{escape(place.note)}</td>',
        )
        for place in inputs.places
    ]
    return table("Where to look next", "", ("What", "Command or address", ""), rows)
