"""Which rows can be learnt from or judged on, over all symbols together?

One row is one valid bar of one symbol: its features as known at its close, and what a long and a short entered at
the next open would have netted. Rows whose features carry a reason are left out, and rows of bars at which their market
was no member of the universe; rows whose trades are unresolved stay, without a class, because the decision has to be
made on them too. Rows are ordered by bar, then by symbol. Only events (``events``) are learnt from and decided on; the
other rows stay for what is held over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.batch import FeatureBlock
from features.contract import FeatureContract
from features.events import EventRule, Sides
from learning.errors import PanelError
from learning.labels import UNRESOLVED, label_ends
from market.barriers import Barrier, BarrierSpec, PricePath, TradeOutcomes, simulate_trades
from market.candles import Floats, Ints
from market.label_rule import label_classes
from market.timeframe import Timeframe
from serving.market_facts import MarketFacts, facts_of_rows

__all__ = ["Panel", "SymbolHistory", "build_panel", "known_by"]

Bytes = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolHistory:
    """One symbol: its features and the bars and funding its trades are simulated on.

    ``member (n,)`` says at which rows of ``features`` it belonged to the universe; None means at all.
    """

    symbol: str
    features: FeatureBlock
    path: PricePath
    member: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """``N`` valid rows sorted by ``(bar_index, symbol_id)``.

    ``symbol_id (N,) int32`` counts into ``symbols``; ``bar_index (N,) int64`` is absolute; ``X (N, F) float32``;
    ``y (N,) int8`` an ``Action`` or -1. ``net``, ``gross``, ``funding`` ``(N, 2) float64`` (long, short; fractions of
    the entry notional, NaN unresolved), ``exit_index (N, 2) int64`` (-1 unresolved), ``barrier (N, 2) int8``;
    ``label_end (N,) int64`` is the last bar the label looks at. ``atr_fraction``, ``vol_ratio`` and ``volatility``
    (daily, a fraction) ``(N,) float64``, ``regime (N,) int8`` and ``correlation (N,) float64`` (``MarketFacts``) were
    known at the decision. ``close`` and ``carry`` (funding a long of one
    coin has paid since its history began, in quote units; NaN from the first unknown settlement on) ``(N,)``.
    ``sides (N, 2) bool`` are the sides that ``events`` allows at a row: none where it is no event.
    """

    events: EventRule

    symbols: tuple[str, ...]
    symbol_id: NDArray[np.int32]
    bar_index: Ints
    X: NDArray[np.float32]
    y: Bytes
    net: Floats
    gross: Floats
    funding: Floats
    exit_index: Ints
    barrier: Bytes
    label_end: Ints
    atr_fraction: Floats
    vol_ratio: Floats
    volatility: Floats
    regime: Bytes
    correlation: Floats
    close: Floats
    carry: Floats
    sides: Sides

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.bar_index.size)

    @property
    def event(self) -> NDArray[np.bool_]:
        """``(N,)`` rows on which something is decided."""
        return self.sides[:, 0] | self.sides[:, 1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """What one symbol brings: row numbers into its block, absolute indices, decision inputs, outcomes."""

    at: Ints
    bar_index: Ints
    atr_fraction: Floats
    vol_ratio: Floats
    facts: MarketFacts
    close: Floats
    carry: Floats
    outcomes: TradeOutcomes


def build_panel(
    histories: Sequence[SymbolHistory],
    *,
    contract: FeatureContract,
    spec: BarrierSpec,
    events: EventRule | None = None,
) -> Panel:
    """Label every valid bar of every symbol; raises ``PanelError`` when nothing is left or shapes disagree.

    ``events`` None decides at every bar, in either direction.
    """
    rule = events or EventRule()
    parts = [_rows(history, contract, spec) for history in histories]
    counts = [part.at.size for part in parts]
    if sum(counts) == 0:
        raise PanelError(
            f"no valid rows in {len(histories)} symbols",
            why="every bar is missing, in warm-up, lacks an input or is of a market outside the universe",
            remedy="run lockstep gaps, then backfill candles, funding and the reference market",
        )
    bar_index = np.concatenate([part.bar_index for part in parts])
    symbol_id = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    order = np.lexsort((symbol_id, bar_index))
    outcomes = _joined([part.outcomes for part in parts], order)
    X = _matrix(histories, parts, order, len(contract.names))
    allowed = rule.allowed(X, contract.names)

    def column(name: str) -> Floats:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    def fact(name: str) -> Floats:
        return np.concatenate([getattr(part.facts, name) for part in parts])[order]

    return Panel(
        events=rule,
        symbols=tuple(history.symbol for history in histories),
        symbol_id=symbol_id[order],
        bar_index=bar_index[order],
        X=X,
        y=label_classes(outcomes.net, outcomes.barrier, allowed),
        net=outcomes.net,
        gross=outcomes.gross,
        funding=outcomes.funding,
        exit_index=outcomes.exit_index,
        barrier=outcomes.barrier,
        label_end=label_ends(outcomes, bar_index[order], horizon_bars=spec.horizon_bars, sides=allowed),
        atr_fraction=column("atr_fraction"),
        vol_ratio=column("vol_ratio"),
        volatility=fact("volatility"),
        regime=np.concatenate([part.facts.regime for part in parts])[order],
        correlation=fact("correlation"),
        close=column("close"),
        carry=column("carry"),
        sides=allowed & rule.sampled(X, bar_index[order], contract.names)[:, None],
    )


def _rows(history: SymbolHistory, contract: FeatureContract, spec: BarrierSpec) -> _Rows:
    block, path = history.features, history.path
    _require_fit(history, contract)
    sound = block.reason == 0
    at = np.flatnonzero(sound if history.member is None else sound & history.member)
    bar_index = block.first_index + at
    inside = (bar_index >= path.first_index) & (bar_index < path.first_index + path.close.size)
    at, bar_index = at[inside], bar_index[inside]
    row = bar_index - path.first_index
    atr_fraction, vol_ratio = (
        block.values[at, contract.index_of(name)].astype(np.float64) for name in ("atr_pct", "atr_ratio")
    )
    bars_per_day = Timeframe(contract.timeframe_ms).bars_per_day
    carry = np.cumsum(np.where(path.funding_known, path.funding_paid * path.open, np.nan))
    return _Rows(
        at=at,
        bar_index=bar_index,
        atr_fraction=atr_fraction,
        vol_ratio=vol_ratio,
        facts=facts_of_rows(block.values[at], contract.names, bars_per_day=bars_per_day),
        close=path.close[row],
        carry=carry[row],
        outcomes=simulate_trades(path, bar_index, atr_fraction=atr_fraction, vol_ratio=vol_ratio, spec=spec),
    )


def _matrix(histories: Sequence[SymbolHistory], parts: Sequence[_Rows], order: Ints, width: int) -> NDArray[np.float32]:
    """Feature rows in panel order, written once: no copy of the whole matrix exists beside it."""
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    X = np.empty((order.size, width), dtype=np.float32)
    done = 0
    for history, part in zip(histories, parts, strict=True):
        X[place[done : done + part.at.size]] = history.features.values[part.at]
        done += part.at.size
    return X


def _joined(outcomes: Sequence[TradeOutcomes], order: Ints) -> TradeOutcomes:
    return TradeOutcomes(
        net=np.concatenate([one.net for one in outcomes])[order],
        gross=np.concatenate([one.gross for one in outcomes])[order],
        funding=np.concatenate([one.funding for one in outcomes])[order],
        exit_index=np.concatenate([one.exit_index for one in outcomes])[order],
        barrier=np.concatenate([one.barrier for one in outcomes])[order],
    )


def _require_fit(history: SymbolHistory, contract: FeatureContract) -> None:
    width = history.features.values.shape[1]
    if width != len(contract.names):
        raise PanelError(
            f"{history.symbol}: {width} feature columns, the contract names {len(contract.names)}",
            why="a model would read one feature for another",
            remedy="compute the features with the running contract",
        )
    if history.member is not None and history.member.shape != history.features.reason.shape:
        raise PanelError(
            f"{history.symbol}: {history.member.size} bars of membership, {history.features.reason.size} of features",
            why="a row would be judged by the membership of another bar",
            remedy="compute membership for the bars of the features",
        )


def known_by(panel: Panel, end_index: int) -> Panel:
    """The panel as it could be learnt from when bar ``end_index`` opened; ``X`` stays a view.

    Rows decided from ``end_index`` on are gone; a trade that exits there or later is unresolved again, and a row
    whose label looks that far has no class.
    """
    n = int(np.searchsorted(panel.bar_index, end_index))
    unknown = panel.exit_index[:n] >= end_index
    whole = {"events", "symbols"}
    kept = {field.name: getattr(panel, field.name)[:n] for field in fields(panel) if field.name not in whole}
    kept["y"] = np.where(panel.label_end[:n] >= end_index, np.int8(UNRESOLVED), panel.y[:n])
    kept["exit_index"] = np.where(unknown, -1, panel.exit_index[:n])
    kept["barrier"] = np.where(unknown, np.int8(Barrier.UNRESOLVED), panel.barrier[:n])
    for name in ("net", "gross", "funding"):
        kept[name] = np.where(unknown, np.nan, kept[name])
    return Panel(events=panel.events, symbols=panel.symbols, **kept)
