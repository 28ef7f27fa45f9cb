"""How do equity, calibration, drift and feature importance look?

Each function returns one ``<svg>`` element for inlining into a page: text stays text, colours are CSS variables of
the page (so light and dark work), nothing is fetched and no identifier collides with another plot's. Drawn with
matplotlib's figure objects; pyplot and its global state are never touched. Same numbers, same bytes.
"""

import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

import numpy as np

__all__ = ["drift_plot", "equity_plot", "importance_plot", "reliability_plot"]

_INK, _GRID, _BAD = "#010203", "#010204", "#010205"
_SERIES = ("#010206", "#010207", "#010208")
_VARIABLES = {_INK: "--muted", _GRID: "--line", _BAD: "--bad"} | {
    color: f"--series-{i + 1}" for i, color in enumerate(_SERIES)
}


def equity_plot(curves: Sequence[tuple[str, Sequence[int], Sequence[float]]]) -> str:
    """Equity above, drawdown below; each curve is (name, times in ms UTC, equity with 1 at the start)."""
    figure, axes = _figure(rows=2, height=4.6, width=10.6, ratios=(2.2, 1.0))
    top, bottom = axes
    for color, (name, times, equity) in zip(_SERIES, curves, strict=False):
        when = np.asarray(times, dtype="datetime64[ms]")
        value = np.asarray(equity, dtype=np.float64)
        peak = np.maximum.accumulate(np.maximum(value, 1.0))
        top.plot(when, (value - 1.0) * 100.0, color=color, linewidth=1.6, label=name)
        bottom.fill_between(when, -(peak - value) / peak * 100.0, 0.0, color=color, alpha=0.35, linewidth=0)
    top.axhline(0.0, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    top.set_ylabel("gain %")
    top.legend(loc="upper left")
    bottom.set_ylabel("drawdown %")
    _dates(bottom)
    top.tick_params(labelbottom=False)
    return _svg(figure, name="equity", title="Equity after costs, and drawdown below its peak")


def reliability_plot(bins: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> str:
    """Predicted against observed frequency; each entry is (class name, predicted, observed)."""
    figure, (axis,) = _figure(rows=1, height=3.6, width=5.2)
    top = max([v for _, p, o in bins for v in (*p, *o) if np.isfinite(v)], default=1.0)
    limit = min(1.0, top * 1.1)
    axis.plot([0, limit], [0, limit], color=_INK, linewidth=0.8, linestyle=(0, (4, 3)), label="perfectly honest")
    for color, (name, predicted, observed) in zip(_SERIES, bins, strict=False):
        axis.plot(predicted, observed, color=color, marker="o", markersize=4, linewidth=1.2, label=name)
    axis.set_xlim(0, limit)
    axis.set_ylim(0, limit)
    axis.set_xlabel("predicted probability")
    axis.set_ylabel("observed frequency")
    axis.legend(loc="upper left")
    return _svg(figure, name="reliability", title="Predicted probability against what happened")


def drift_plot(columns: Sequence[tuple[str, float, float | None]]) -> str:
    """Bars of PSI with each column's own limit; entries are (name, PSI, limit or None), largest first."""
    figure, (axis,) = _figure(rows=1, height=0.8 + 0.3 * max(len(columns), 1), width=7.4)
    for row, (_, psi, limit) in enumerate(reversed(columns)):
        beyond = limit is not None and psi > limit
        axis.barh(row, psi, height=0.55, color=_BAD if beyond else _SERIES[0])
        if limit is not None:
            axis.plot([limit, limit], [row - 0.4, row + 0.4], color=_INK, linewidth=1.8)
    axis.set_yticks(range(len(columns)), [name for name, _, _ in reversed(columns)])
    axis.set_xlabel("PSI (bar) and its calibrated limit (tick)")
    axis.grid(visible=False, axis="y")
    return _svg(figure, name="drift", title="Population stability index of the columns nearest their limit")


def importance_plot(features: Sequence[tuple[str, float, Sequence[float]]]) -> str:
    """Bars of gain shares with a tick for each fold; entries are (name, share, shares of the folds), largest first."""
    figure, (axis,) = _figure(rows=1, height=0.8 + 0.26 * max(len(features), 1), width=7.4)
    for row, (_, share, folds) in enumerate(reversed(features)):
        axis.barh(row, share * 100.0, height=0.55, color=_SERIES[0])
        for fold in folds:
            axis.plot([fold * 100.0] * 2, [row - 0.36, row + 0.36], color=_SERIES[1], linewidth=1.4)
    axis.set_yticks(range(len(features)), [name for name, _, _ in reversed(features)])
    axis.set_ylim(-0.6, len(features) - 0.4)
    axis.set_xlabel("share of gain, %: final fit (bar) and each fold (ticks)")
    axis.grid(visible=False, axis="y")
    return _svg(figure, name="importance", title="Share of gain of the most important features, final and per fold")


def _figure(
    *, rows: int, height: float, width: float, ratios: tuple[float, ...] | None = None
) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=ratios)
    axes = list(grid[:, 0])
    for axis in axes:
        axis.patch.set_visible(False)
        axis.grid(visible=True, color=_GRID, linewidth=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(colors=_INK, labelsize=9, length=0)
        axis.xaxis.label.set(color=_INK, fontsize=9)
        axis.yaxis.label.set(color=_INK, fontsize=9)
        for side, spine in axis.spines.items():
            spine.set(visible=side in ("left", "bottom"), color=_GRID)
    return figure, axes


def _dates(axis: Any) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(minticks=3, maxticks=8)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
    axis.xaxis.get_offset_text().set(color=_INK, fontsize=9)


def _svg(figure: Any, *, name: str, title: str) -> str:
    """The figure as an inline element: no prologue, no metadata, own identifiers, page colours."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    for axis in figure.axes:
        legend = axis.get_legend()
        if legend is not None:
            legend.get_frame().set_visible(False)
            for text in legend.get_texts():
                text.set(color=_INK, fontsize=9)
    sink = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.patch.set_visible(False)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(sink, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{title}" class="plot plot-{name}"', 1)
