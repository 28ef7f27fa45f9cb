"""From which probability on is a vote worth its costs?

Candidates are quantiles of the ensemble's P(BUY) and P(SELL) on out-of-fold rows. Each is tried through the serving
decision with the whole policy; the pair with the highest net of at least ``min_trades`` trades is taken: first both
sides at one quantile, then each side on its own around the best. Where no candidate made a profit the most
conservative pair is taken, and that is said.
"""

from dataclasses import dataclass, replace

import numpy as np

from learning.backtest import DenseMarket, decide, trades_of
from learning.panel import Panel
from market.candles import Floats
from registry.policy import Action, DecisionPolicy

__all__ = ["ThresholdChoice", "choose_thresholds", "threshold_candidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdChoice:
    """The pair (buy, sell), and the net (fraction of equity) and number of trades it made where it was chosen."""

    thresholds: tuple[float, float]
    net: float
    trades: int
    profitable: bool


def threshold_candidates(ensemble: Floats, quantiles: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Ascending candidates for BUY and for SELL, ``(q,)`` each, from ``(n, 3)`` probabilities; 1.0 without rows."""
    if ensemble.shape[0] == 0:
        nothing = np.ones(len(quantiles))
        return nothing, nothing
    levels = sorted(quantiles)
    buy, sell = (np.quantile(ensemble[:, side], levels) for side in (Action.BUY, Action.SELL))
    return np.minimum(buy, 1.0), np.minimum(sell, 1.0)


def choose_thresholds(
    policy: DecisionPolicy,
    weights: Floats,
    *,
    market: DenseMarket,
    probabilities: Floats,
    panel: Panel,
    candidates: tuple[Floats, Floats],
    min_trades: int,
) -> ThresholdChoice:
    """Try candidates on ``market`` with ``probabilities (T, S, M, 3)``; ties keep the earlier, less strict one."""
    buys, sells = candidates
    last = buys.size - 1
    tried: dict[tuple[int, int], tuple[float, int]] = {}

    def worth(pair: tuple[int, int]) -> float:
        if pair not in tried:
            thresholds = (float(buys[pair[0]]), float(sells[pair[1]]))
            decisions = decide(replace(policy, thresholds=thresholds), weights, market, probabilities)
            results = trades_of(decisions, market, panel).results
            tried[pair] = (float(results.sum()), results.size)
        net, trades = tried[pair]
        return net if trades >= min_trades else -np.inf

    best = max(((i, i) for i in range(last + 1)), key=worth)
    best = max([best, *((i, best[1]) for i in range(last + 1))], key=worth)
    best = max([best, *((best[0], i) for i in range(last + 1))], key=worth)
    profitable = worth(best) > 0.0
    if not profitable:
        best = (last, last)
        worth(best)
    net, trades = tried[best]
    thresholds = (float(buys[best[0]]), float(sells[best[1]]))
    return ThresholdChoice(thresholds=thresholds, net=net, trades=trades, profitable=profitable)
