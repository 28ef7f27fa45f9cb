"""What did challenger and champion predict on the same bars, and what happened then?

Reads predictions, outcomes and paper trades of a stretch from PostgreSQL as arrays. Only outcomes that had resolved by
the end of the stretch count: a decision taken at that moment could not have known more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, and_, select

from features.events import Sides
from infra.tables import outcomes, paper_trades, predictions
from learning.climatology import Climatology
from learning.paired_gains import PairedGains, decided_net, paired_gains
from learning.shadow import ShadowEvidence, paired_evidence
from learning.trade_evidence import TradeEvidence, trade_evidence
from market.barriers import Barrier
from market.candles import Floats, Ints
from market.label_rule import label_classes
from market.timeframe import Timeframe
from registry.sides import restrict_to_sides

__all__ = ["ShadowRows", "restored_skill", "shadow_gains", "shadow_rows", "shadow_skill", "shadow_trades"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShadowRows:
    """Resolved predictions of one bundle: ``ours (n, 3)``, ``champion (n, 3)`` (NaN where it made none).

    ``ours_net (n,)`` and ``champion_net (n,)`` are what the decisions would have earned (NaN: none was made), ``live
    (n,)`` says which of ours were made on the clock. ``sides (n, 2)`` were open: where the primary rule had named one,
    the class and the champion's probabilities are those of that question.
    """

    bar_index: Ints
    y: NDArray[np.int8]
    ours: Floats
    champion: Floats
    ours_net: Floats
    champion_net: Floats
    live: NDArray[np.bool_]
    sides: Sides


def shadow_rows(
    engine: Engine,
    *,
    bundle_hash: str,
    champion_hash: str | None,
    label_spec: str,
    timeframe: Timeframe,
    first: int,
    end: int,
) -> ShadowRows:
    """Predictions of bars ``[first, end)`` whose outcome had resolved by the open of bar ``end``."""
    other = predictions.alias("champion")
    joined = (
        predictions.join(
            outcomes,
            and_(
                outcomes.c.label_spec == label_spec,
                outcomes.c.symbol == predictions.c.symbol,
                outcomes.c.bar_ms == predictions.c.bar_ms,
            ),
        )
    ).join(
        other,
        and_(
            other.c.bundle_hash == (champion_hash or ""),
            other.c.symbol == predictions.c.symbol,
            other.c.bar_ms == predictions.c.bar_ms,
        ),
        isouter=True,
    )
    query = (
        select(
            predictions.c.bar_ms,
            outcomes.c.net_long,
            outcomes.c.net_short,
            predictions.c.probabilities,
            predictions.c.action,
            predictions.c.run,
            other.c.probabilities.label("theirs"),
            other.c.action.label("their_action"),
        )
        .select_from(joined)
        .where(
            predictions.c.bundle_hash == bundle_hash,
            predictions.c.bar_ms >= timeframe.open_time(first),
            predictions.c.bar_ms < timeframe.open_time(end),
            outcomes.c.exit_ms < timeframe.open_time(end),
            outcomes.c.label >= 0,
        )
        .order_by(predictions.c.bar_ms, predictions.c.symbol)
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    nothing = [np.nan] * 3
    ours = np.array([row.probabilities for row in rows], dtype=np.float64).reshape(-1, 3)
    theirs = np.array([row.theirs or nothing for row in rows], dtype=np.float64).reshape(-1, 3)
    net = np.array([(row.net_long, row.net_short) for row in rows], dtype=np.float64).reshape(-1, 2)
    sides = ours[:, 1:] > 0.0  # a closed side has probability zero, an open one never has
    return ShadowRows(
        bar_index=np.array([row.bar_ms // timeframe.ms for row in rows], dtype=np.int64),
        y=label_classes(net, np.full(net.shape, Barrier.TIME, dtype=np.int8), sides),
        ours=ours,
        champion=restrict_to_sides(theirs, sides),
        ours_net=decided_net(np.array([row.action for row in rows], dtype=np.int64), net),
        champion_net=decided_net(
            np.array([-1 if row.their_action is None else row.their_action for row in rows], dtype=np.int64), net
        ),
        live=np.array([row.run == "live" for row in rows], dtype=bool),
        sides=sides,
    )


def shadow_skill(
    rows: ShadowRows,
    *,
    climatology: Climatology,
    against_champion: bool,
    origin: int,
    horizon_bars: int,
    seed: int,
    alpha: float,
) -> ShadowEvidence | None:
    """Paired log loss against the champion, or against the class shares of training; None without rows.

    ``origin`` is the first bar the challenger had not seen: checkpoints count from there.
    """
    if rows.y.size == 0:
        return None
    reference = rows.champion if against_champion else climatology.forecast(rows.sides)
    return paired_evidence(
        challenger=rows.ours,
        reference=reference,
        y=rows.y,
        bar_index=rows.bar_index,
        horizon_bars=horizon_bars,
        seed=seed,
        alpha=alpha,
        origin=origin,
    )


def shadow_gains(
    rows: ShadowRows, *, climatology: Climatology, against_champion: bool, horizon_bars: int, seed: int, alpha: float
) -> PairedGains | None:
    """Paired Brier score and net return against the champion, or class shares and no trade; None without rows."""
    if rows.y.size == 0:
        return None
    return paired_gains(
        challenger=rows.ours,
        reference=rows.champion if against_champion else climatology.forecast(rows.sides),
        challenger_net=rows.ours_net,
        reference_net=rows.champion_net if against_champion else np.zeros(rows.y.size),
        y=rows.y,
        bar_index=rows.bar_index,
        horizon_bars=horizon_bars,
        seed=seed,
        alpha=alpha,
    )


def shadow_trades(engine: Engine, *, bundle_hash: str, timeframe: Timeframe, first: int, end: int) -> TradeEvidence:
    """Paper trades of one bundle that were said, and opened and closed inside ``[first, end)``."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(paper_trades.c.net, paper_trades.c.size, paper_trades.c.exit_ms)
            .where(
                paper_trades.c.bundle_hash == bundle_hash,
                paper_trades.c.bar_ms >= timeframe.open_time(first),
                paper_trades.c.exit_ms < timeframe.open_time(end),
                paper_trades.c.net.is_not(None),
                paper_trades.c.size > 0,
            )
            .order_by(paper_trades.c.exit_ms, paper_trades.c.symbol)
        ).all()
    return trade_evidence(
        net=np.array([row.net for row in rows], dtype=np.float64),
        size=np.array([row.size for row in rows], dtype=np.float64),
        exit_index=np.array([row.exit_ms // timeframe.ms for row in rows], dtype=np.int64),
        first_index=first,
        end_index=end,
        bars_per_year=timeframe.bars_per_year,
    )


def restored_skill(stored: Mapping[str, Any]) -> ShadowEvidence:
    """Paired evidence as it was before JSON, where NaN had to become null."""
    values: dict[str, Any] = {name: np.nan if value is None else value for name, value in stored.items()}
    return ShadowEvidence(**values)
