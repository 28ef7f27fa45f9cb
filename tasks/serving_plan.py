"""What is served under these settings: which symbols, in which shares, under which limits?

Needs neither Prefect nor MLflow, so that a worker starts without them.
"""

from collections.abc import Callable

from infra.bootstrap import App
from infra.settings_groups import ServingSettings
from serving.ledger import open_symbols
from serving.lineup import Lineup, ServePlan
from serving.shares import symbols_of_share
from serving.signal_feed import LIVE_RUN
from tasks.lineups import bundle_symbols, first_seat
from tasks.plan import contract_of
from tasks.symbols import symbols_in_use

__all__ = ["drift_block_hours", "serve_plan", "served_symbols", "share_plan", "share_plans"]


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
        ramp=app.settings.ramp if run == LIVE_RUN and app.settings.serving.mode == "live" else None,
        max_error_bars=app.settings.serving.max_error_bars,
        shares=app.settings.serving.shares,
        share=share,
        frozen_bars=app.settings.serving.frozen_bars,
        constant_predictions=app.settings.serving.constant_predictions,
        max_decision_ms=int(app.settings.serving.max_decision_s * 1000),
        drift_block_hours=drift_block_hours(app.settings.serving, run=run),
    )


def drift_block_hours(s: ServingSettings, *, run: str) -> int | None:
    """How long critical drift blocks; None where it does not: in a replay, or by setting."""
    wanted = s.drift_block == "always" or (s.drift_block == "live" and s.mode == "live")
    return s.drift_block_hours if wanted and run == LIVE_RUN else None


def share_plan(app: App, lineup: Lineup, share: int, *, run: str = LIVE_RUN) -> ServePlan:
    """What is served of one share now: it follows the line-up and the universe."""
    symbols = served_symbols(app, lineup, lambda: symbols_in_use(app))
    return serve_plan(app, symbols_of_share(symbols, share, app.settings.serving.shares), run=run, share=share)


def share_plans(app: App, symbols: tuple[str, ...], *, run: str) -> list[ServePlan]:
    """One plan a share that has symbols, in order."""
    shares = app.settings.serving.shares
    parts = [(share, symbols_of_share(symbols, share, shares)) for share in range(shares)]
    return [serve_plan(app, part, run=run, share=share) for share, part in parts if part]


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
