"""How sure are these scores, and how small an edge could this evaluation have seen?

Intervals come from the circular block bootstrap of ``learning.bootstrap``, with blocks no shorter than the label
horizon; one observation is one bar. Skill is a difference of log losses (nats, positive is better), averaged over the
symbols of a bar first. The minimum detectable effect is ``(t[1 - size/2] + t[power]) x standard error`` with (blocks -
1) degrees of freedom (Bloom, Evaluation Review 19, 1995): a true edge of that size would have been told from zero in
that share of such evaluations. For the Sharpe ratio it is that of the mean return over the standard deviation of
returns (the leading term of Lo, Financial Analysts Journal 58, 2002), a year.
"""

from collections.abc import Mapping
from math import isfinite, sqrt

from learning.bootstrap import MeanInterval, block_bootstrap_mean, block_bootstrap_sharpe
from learning.evaluation import ScoredRows
from learning.metrics import log_loss_rows
from learning.significance import BarSeries, bar_series
from market.candles import Floats

__all__ = ["Interval", "uncertainty"]

Interval = dict[str, float | None]
SIZE, POWER = 0.05, 0.8


def uncertainty(
    rows: ScoredRows,
    bar_returns: Mapping[str, Floats],
    *,
    horizon_bars: int,
    bars_per_year: int,
    seed: int,
) -> dict[str, object]:
    """Intervals of every strategy, of the ensemble minus each other one, and minimum detectable effects; JSON-ready.

    ``bar_returns`` are ``(T,)`` of strategies on the same bars. None where there are too few blocks or no variation.
    """
    boot = _Bootstrap(horizon_bars=horizon_bars, seed=seed)
    forecasts = {"ensemble": rows.ensemble, **dict(zip(rows.model_names, rows.models, strict=True))}
    forecasts["climatology"] = rows.climatology
    loss = {name: log_loss_rows(p, rows.y) for name, p in forecasts.items()}
    ours = bar_returns["ensemble"]
    skill = {name: boot.skill(loss["climatology"] - loss[name], rows) for name in loss if name != "climatology"}
    earned = {name: boot.mean(returns) for name, returns in bar_returns.items()}
    others = [*rows.model_names, "climatology", "primary_rule", "buy_and_hold"]
    return {
        "confidence": 1.0 - SIZE,
        "block_bars": earned["ensemble"].block_bars,
        "blocks": earned["ensemble"].blocks,
        "strategies": {
            name: {
                "skill": _interval(skill.get(name)),
                "net_per_bar": _interval(earned.get(name)),
                "net_return": _interval(earned.get(name), times=ours.size),
                "sharpe": boot.sharpe(bar_returns.get(name), bars_per_year),
            }
            for name in ("ensemble", *others)
            if name in skill or name in earned
        },
        "differences": {
            name: {
                "skill": _interval(boot.skill(loss[name] - loss["ensemble"], rows) if name in loss else None),
                "net_return": _interval(_difference(boot, ours, bar_returns.get(name)), times=ours.size),
            }
            for name in others
            if name in loss or name in bar_returns
        }
        | {"no_trade": {"skill": None, "net_return": _interval(earned["ensemble"], times=ours.size)}},
        "minimum_detectable": {
            "skill": _finite(skill["ensemble"].mde),
            "sharpe": _smallest_sharpe(earned["ensemble"], ours, bars_per_year),
            "power": POWER,
            "size": SIZE,
        },
    }


class _Bootstrap:
    """The bootstrap with everything but the series fixed."""

    def __init__(self, *, horizon_bars: int, seed: int) -> None:
        self.horizon_bars, self.seed = horizon_bars, seed

    def mean(self, returns: Floats) -> MeanInterval:
        series = BarSeries(first_index=0, values=returns)
        return block_bootstrap_mean(series, horizon_bars=self.horizon_bars, seed=self.seed, confidence=1.0 - SIZE)

    def skill(self, gain: Floats, rows: ScoredRows) -> MeanInterval:
        series = bar_series(gain, bar_index=rows.bar_index)
        return block_bootstrap_mean(series, horizon_bars=self.horizon_bars, seed=self.seed, confidence=1.0 - SIZE)

    def sharpe(self, returns: Floats | None, bars_per_year: int) -> Interval | None:
        if returns is None:
            return None
        found = block_bootstrap_sharpe(
            returns,
            horizon_bars=self.horizon_bars,
            bars_per_year=bars_per_year,
            seed=self.seed,
            confidence=1.0 - SIZE,
        )
        return _interval(found)


def _difference(boot: _Bootstrap, ours: Floats, theirs: Floats | None) -> MeanInterval | None:
    return None if theirs is None else boot.mean(ours - theirs)


def _smallest_sharpe(interval: MeanInterval, returns: Floats, bars_per_year: int) -> float | None:
    spread = float(returns.std(ddof=1)) if returns.size > 1 else 0.0
    return _finite(interval.mde / spread * sqrt(bars_per_year)) if spread > 0.0 else None


def _interval(found: MeanInterval | None, *, times: float = 1.0) -> Interval | None:
    if found is None:
        return None
    values = {"value": found.mean, "low": found.low, "high": found.high}
    return {name: _finite(times * value) for name, value in values.items()}


def _finite(value: float) -> float | None:
    return float(value) if isfinite(value) else None
