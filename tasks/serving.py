"""How are bars served by a command: a stretch of the past, or what has just closed?

Both go through the worker. The served stretch is the last one of the plan; live serving reads the clock.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from market.errors import LockstepError
from market.timeframe import as_utc
from serving.ledger import open_symbols
from serving.lineup import Lineup, ServePlan
from serving.outcomes import resolve_outcomes
from serving.shares import lease_name, symbols_of_share
from serving.signal_feed import LIVE_RUN
from serving.summary import combined
from serving.worker import replay, serve_once
from tasks.lineups import bundle_symbols, champion_lineup, first_seat
from tasks.plan import barrier_spec, contract_of, venue_rule
from tasks.progress import report
from tasks.symbols import symbols_in_use
from tasks.windows import current_window

__all__ = ["replay_stretch", "serve_latest", "serve_plan", "served_symbols", "share_plan"]


@task(cache_policy=NO_CACHE)
def replay_stretch(home: str, *, start_ms: int | None = None, end_ms: int | None = None) -> dict[str, object]:
    """Serve ``[start_ms, end_ms)``, by default the last stretch of the plan, as each bar was known then."""
    with open_app(home) as app, _serving_alone(app):
        window = current_window(app)
        lineup = champion_lineup(app)
        timeframe = window.timeframe
        first = window.stretches.shadow_end if start_ms is None else timeframe.index_of(start_ms)
        end = window.stretches.serve_end if end_ms is None else timeframe.index_of(end_ms)
        if not window.stretches.first <= first < end <= window.stretches.serve_end:
            held = (as_utc(timeframe.open_time(i)) for i in (window.stretches.first, window.stretches.serve_end))
            raise LockstepError(
                f"{as_utc(timeframe.open_time(first))} to {as_utc(timeframe.open_time(end))} cannot be replayed",
                why=f"the lake holds the bars from {' to '.join(held)} UTC, and a stretch begins before it ends",
                remedy="choose a stretch inside it, or backfill",
            )
        symbols = served_symbols(app, lineup, lambda: window.symbols)
        seat = first_seat(lineup)
        plans = _plans(app, symbols, run="replay")
        summary = combined(
            replay(
                app.engine,
                app.lake,
                lineup,
                plan=plan,
                start_index=first,
                end_index=end,
                on_progress=lambda done, total, k=k: report(  # type: ignore[misc]
                    "serve replay", k * total + done, len(plans) * total
                ),
            )
            for k, plan in enumerate(plans)
        )
        outcomes = resolve_outcomes(
            app.engine,
            app.lake,
            label_spec=barrier_spec(app.settings) if seat is None else seat.bundle.label_spec,
            contract=contract_of(app.settings),
            symbols=symbols,
            start_index=first,
            end_index=end,
        )
        return {
            **asdict(summary),
            "first_ms": timeframe.open_time(first),
            "last_ms": timeframe.open_time(end - 1),
            "cause": lineup.cause,
            "detail": lineup.detail,
            "outcomes": asdict(outcomes),
        }


@task(cache_policy=NO_CACHE)
def serve_latest(home: str, *, now_ms: int) -> dict[str, object]:
    """Serve every bar that closed since the last served one, as known now."""
    with open_app(home) as app, _serving_alone(app):
        lineup = champion_lineup(app)
        venue = venue_rule(app.settings)
        symbols = served_symbols(app, lineup, lambda: symbols_in_use(app))
        summary = combined(
            serve_once(app.engine, app.lake, lineup, plan=plan, now_ms=now_ms, venue=venue)
            for plan in _plans(app, symbols, run=LIVE_RUN)
        )
        return {**asdict(summary), "cause": lineup.cause, "detail": lineup.detail}


def serve_plan(app: App, symbols: tuple[str, ...], *, run: str, share: int = 0) -> ServePlan:
    """What is served under these settings; ``symbols`` are those of the share."""
    return ServePlan(
        model_name=app.settings.registry.model_name,
        symbols=symbols,
        contract=contract_of(app.settings),
        run=run,
        max_age_bars=app.settings.serving.max_age_bars,
        max_model_age_days=app.settings.serving.max_model_age_days,
        arming_needed=run == LIVE_RUN and app.settings.serving.mode == "live",
        max_error_bars=app.settings.serving.max_error_bars,
        shares=app.settings.serving.shares,
        share=share,
    )


def share_plan(app: App, lineup: Lineup, share: int, *, run: str = LIVE_RUN) -> ServePlan:
    """What is served of one share now: it follows the line-up and the universe."""
    symbols = served_symbols(app, lineup, lambda: symbols_in_use(app))
    return serve_plan(app, symbols_of_share(symbols, share, app.settings.serving.shares), run=run, share=share)


def _plans(app: App, symbols: tuple[str, ...], *, run: str) -> list[ServePlan]:
    """One plan a share that has symbols, in order."""
    shares = app.settings.serving.shares
    parts = [(share, symbols_of_share(symbols, share, shares)) for share in range(shares)]
    return [serve_plan(app, part, run=run, share=share) for share, part in parts if part]


@contextmanager
def _serving_alone(app: App) -> Iterator[None]:
    """Hold the lease of every share."""
    name, shares = app.settings.registry.model_name, app.settings.serving.shares
    with ExitStack() as held:
        for share in range(shares):
            held.enter_context(exclusive(app.engine, lease_name(name, share, shares)))
        yield


def served_symbols(app: App, lineup: Lineup, in_use: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """The symbols of whoever serves or challenges; those in use while there is nobody.

    Of a universe that moves only the members count, and whoever still holds a paper position.
    """
    seat = first_seat(lineup)
    if seat is None:
        return in_use()
    trained = bundle_symbols(seat.bundle)
    if app.settings.universe.mode != "turnover":
        return trained
    wanted = {*in_use(), *open_symbols(app.engine, seat.bundle.hash)}
    return tuple(symbol for symbol in trained if symbol in wanted)
