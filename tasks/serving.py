"""How are bars served by a command: a stretch of the past, or what has just closed?

Both go through the worker. The served stretch is the last one of the plan; live serving reads the clock.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import App, open_app
from infra.locks import exclusive
from market.errors import LockstepError
from market.timeframe import as_utc
from serving.outcomes import resolve_outcomes
from serving.shares import lease_name
from serving.summary import combined
from serving.worker import replay, serve_once
from tasks.lineups import champion_lineup, first_seat
from tasks.plan import barrier_spec, contract_of, venue_rule
from tasks.progress import report
from tasks.serving_plan import served_symbols, share_plans
from tasks.symbols import symbols_in_use
from tasks.windows import current_window

__all__ = ["replay_stretch", "serve_latest"]


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
        plans = share_plans(app, symbols, run="replay")
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
            for plan in share_plans(app, symbols, run="live")
        )
        return {**asdict(summary), "cause": lineup.cause, "detail": lineup.detail}


@contextmanager
def _serving_alone(app: App) -> Iterator[None]:
    """Hold the lease of every share."""
    name, shares = app.settings.registry.model_name, app.settings.serving.shares
    with ExitStack() as held:
        for share in range(shares):
            held.enter_context(exclusive(app.engine, lease_name(name, share, shares)))
        yield
