"""How does the worker run for ever in one process?

It collects the newest bars where an exchange is followed, asks who is champion, serves, and waits for the next close.
"""

import signal
from collections.abc import Callable
from threading import Event
from types import FrameType

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from registry.deployments import current_champion
from serving.lineup import Lineup
from serving.summary import ServeSummary
from serving.worker import serve_forever
from tasks.collecting import symbols_in_use
from tasks.lineups import champion_lineup
from tasks.serving import serve_plan, served_symbols

__all__ = ["serve_live"]


def serve_live(home: str, *, say: Callable[[str], None]) -> None:
    """Serve each bar as it closes until SIGINT or SIGTERM."""
    stop = Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with open_app(home) as app, exclusive(app.engine, f"serving of {app.settings.registry.model_name}"):
            first = champion_lineup(app)
            plan = serve_plan(app, served_symbols(first, symbols_in_use(app)), run="live")
            serve_forever(
                app.engine,
                app.lake,
                plan=plan,
                adopt=lambda loaded: _adopt(app, loaded),
                stop=stop,
                settle_delay_ms=app.settings.data.settle_delay_s * 1000,
                on_bar=lambda summary: say(_in_words(summary)),
                on_error=lambda error, cause: say(f"{cause}: {error}"),
            )
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _adopt(app: App, loaded: Lineup | None) -> Lineup:
    """The loaded line-up while the deployment row has not changed; the new one, verified, when it has."""
    deployed = current_champion(app.engine, app.settings.registry.model_name)
    serving = None if loaded is None or loaded.champion is None else loaded.champion.bundle.hash
    if loaded is not None and serving == (None if deployed is None else deployed.bundle_hash):
        return loaded
    return champion_lineup(app)


def _in_words(summary: ServeSummary) -> str:
    reasons = ", ".join(f"{count} {name}" for name, count in summary.reasons.items())
    return f"bar {summary.last_index}: {summary.signals} signals ({reasons})"
