"""How does the worker run for ever in one process?

It asks before each bar who is champion, serves, and waits for the next close. Once started it needs neither MLflow nor
Prefect; a thread beside it looks at MLflow for aliases that somebody moved. Bars come from ``lockstep collect``, run
beside it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from types import FrameType

from infra.bootstrap import App, open_app
from infra.locks import LockHeldError, exclusive
from registry.look import NOTHING_WRONG, RegistryLook
from serving.adoption import adopt
from serving.lineup import Lineup
from serving.summary import ServeSummary
from serving.worker import serve_forever
from tasks.lineups import champion_lineup
from tasks.plan import venue_rule
from tasks.registry_watch import Watched, watching_registry
from tasks.serving import serve_plan, served_symbols
from tasks.stores import bundle_cache
from tasks.symbols import symbols_in_use

__all__ = ["serve_live"]

_STANDBY_S = 0.5


def serve_live(home: str, *, say: Callable[[str], None], standby: bool = False) -> None:
    """Serve each bar as it closes until SIGINT or SIGTERM.

    With ``standby`` wait while another worker serves, and take over within seconds of its end, however it ended: bars
    it did not serve are caught up, bars it served are in the database and are not repeated.
    """
    stop = Event()
    told = False

    def stand_by() -> bool:
        nonlocal told
        if standby and not told:
            say("standing by: another worker serves this model")
            told = True
        return standby and not stop.wait(_STANDBY_S)

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with open_app(home) as app, _serving(app, stop, stand_by) as free:
            if not free:
                return
            if told:
                say("taking over: the other worker is gone")
            first = champion_lineup(app)
            plan = serve_plan(app, served_symbols(app, first, symbols_in_use(app)), run="live")
            look = RegistryLook(cause=first.cause, detail=first.detail) if first.champion else NOTHING_WRONG
            seen = Watched(look=look, challengers=first.challengers)
            every_s = app.settings.registry.watch_s
            with watching_registry(app, every_s=every_s, contract=plan.contract, first=seen, say=say) as watched:

                def who_serves(loaded: Lineup | None) -> Lineup:
                    return adopt(
                        app.engine,
                        bundle_cache(app),
                        model_name=plan.model_name,
                        contract=plan.contract,
                        loaded=loaded or first,
                        challengers=watched().challengers,
                        look=watched().look,
                    )

                serve_forever(
                    app.engine,
                    app.lake,
                    plan=plan,
                    venue=venue_rule(app.settings),
                    adopt=who_serves,
                    stop=stop,
                    settle_delay_ms=app.settings.data.settle_delay_s * 1000,
                    on_bar=lambda summary: say(_in_words(summary)),
                    on_error=lambda error, cause: say(f"{cause}: {error}"),
                )
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _serving(app: App, stop: Event, stand_by: Callable[[], bool]) -> Iterator[bool]:
    """Hold the right to serve this model; False where somebody asked to stop while standing by."""
    with ExitStack() as held:
        try:
            held.enter_context(
                exclusive(app.engine, f"serving of {app.settings.registry.model_name}", stand_by=stand_by)
            )
        except LockHeldError:
            if not stop.is_set():
                raise
            yield False
            return
        yield True


def _in_words(summary: ServeSummary) -> str:
    reasons = ", ".join(f"{count} {name}" for name, count in summary.reasons.items())
    return f"bar {summary.last_index}: {summary.signals} signals ({reasons})"
