"""How do challenger and champion run side by side over bars that neither was trained on?

The worker's own code replays the shadow stretch bar by bar, as it was known then. Outcomes are resolved by the rules of
the labels. Bars that were replayed before are not replayed again.
"""

from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.bootstrap import open_app
from infra.locks import exclusive
from market.errors import LockstepError
from serving.outcomes import resolve_outcomes
from serving.worker import replay
from tasks.lineups import bundle_symbols, champion_lineup, train_end_index
from tasks.progress import report
from tasks.serving_plan import serve_plan
from tasks.windows import current_window

__all__ = ["shadow_replay"]


@task(cache_policy=NO_CACHE)
def shadow_replay(home: str) -> dict[str, object]:
    """Replay from the end of the challenger's training to the end of the shadow stretch; resolve outcomes."""
    with open_app(home) as app, exclusive(app.engine, f"serving of {app.settings.registry.model_name}"):
        window = current_window(app)
        lineup = champion_lineup(app)
        newest = lineup.challengers[0] if lineup.challengers else lineup.champion
        if newest is None or (lineup.detail and not lineup.challengers):
            raise LockstepError(
                lineup.detail or "there is neither challenger nor champion",
                why="a shadow run scores a model on bars it has not seen",
                remedy="run lockstep train first",
            )
        first = train_end_index(newest.bundle)
        end = window.stretches.shadow_end
        if first >= end:
            raise LockstepError(
                f"version {newest.version} was trained to the end of the data",
                why="no bar is left that it has not seen",
                remedy="collect newer bars, or train with the current settings",
            )
        symbols = bundle_symbols(newest.bundle)
        summary = replay(
            app.engine,
            app.lake,
            lineup,
            plan=serve_plan(app, symbols, run="shadow"),
            start_index=first,
            end_index=end,
            on_progress=lambda done, total: report("shadow replay", done, total),
        )
        resolved = resolve_outcomes(
            app.engine,
            app.lake,
            label_spec=newest.bundle.label_spec,
            contract=window.contract,
            symbols=symbols,
            start_index=first,
            end_index=end,
        )
        return {
            "challenger_version": lineup.challengers[0].version if lineup.challengers else None,
            "champion_version": None if lineup.champion is None else lineup.champion.version,
            "bars": summary.bars,
            "already_served": summary.already_served,
            "predictions": summary.predictions,
            "opened": summary.opened,
            "closed": summary.closed,
            "outcomes_resolved": resolved.resolved,
            "outcomes_waiting": resolved.waiting,
            "errors": summary.errors,
        }
