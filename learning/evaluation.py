"""How good were the out-of-fold predictions and decisions, beside doing something simpler?

Every fold after the warm-up is decided with what was known before it began; every strategy is scored on the same
bars. Trades start flat in every fold. Numbers come from ``learning.metrics``; a number that cannot be had is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.contract import FeatureContract
from features.primary_rule import PRIMARY_FEATURES
from learning.backtest import (
    TradeTable,
    booked_returns,
    decide,
    dense_market,
    dense_probabilities,
    equity_curve,
    join_trades,
    trades_of,
)
from learning.baselines import buy_and_hold, primary_rule
from learning.climatology import Climatology
from learning.combination import Combination
from learning.config import TrainingConfig
from learning.judged import JudgedRows, JudgedTrades
from learning.labels import UNRESOLVED
from learning.metrics import brier, hit_rate, log_loss, max_drawdown, profit_factor, sharpe
from learning.panel import Panel
from learning.regimes import Regimes
from learning.walk_forward import Fold
from market.barriers import BarrierSpec
from market.candles import Floats, Ints
from market.timeframe import Timeframe
from registry.predictors import ensemble_mean
from serving.decision import funnel

__all__ = [
    "ScoredFold",
    "ScoredRows",
    "Scores",
    "Strategies",
    "score_fold",
    "scored_rows",
    "strategies",
    "strategy_scores",
]

Names = tuple[str, ...]
Scores = dict[str, float | int | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredFold:
    """One judged test window: probabilities of its ``rows (n,)`` and the trades of each strategy, by name."""

    fold: Fold
    combination: Combination
    rows: Ints
    models: Floats
    ensemble: Floats
    climatology: Floats
    trades: dict[str, TradeTable]
    funnel: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredRows:
    """Every judged row that has a class, in panel order; probabilities ``(n, 3)``, ``models (M, n, 3)``."""

    model_names: tuple[str, ...]
    symbol_id: NDArray[np.int32]
    bar_index: Ints
    label_end: Ints
    y: NDArray[np.int8]
    fold: NDArray[np.int64]
    ensemble: Floats
    climatology: Floats
    models: Floats
    regimes: Regimes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strategies:
    """Strategies on the same bars ``first_index`` to ``end_index``, by name: scores, trades, bar returns ``(T,)``."""

    timeframe: Timeframe
    first_index: int
    end_index: int
    scores: dict[str, Scores]
    trades: dict[str, JudgedTrades]
    bar_returns: dict[str, Floats]


def score_fold(
    panel: Panel, fold: Fold, raw: Floats, *, combination: Combination, climatology: Climatology, config: TrainingConfig
) -> ScoredFold:
    """Decide one test window; ``raw (M, n, 3)`` on ``fold.test_rows``, ``climatology`` of its training rows."""
    rows, base = fold.test_rows, config.policy
    models = combination.calibrated(raw, panel.sides[rows])
    market = dense_market(panel, rows, first_index=fold.test_first_index, end_index=fold.test_end_index)
    dense = dense_probabilities(market, rows, models)
    decisions = decide(combination.policy(base), combination.weights, market, dense)
    trades = {"ensemble": trades_of(decisions, market, panel)}
    for m, name in enumerate(config.models):
        alone = decide(combination.policy_alone(base, m), np.ones(1), market, dense[:, :, m : m + 1])
        trades[name] = trades_of(alone, market, panel)
    return ScoredFold(
        fold=fold,
        combination=combination,
        rows=rows,
        models=models,
        ensemble=ensemble_mean(models, combination.weights),
        climatology=climatology.forecast(panel.sides[rows]),
        trades=trades,
        funnel=funnel(decisions.step[market.eligible]),
    )


def scored_rows(panel: Panel, scored: Sequence[ScoredFold], judged: JudgedRows, *, model_names: Names) -> ScoredRows:
    """The rows of all judged folds that have a class."""
    known = panel.y[judged.rows] != UNRESOLVED
    rows = judged.rows[known]
    return ScoredRows(
        model_names=model_names,
        symbol_id=panel.symbol_id[rows],
        bar_index=panel.bar_index[rows],
        label_end=panel.label_end[rows],
        y=panel.y[rows],
        fold=judged.fold[known],
        ensemble=np.concatenate([one.ensemble for one in scored])[known],
        climatology=np.concatenate([one.climatology for one in scored])[known],
        models=np.concatenate([one.models for one in scored], axis=1)[:, known],
        regimes=judged.regimes_where(known),
    )


def strategies(
    panel: Panel,
    scored: Sequence[ScoredFold],
    rows: ScoredRows,
    judged: JudgedRows,
    *,
    contract: FeatureContract,
    spec: BarrierSpec,
    config: TrainingConfig,
) -> Strategies:
    """Score the ensemble, each model alone and the baselines over all judged folds."""
    first, end = scored[0].fold.test_first_index, scored[-1].fold.test_end_index
    timeframe = Timeframe(contract.timeframe_ms)
    per_year = timeframe.bars_per_year
    tables = {name: join_trades([one.trades[name] for one in scored]) for name in scored[0].trades}
    if set(PRIMARY_FEATURES) <= set(contract.names):
        tables["primary_rule"] = primary_rule(
            panel,
            judged.rows,
            rule=panel.events.primary,
            names=contract.names,
            size=config.policy.size_base,
            horizon_bars=spec.horizon_bars,
        )
    returns = {name: booked_returns(table, first_index=first, end_index=end) for name, table in tables.items()}
    scores = strategy_scores(rows, tables, first_index=first, end_index=end, bars_per_year=per_year)
    window = np.arange(*np.searchsorted(panel.bar_index, (first, end)))
    held = buy_and_hold(panel, window, first_index=first, end_index=end, costs=spec.costs)
    if held is not None:
        returns["buy_and_hold"] = held[0]
        scores["buy_and_hold"] = _forecast(None, rows.y) | _trading(held[1] / held[1].size, held[0], per_year)
    trades = {name: judged.trades(table) for name, table in tables.items()}
    return Strategies(
        timeframe=timeframe, first_index=first, end_index=end, scores=scores, trades=trades, bar_returns=returns
    )


def strategy_scores(
    rows: ScoredRows, tables: Mapping[str, TradeTable], *, first_index: int, end_index: int, bars_per_year: int
) -> dict[str, Scores]:
    """Scores of everything that forecasts or trades, from stored rows and trades alone; ``no_trade`` beside them."""
    forecasts = {"ensemble": rows.ensemble, "climatology": rows.climatology}
    forecasts.update(zip(rows.model_names, rows.models, strict=True))
    scores: dict[str, Scores] = {}
    for name in ("ensemble", *rows.model_names, "climatology", "primary_rule"):
        scores[name] = _forecast(forecasts.get(name), rows.y)
        if name in tables:
            booked = booked_returns(tables[name], first_index=first_index, end_index=end_index)
            scores[name].update(_trading(tables[name].results, booked, bars_per_year))
            scores[name]["unresolved"] = int((~tables[name].resolved).sum())
    scores["no_trade"] = _forecast(None, rows.y) | _trading(
        np.zeros(0), np.zeros(end_index - first_index), bars_per_year
    )
    return scores


def _forecast(p: Floats | None, y: NDArray[np.int8]) -> Scores:
    if p is None or y.size == 0:
        return {"log_loss": None, "brier": None}
    return {"log_loss": log_loss(p, y), "brier": brier(p, y)}


def _trading(results: Floats, bar_returns: Floats, bars_per_year: int) -> Scores:
    """``results (k,)`` of trades and the bar returns they were booked in, both fractions of equity."""
    return {
        "net_return": float(bar_returns.sum()),
        "trades": int(results.size),
        "hit_rate": hit_rate(results),
        "sharpe": sharpe(bar_returns, bars_per_year=bars_per_year),
        "profit_factor": profit_factor(results),
        "max_drawdown": max_drawdown(equity_curve(bar_returns)),
    }
