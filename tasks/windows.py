"""Which bars does this home work with right now?

The symbols in use, the bars they have, and the stretches planned over them. Read from the lake each time: nothing
is remembered between runs.
"""

from dataclasses import dataclass

from features.contract import FeatureContract
from infra.bootstrap import App
from market.errors import LockstepError
from market.timeframe import Timeframe
from tasks.plan import Stretches, contract_of, plan_stretches, timeframe_of
from tasks.symbols import symbols_in_use

__all__ = ["Window", "current_window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Symbols that are complete enough to be used, those left out with the reason, and the stretches."""

    symbols: tuple[str, ...]
    left_out: dict[str, str]
    timeframe: Timeframe
    contract: FeatureContract
    stretches: Stretches
    coverage: dict[str, float]


def current_window(app: App) -> Window:
    """Plan over what the lake holds; symbols with too few bars are left out by name, never silently."""
    timeframe, contract = timeframe_of(app.settings), contract_of(app.settings)
    asked = symbols_in_use(app)
    marks = {symbol: app.lake.watermark(symbol, timeframe) for symbol in asked}
    newest = max((mark for mark in marks.values() if mark is not None), default=None)
    if newest is None:
        raise LockstepError(
            f"no {timeframe.name} candles of {', '.join(asked)}",
            why="there is nothing to plan over",
            remedy="run lockstep backfill first",
        )
    end = timeframe.index_of(newest) + 1
    firsts: dict[str, int] = {}
    coverage: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for symbol in asked:
        times = app.lake.candles(symbol, timeframe).open_time
        if times.size == 0:
            left_out[symbol] = "no bars in the lake"
            continue
        first = timeframe.index_of(int(times[0]))
        coverage[symbol] = times.size / (end - first)
        needed = contract.warmup_bars + app.settings.labels.horizon_bars
        if times.size <= needed:
            left_out[symbol] = f"{times.size} bars, fewer than the {needed} of one warm-up and one label"
        elif coverage[symbol] < app.settings.data.min_coverage:
            left_out[symbol] = f"coverage {coverage[symbol]:.1%}, below {app.settings.data.min_coverage:.0%}"
        else:
            firsts[symbol] = first
    if not firsts:
        raise LockstepError(
            "no symbol can be used: " + "; ".join(f"{name}: {why}" for name, why in left_out.items()),
            why="a model needs at least one market with a sound history",
            remedy="backfill more bars, or lower data.min_coverage knowingly",
        )
    return Window(
        symbols=tuple(firsts),
        left_out=left_out,
        timeframe=timeframe,
        contract=contract,
        stretches=plan_stretches(first=min(firsts.values()), end=end, settings=app.settings),
        coverage=coverage,
    )
