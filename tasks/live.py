"""How does the worker run for ever in one process?

It asks before each bar who is champion, serves, and waits for the next close, woken by whoever stores bars. Once
started it needs neither MLflow nor Prefect; a thread beside it looks at MLflow for aliases that somebody moved. Bars
come from ``lockstep collect``, run beside it. Several workers share the symbols (``serving.shares``).
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from time import monotonic
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from infra.bell import listening
from infra.bootstrap import App, open_app
from infra.locks import LockHeldError, present
from registry.look import NOTHING_WRONG, RegistryLook
from serving.adoption import adopt
from serving.lineup import Lineup
from serving.shares import lease_name
from serving.stages import record_stop
from serving.summary import ServeSummary
from serving.worker import serve_forever
from tasks.lineups import champion_lineup
from tasks.plan import contract_of, timeframe_of, venue_rule
from tasks.registry_watch import Watched, watching_registry
from tasks.serving import share_plan
from tasks.share_holding import ShareHolder
from tasks.stores import bundle_cache

__all__ = ["serve_live"]

_BALANCE_S = 0.5
_PATIENCE_S = 5.0  # in which workers that hold too much hand over to a new one
Say = Callable[[str], None]


def serve_live(home: str, *, say: Say, standby: bool = False) -> None:
    """Serve each bar as it closes until SIGINT or SIGTERM.

    With ``standby`` wait while other workers serve everything, and take over within seconds of the end of one, however
    it ended: bars it did not serve are caught up, bars it served are in the database and are not repeated. Without it
    a worker for which nothing is left raises ``LockHeldError``.
    """
    with _asked_to_stop() as stop, open_app(home) as app:
        name, shares = app.settings.registry.model_name, app.settings.serving.shares
        with present(app.engine, f"workers of {name}") as workers:
            holder = ShareHolder(
                app.engine,
                model_name=name,
                shares=shares,
                workers=workers,
                serve=lambda share, ended: _serve_share(app, share, ended, say),
            )
            try:
                _hold(holder, stop, say, standby=standby, patience_s=0.0 if shares == 1 else _PATIENCE_S, name=name)
            finally:
                served = bool(holder.held)
                holder.close()
            if served:
                _record_stop(app, say)


def _hold(holder: ShareHolder, stop: Event, say: Say, *, standby: bool, patience_s: float, name: str) -> None:
    """Keep as many shares as are ours until asked to stop."""
    began, told = monotonic(), False
    before: tuple[int, ...] = ()
    while not stop.is_set():
        holder.balance()
        if not holder.held and not before and monotonic() - began >= patience_s:
            if not standby:
                raise LockHeldError(
                    f"another {lease_name(name, 0, 1)} is running on this home",
                    why="two at once would do the same work twice",
                    remedy="stop it, or start this one with --standby, which takes over when it ends",
                )
            if not told:
                say("standing by: another worker serves this model")
                told = True
        if told and holder.held and not before:
            say("taking over: the other worker is gone")
        before = holder.held
        stop.wait(_BALANCE_S)


def _serve_share(app: App, share: int, stop: Event, say: Say) -> None:
    """Serve one share of the symbols until ``stop`` is set."""
    first = champion_lineup(app)
    look = RegistryLook(cause=first.cause, detail=first.detail) if first.champion else NOTHING_WRONG
    seen = Watched(look=look, challengers=first.challengers)
    contract, every_s = contract_of(app.settings), app.settings.registry.watch_s
    with (
        watching_registry(app, every_s=every_s, contract=contract, first=seen, say=say) as watched,
        listening(app.engine, stop) as bell,
    ):

        def who_serves(loaded: Lineup | None) -> Lineup:
            return adopt(
                app.engine,
                bundle_cache(app),
                model_name=app.settings.registry.model_name,
                contract=contract,
                loaded=loaded or first,
                challengers=watched().challengers,
                look=watched().look,
            )

        serve_forever(
            app.engine,
            app.lake,
            plan_for=lambda lineup: share_plan(app, lineup, share),
            timeframe=timeframe_of(app.settings),
            venue=venue_rule(app.settings),
            adopt=who_serves,
            stop=stop,
            pause=bell.wait,
            settle_delay_ms=app.settings.data.settle_delay_s * 1000,
            on_bar=lambda summary: say(_in_words(summary)),
            on_error=lambda error, cause: say(f"{cause}: {error}"),
        )


def _record_stop(app: App, say: Say) -> None:
    """Say that this silence is on purpose; without a database it counts as one that nobody planned."""
    try:
        record_stop(
            app.engine, model_name=app.settings.registry.model_name, why="SIGINT or SIGTERM", who="lockstep serve"
        )
    except SQLAlchemyError as error:
        say(f"the stop could not be recorded: {error}")


@contextmanager
def _asked_to_stop() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set during the block."""
    stop = Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _in_words(summary: ServeSummary) -> str:
    reasons = ", ".join(f"{count} {name}" for name, count in summary.reasons.items())
    return f"bar {summary.last_index}: {summary.signals} signals ({reasons})"
