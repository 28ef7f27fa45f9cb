"""By how much is the challenger ahead, in the other two currencies: Brier score and net return?

Beside the paired log loss that the gates judge. Differences of one bar are means over its symbols, intervals come from
a block bootstrap. A decision not to trade earned nothing and counts as zero; a row without a decision on either side
is left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.bootstrap import MeanInterval, block_bootstrap_mean
from learning.metrics import brier_rows
from learning.significance import bar_series
from market.candles import Floats, Ints

__all__ = ["PairedGains", "decided_net", "paired_gains"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedGains:
    """Challenger against reference a bar, positive is better: ``brier`` points, ``net_return`` fraction of notional."""

    brier: MeanInterval
    net_return: MeanInterval


def decided_net(action: NDArray[np.integer], net: Floats) -> Floats:
    """What decisions ``(n,)`` earned: 0 HOLD nothing, 1 BUY and 2 SELL the side's ``net (n, 2)``; NaN for action -1."""
    rows = np.arange(action.size)
    side = np.clip(action - 1, 0, 1)
    return np.where(action < 0, np.nan, np.where(action == 0, 0.0, net[rows, side]))


def paired_gains(
    *,
    challenger: Floats,
    reference: Floats,
    challenger_net: Floats,
    reference_net: Floats,
    y: NDArray[np.integer],
    bar_index: Ints,
    horizon_bars: int,
    seed: int,
    alpha: float,
    resamples: int = 2000,
) -> PairedGains:
    """Both differences with intervals; arrays as in ``paired_evidence``, nets ``(n,)`` with NaN for no decision."""
    scored = np.isfinite(challenger).all(axis=1) & np.isfinite(reference).all(axis=1) & (y >= 0)
    traded = scored & np.isfinite(challenger_net) & np.isfinite(reference_net)
    brier = brier_rows(reference[scored], y[scored]) - brier_rows(challenger[scored], y[scored])
    net = challenger_net[traded] - reference_net[traded]

    def interval(values: Floats, of: NDArray[np.bool_]) -> MeanInterval:
        series = bar_series(values, bar_index=bar_index[of])
        return block_bootstrap_mean(
            series, horizon_bars=horizon_bars, seed=seed, confidence=1.0 - alpha, resamples=resamples
        )

    return PairedGains(brier=interval(brier, scored), net_return=interval(net, traded))
