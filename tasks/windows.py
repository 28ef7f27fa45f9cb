"""Which bars does this home work with right now?

The symbols in use, the bars they have, and the stretches planned over them. Read from the lake each time: nothing
is remembered between runs.
"""

from dataclasses import dataclass

from features.contract import FeatureContract
from infra.bootstrap import App
from market.errors import LockstepError
from market.timeframe import Timeframe
from tasks.membership import RunUniverse, run_universe
from tasks.plan import Stretches, contract_of, plan_stretches, timeframe_of

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
    universe: RunUniverse


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One symbol: its first bar, the share of bars it has, and why it cannot be used, if so."""

    first: int
    coverage: float | None
    refusal: str


def current_window(app: App) -> Window:
    """Plan over what the lake holds; symbols with too few bars are left out by name, never silently."""
    timeframe, contract, universe = timeframe_of(app.settings), contract_of(app.settings), run_universe(app)
    end = _end_index(app, universe)
    measured = {symbol: _measure(app, symbol, universe, contract, end=end) for symbol in universe.symbols}
    left_out = {symbol: one.refusal for symbol, one in measured.items() if one.refusal}
    firsts = {symbol: one.first for symbol, one in measured.items() if not one.refusal}
    if not firsts:
        raise _nothing_left(left_out)
    first = universe.first_index(frozenset(firsts), first=min(firsts.values()), warmup_bars=contract.warmup_bars)
    stretches = plan_stretches(first=first, end=end, settings=app.settings)
    left_out |= _strangers(universe, tuple(firsts), stretches, contract)
    if len(left_out) == len(measured):
        raise _nothing_left(left_out)
    return Window(
        symbols=tuple(symbol for symbol in firsts if symbol not in left_out),
        left_out=left_out,
        timeframe=timeframe,
        contract=contract,
        stretches=stretches,
        coverage={symbol: one.coverage for symbol, one in measured.items() if one.coverage is not None},
        universe=universe,
    )


def _strangers(
    universe: RunUniverse, symbols: tuple[str, ...], stretches: Stretches, contract: FeatureContract
) -> dict[str, str]:
    """Markets that never belonged in the training stretch; where snapshots are lacking, nobody can say so."""
    first, end = stretches.first, stretches.train_end
    if universe.uncovered_days(first=first, end=end, warmup_bars=contract.warmup_bars) is not None:
        return {}
    out = [name for name in symbols if not universe.mask(name, first_index=first, n=end - first).any()]
    return dict.fromkeys(out, "no member of the universe in the training stretch")


def _end_index(app: App, universe: RunUniverse) -> int:
    """One past the newest bar of any symbol."""
    marks = [app.lake.watermark(symbol, universe.timeframe) for symbol in universe.symbols]
    newest = max((mark for mark in marks if mark is not None), default=None)
    if newest is None:
        raise LockstepError(
            f"no {universe.timeframe.name} candles of {', '.join(universe.symbols)}",
            why="there is nothing to plan over",
            remedy="run lockstep backfill first",
        )
    return universe.timeframe.index_of(newest) + 1


def _measure(app: App, symbol: str, universe: RunUniverse, contract: FeatureContract, *, end: int) -> _Measured:
    """Look at the bars of one symbol, of a former member up to its last bar as one."""
    timeframe = universe.timeframe
    times = app.lake.candles(symbol, timeframe).open_time
    until = universe.end_index(symbol, end=end)
    if until < end:
        times = times[times < timeframe.open_time(until)]
        until = timeframe.index_of(int(times[-1])) + 1 if times.size else until
    if times.size == 0:
        return _Measured(first=end, coverage=None, refusal="no bars in the lake")
    first = timeframe.index_of(int(times[0]))
    coverage = times.size / (until - first)
    needed = contract.warmup_bars + app.settings.labels.horizon_bars
    refusal = ""
    if times.size <= needed:
        refusal = f"{times.size} bars, fewer than the {needed} of one warm-up and one label"
    elif coverage < app.settings.data.min_coverage:
        refusal = f"coverage {coverage:.1%}, below {app.settings.data.min_coverage:.0%}"
    return _Measured(first=first, coverage=coverage, refusal=refusal)


def _nothing_left(left_out: dict[str, str]) -> LockstepError:
    return LockstepError(
        "no symbol can be used: " + "; ".join(f"{name}: {why}" for name, why in left_out.items()),
        why="a model needs at least one market with a sound history",
        remedy="backfill more bars, or ease data.min_coverage or the conditions of the universe knowingly",
    )
