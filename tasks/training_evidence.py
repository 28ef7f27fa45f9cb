"""What does a training prove, in numbers that can be stored?

Everything the gates will ask of walk-forward, computed once from the out-of-fold rows and trades and stored as JSON
beside the run: paired skill against climatology and logistic regression, trades, deflated Sharpe over the ledger's
count, probability of backtest overfitting, and the curves that people want to see.
"""

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite

import numpy as np

from learning.deflated_sharpe import deflated_sharpe
from learning.metrics import sharpe
from learning.overfitting import probability_of_overfitting
from learning.shadow import paired_evidence
from learning.trade_evidence import trade_evidence
from learning.training import TrainingResult
from market.timeframe import Timeframe

__all__ = ["json_ready", "ledger_rows", "own_trials", "training_evidence"]

_CURVE_POINTS = 400


def training_evidence(
    result: TrainingResult, *, timeframe: Timeframe, horizon_bars: int, seed: int, trials: int, alpha: float
) -> dict[str, object]:
    """Evidence of one training as JSON; ``trials`` is how many configurations the ledger counts."""
    rows = result.scored
    logistic = rows.models[rows.model_names.index("logistic")]
    skill = {
        name: asdict(
            paired_evidence(
                challenger=rows.ensemble,
                reference=reference,
                y=rows.y,
                bar_index=rows.bar_index,
                horizon_bars=horizon_bars,
                seed=seed,
                alpha=alpha,
            )
        )
        for name, reference in (("climatology", rows.climatology), ("logistic", logistic))
    }
    first, end = int(result.equity_index[0]), int(result.equity_index[-1]) + 1
    trades = result.trades
    done = np.isfinite(trades.net) & (trades.exit_index >= first) & (trades.exit_index < end)
    ours = result.bar_returns["ensemble"]
    matrix = np.stack([result.bar_returns[name] for name in _configurations(result)], axis=1)
    winning = rows.ensemble.max(axis=1)
    step = max(result.equity.size // _CURVE_POINTS, 1)
    return json_ready(
        {
            "skill": skill,
            "trades": asdict(
                trade_evidence(
                    net=trades.net[done],
                    size=trades.size[done],
                    exit_index=trades.exit_index[done],
                    first_index=first,
                    end_index=end,
                    bars_per_year=timeframe.bars_per_year,
                )
            ),
            "deflated_sharpe": asdict(deflated_sharpe(ours, trials=trials, dependence_lag=horizon_bars)),
            "pbo": asdict(probability_of_overfitting(matrix)),
            "trials": trials,
            "confidence_std": float(winning.std()),
            "confidence_spread": float(np.quantile(winning, 0.9) - np.quantile(winning, 0.1)),
            "reliability": {name: np.asarray(value).tolist() for name, value in asdict(result.reliability).items()},
            "equity": {
                "time_ms": [timeframe.open_time(int(i)) for i in result.equity_index[::step]],
                "value": result.equity[::step].tolist(),
            },
        }
    )


def json_ready(values: Mapping[str, object]) -> dict[str, object]:
    """The same values with None for NaN and infinities, which strict JSON does not have."""
    return {name: _ready(value) for name, value in values.items()}


def _ready(value: object) -> object:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return json_ready(value)
    if isinstance(value, list | tuple):
        return [_ready(one) for one in value]
    return value


def ledger_rows(result: TrainingResult, *, timeframe: Timeframe) -> dict[str, dict[str, object]]:
    """One ledger entry per configuration whose trades were looked at, with its scores."""
    strategies = result.evaluation["strategies"]
    assert isinstance(strategies, dict)  # evaluation_facts builds it as a dict
    return {
        name: json_ready(
            {
                **strategies.get(name, {}),
                "sharpe_per_year": sharpe(result.bar_returns[name], bars_per_year=timeframe.bars_per_year),
            }
        )
        for name in _configurations(result)
    }


def own_trials(result: TrainingResult) -> int:
    """How many configurations this training itself looked at: what it scored, and tuning trials that did not fail.

    Unlike the ledger's count it does not depend on what else was ever tried, so it may be sealed into the bundle.
    """
    tuned = result.evaluation["tuning"]
    assert isinstance(tuned, list)  # tuning_facts builds it as a list
    return len(_configurations(result)) + sum(int(one["complete"] + one["pruned"]) for one in tuned)


def _configurations(result: TrainingResult) -> list[str]:
    """Names of what was scored by its trades."""
    return [name for name in ("ensemble", *result.scored.model_names) if name in result.bar_returns]
