"""Which scorecards does a home hold, and how do they look?

Names of models come from the bundle in the cache, which is verified as it is read; where it is not there they are
numbered.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import time_ns
from typing import Any

from infra.bootstrap import App
from learning.scorecards import read_scorecard, scored_bundles
from market.errors import LockstepError
from market.timeframe import DAY_MS
from serving.paper_book import bundle_named
from tasks.stores import bundle_cache

__all__ = ["make_scorecards", "write_reliability"]


def make_scorecards(app: App, *, bundle: str | None, days: int, now_ms: int | None = None) -> dict[str, Any]:
    """A card for every bundle that predicted, or for the one whose hash begins so, over the newest days."""
    until_ms = time_ns() // 1_000_000 if now_ms is None else now_ms
    since_ms = until_ms - days * DAY_MS
    model_name = app.settings.registry.model_name
    chosen = None if bundle is None else bundle_named(app.engine, model_name, bundle)
    with app.engine.connect() as connection:
        found = scored_bundles(connection, model_name) if chosen is None else (chosen,)
        cards = [
            read_scorecard(connection, one, since_ms=since_ms, until_ms=until_ms, model_names=_names(app, one))
            for one in found
        ]
    return {
        "model_name": model_name,
        "since_ms": since_ms,
        "until_ms": until_ms,
        "bundles": [asdict(card) for card in cards if card is not None],
    }


def write_reliability(result: Mapping[str, Any], path: Path) -> None:
    """A PNG with one panel a bundle: how sure the forecasts were against how often they were right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cards = result["bundles"]
    figure = Figure(figsize=(5.2, 4.4 * max(len(cards), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, card in enumerate(cards):
        axis = figure.add_subplot(len(cards), 1, row + 1)
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--", label="calibrated")
        for one in card["forecasts"]:
            axis.plot(one["bins"]["confidence"], one["bins"]["happened"], marker="o", markersize=4, label=one["name"])
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence in the likeliest class", ylabel="share that happened")
        axis.set_title(f"version {card['version']} ({card['bundle_hash'][:12]}), n = {card['forecasts'][0]['n']}")
        axis.legend(loc="upper left")
    figure.savefig(path, format="png", dpi=120)


def _names(app: App, bundle_hash: str) -> tuple[str, ...] | None:
    try:
        return bundle_cache(app).load(bundle_hash).model_names
    except LockstepError:
        return None
